/*
 * cluster_sni.c - the TLS server name of a cluster's token proxy.
 */
#include "provider-azure/identity/cluster_sni.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/crypto/digest.h"

/* A cluster's id has 24 characters; a label of DNS has at most 63. */
enum { CLUSTER_ID_MAX = 63 };

char *cluster_sni_name(const char *cluster_id)
{
    static const char alphabet[] = "0123456789abcdefghijklmnopqrstuv"; /* base32hex, RFC 4648 7 */
    static const char label[] = "identity-binding";
    uint8_t digest[DIGEST_SHA256_LEN];
    char text[(DIGEST_SHA256_LEN * 8 + 4) / 5 + 1];
    unsigned pending = 0;
    unsigned bits = 0;
    size_t n = 0;
    char *made = NULL;
    cleanup_free char *input = NULL;

    if (asprintf(&input, "%s%s", label, cluster_id) < 0) {
        input = NULL;
        return NULL;
    }
    if (digest_sha256(input, strlen(input), digest) < 0)
        return NULL;
    for (size_t i = 0; i < DIGEST_SHA256_LEN; i++) {
        pending = (pending << 8 | digest[i]) & 0xffff;
        for (bits += 8; bits >= 5; bits -= 5)
            text[n++] = alphabet[pending >> (bits - 5) & 31];
    }
    if (bits > 0)
        text[n++] = alphabet[pending << (5 - bits) & 31];
    text[n] = '\0';
    return asprintf(&made, "a%s.ests.aks", text) < 0 ? NULL : made;
}

char *cluster_id_from_name(const char *name)
{
    static const char head[] = "hcp-kubernetes.", tail[] = ".svc.cluster.local";
    size_t len = strlen(name);
    size_t around = sizeof(head) - 1 + sizeof(tail) - 1;
    if (len <= around || len > around + CLUSTER_ID_MAX || strncmp(name, head, sizeof(head) - 1) != 0 ||
        strcmp(name + len - (sizeof(tail) - 1), tail) != 0)
        return NULL;
    return strndup(name + sizeof(head) - 1, len - around);
}
