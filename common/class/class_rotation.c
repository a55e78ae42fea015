/*
 * class_rotation.c - the rotation interval and the rotation spec of a class.
 */
#include "common/class/class_rotation.h"

#include <stdio.h>
#include <string.h>

#include "common/base/secret.h"
#include "common/crypto/digest.h"
#include "common/process/options.h"

enum { NS_PER_S = 1000000000 };

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

/* The input of the digest as one JSON text: names and values cannot run into each other. */
static char *hash_input(const struct secret_provider_class *class)
{
    cleanup_string_map struct string_map input = {0};

    if (string_map_merge(&input, &class->parameters, /* err= */ NULL) < 0 ||
        string_map_set(&input, "\nprovider", class->provider, /* err= */ NULL) < 0 ||
        string_map_set(&input, "\n" CLASS_ANNOTATION_REFRESH, or_empty(class->refresh), /* err= */ NULL) < 0)
        return NULL;
    /* Left out when it is absent, so that the hash is that of earlier versions. */
    if (or_empty(class->update_in_place)[0] != '\0' &&
        string_map_set(&input, "\n" CLASS_ANNOTATION_IN_PLACE, class->update_in_place, /* err= */ NULL) < 0)
        return NULL;
    return string_map_to_json(&input, /* err= */ NULL);
}

/* "" when it cannot be computed (no memory, parameters that are not UTF-8). */
static void compute_hash(const struct secret_provider_class *class, char hash[ROTATION_SPEC_HASH_LEN + 1])
{
    cleanup_secret_free char *text = hash_input(class);
    char digest[DIGEST_SHA256_HEX_LEN + 1];

    hash[0] = '\0';
    if (text == NULL || digest_sha256_hex(text, strlen(text), digest) < 0)
        return;
    (void)snprintf(hash, ROTATION_SPEC_HASH_LEN + 1, "%.*s", (int)ROTATION_SPEC_HASH_LEN, digest);
}

int class_rotation_interval(const struct secret_provider_class *class, int64_t default_interval_s,
                            int64_t *ret_s, struct error **err)
{
    const char *text = or_empty(class->rotation_interval);
    int64_t ns = 0;

    *ret_s = default_interval_s;
    if (text[0] == '\0')
        return 0;
    if (duration_parse(text, &ns, /* err= */ NULL) < 0 || ns < NS_PER_S ||
        ns / NS_PER_S > ROTATION_INTERVAL_MAX_S)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "annotation " CLASS_ANNOTATION_INTERVAL
                         " of secretproviderclass %s/%s: '%.64s' is not a duration between 1s and 8760h",
                         class->ns, class->name, text);
    *ret_s = ns / NS_PER_S;
    return 0;
}

int class_rotation_spec(struct secret_provider_class *class, int64_t default_interval_s,
                        struct rotation_spec *ret, struct error **err)
{
    if (class->spec_hash != NULL) {
        (void)snprintf(ret->hash, sizeof(ret->hash), "%s", class->spec_hash);
    } else {
        compute_hash(class, ret->hash);
        if (ret->hash[0] != '\0')
            class->spec_hash = strdup(ret->hash);
    }
    return class_rotation_interval(class, default_interval_s, &ret->interval_s, err);
}
