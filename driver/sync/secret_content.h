/*
 * secret_content.h - the desired content of a Kubernetes Secret: one entry of a class's secretObjects applied
 * to the files of a volume. Pure, and safe on a worker thread (keys of a PKCS#12 file cost time to derive).
 */
#ifndef DRIVER_SYNC_SECRET_CONTENT_H
#define DRIVER_SYNC_SECRET_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/secret.h"
#include "common/base/string_map.h"
#include "common/class/secret_object.h"
#include "common/crypto/digest.h"
#include "driver/payload/payload.h"

/* On every Secret that this driver, and the one it replaces, keeps. */
#define SECRET_MANAGED_LABEL "secrets-store.csi.k8s.io/managed"

#define SECRET_TYPE_OPAQUE "Opaque"
#define SECRET_TYPE_TLS    "kubernetes.io/tls"

enum {
    SECRET_CONTENT_FAILURES_MAX = 10, /* failed data entries of a Secret that are reported one by one */
    SECRET_DATA_MAX = 1 << 20,        /* bytes of all values of a Secret, a limit of the API server */
};

struct secret_value {
    char *key;            /* owned */
    struct secret *bytes; /* owned */
};

struct secret_content {
    char *name;               /* owned, a valid object name */
    char *type;               /* owned */
    struct string_map labels; /* the managed label included */
    struct string_map annotations;
    struct secret_value *values; /* sorted by key, no key twice */
    size_t n_values;
    char **kept; /* keys whose entry failed: they stay as they are in the Secret; owned */
    size_t n_kept;
    struct error *failures[SECRET_CONTENT_FAILURES_MAX]; /* of data entries; owned */
    size_t n_failures;
    uint8_t digest[DIGEST_SHA256_LEN]; /* over all of the above */
};

/* Applies class->secret_objects[index] to `files` (sealed). White space around secretName, type, objectName
 * and key does not count; a blank type is Opaque; of a key that occurs twice the last one counts; of entries
 * that name the same Secret the last one counts and the others are errors. Values are the files' bytes;
 * tls.crt and tls.key of a kubernetes.io/tls Secret are split out of them (tls_split.h).  An entry of `data`
 * that fails is one of ret->failures. An Opaque Secret does without it: its key is kept. A Secret of another
 * type, whose keys belong together, and one without any value are not built.  On failure `ret` has nothing
 * but further failures, besides *err. INVALID_ARGUMENT when the class is wrong, FAILED_PRECONDITION when a
 * file does not suit its key, RESOURCE_EXHAUSTED for too much data; texts name class, Secret, key and file.
 * Finish `ret` in any case. */
int secret_content_build(const struct secret_provider_class *class, size_t index, const struct payload *files,
                         struct secret_content *ret, struct error **err);

/* Is this key in the desired Secret, with a value or as it is? */
bool secret_content_names(const struct secret_content *content, const char *key);

/* Wipes and frees; empty afterwards. */
void secret_content_finish(struct secret_content *content);
#define cleanup_secret_content CLEANUP(secret_content_finish)

#endif
