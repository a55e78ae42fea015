/*
 * ca_chain.c - CA certificates for mbedTLS.
 *
 * A parsed certificate takes three times the memory of its bytes, a node has about 150, and a handshake needs
 * one of them: only the bytes are kept, and parsed for the handshake that asks for the name.
 */
#include "common/crypto/ca_chain.h"

#ifdef HTTP_TLS_MBEDTLS

#include <mbedtls/platform.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buffer.h"

struct ca {
    uint32_t subject; /* hash_name() */
    uint32_t at;      /* in the chain's bytes */
    uint32_t len;
};

struct ca_chain {
    struct ca *cas;
    size_t n;
    uint8_t *bytes; /* the certificates in DER, one behind the other */
    size_t len;
};

struct ca_chain *ca_chain_create(void)
{
    return calloc(1, sizeof(struct ca_chain));
}

/* Equal for names that mbedTLS takes for equal: it ignores the case of letters, and differences between kinds
 * of strings (FNV-1a). */
static uint32_t hash_name(const mbedtls_x509_name *name)
{
    uint32_t hash = 2166136261;

    for (; name != NULL; name = name->next) {
        for (size_t i = 0; i < name->val.len; i++) {
            uint8_t c = name->val.p[i];

            hash = (hash ^ (c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c)) * 16777619;
        }
    }
    return hash;
}

static bool is_parsed(const mbedtls_x509_crt *certificate)
{
    return certificate->raw.p != NULL;
}

/* Keeps the bytes of a parsed list. Returns -1 when memory lacks. */
static int keep(struct ca_chain *chain, const mbedtls_x509_crt *list)
{
    size_t n = chain->n;
    size_t len = chain->len;
    struct ca *cas;
    uint8_t *bytes;

    for (const mbedtls_x509_crt *one = list; one != NULL && is_parsed(one); one = one->next) {
        n++;
        len += one->raw.len;
    }
    if (n == chain->n)
        return 0;
    cas = len <= UINT32_MAX ? reallocarray(chain->cas, n, sizeof(*cas)) : NULL;
    if (cas == NULL)
        return -1;
    chain->cas = cas;
    bytes = realloc(chain->bytes, len);
    if (bytes == NULL)
        return -1;
    chain->bytes = bytes;
    for (const mbedtls_x509_crt *one = list; one != NULL && is_parsed(one); one = one->next) {
        chain->cas[chain->n++] = (struct ca){
            .subject = hash_name(&one->subject), .at = (uint32_t)chain->len, .len = (uint32_t)one->raw.len};
        memcpy(chain->bytes + chain->len, one->raw.p, one->raw.len);
        chain->len += one->raw.len;
    }
    return 0;
}

int ca_chain_add_pem(struct ca_chain *chain, const void *pem, size_t len)
{
    cleanup_buffer struct buffer text; /* mbedTLS wants the NUL of a PEM text, and counts it */
    mbedtls_x509_crt parsed;
    int ret = -1;

    buffer_init(&text, CA_CHAIN_MAX_BYTES + 1);
    mbedtls_x509_crt_init(&parsed);
    if (buffer_append(&text, pem, len, NULL) == 0 && buffer_append(&text, "", 1, NULL) == 0 &&
        mbedtls_x509_crt_parse(&parsed, text.data, text.len) >= 0)
        ret = keep(chain, &parsed);
    mbedtls_x509_crt_free(&parsed);
    return ret < 0 || chain->n == 0 ? -1 : 0;
}

void ca_chain_add_directory(struct ca_chain *chain, const char *directory)
{
    mbedtls_x509_crt parsed;

    mbedtls_x509_crt_init(&parsed);
    (void)mbedtls_x509_crt_parse_path(&parsed, directory);
    (void)keep(chain, &parsed);
    mbedtls_x509_crt_free(&parsed);
}

/* The CAs that may have issued `child`, as a list that mbedTLS frees; it compares names and keys itself. */
static int find_issuers(void *arg, const mbedtls_x509_crt *child, mbedtls_x509_crt **ret_list)
{
    const struct ca_chain *chain = arg;
    uint32_t issuer = hash_name(&child->issuer);
    mbedtls_x509_crt *list = NULL;

    for (size_t i = 0; i < chain->n; i++) {
        const struct ca *ca = &chain->cas[i];

        if (ca->subject != issuer)
            continue;
        if (list == NULL) {
            list = mbedtls_calloc(1, sizeof(*list));
            if (list == NULL)
                return MBEDTLS_ERR_X509_ALLOC_FAILED;
            mbedtls_x509_crt_init(list);
        }
        /* It was parsed before: what fails is lack of memory, and one CA less is found. */
        (void)mbedtls_x509_crt_parse_der_nocopy(list, chain->bytes + ca->at, ca->len);
    }
    if (list != NULL && !is_parsed(list)) {
        mbedtls_free(list);
        return MBEDTLS_ERR_X509_ALLOC_FAILED;
    }
    *ret_list = list;
    return 0;
}

void ca_chain_configure(struct ca_chain *chain, void *config)
{
    mbedtls_ssl_conf_ca_cb(config, find_issuers, chain);
}

void ca_chain_destroy(struct ca_chain *chain)
{
    if (chain == NULL)
        return;
    free(chain->cas);
    free(chain->bytes);
    free(chain);
}

#endif
