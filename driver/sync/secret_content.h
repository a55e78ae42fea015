/*
 * secret_content.h - what a Kubernetes Secret should hold: one entry of a class's secretObjects applied to
 * the files of a volume. Pure, and safe on a worker thread (keys of a PKCS#12 file cost time to derive).
 */
#ifndef DRIVER_SYNC_SECRET_CONTENT_H
#define DRIVER_SYNC_SECRET_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/secret.h"
#include "common/base/string_map.h"
#include "common/crypto/digest.h"
#include "driver/class/class.h"
#include "driver/payload/payload.h"
#include "driver/sync/secret_field_owners.h"

/* How Secrets kept by this driver (and the one it replaces) are told from others. */
#define SECRET_MANAGED_LABEL "secrets-store.csi.k8s.io/managed"

#define SECRET_TYPE_OPAQUE "Opaque"
#define SECRET_TYPE_TLS    "kubernetes.io/tls"

enum {
    SECRET_DATA_MAX = 1 << 20, /* bytes of all values of a Secret, a limit of the API server */
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
    uint8_t digest[DIGEST_SHA256_LEN]; /* over all of the above */
};

/* The name a Secret gets: the entry's without white space around it. The caller frees; NULL without
 * memory. */
char *secret_content_name(const struct secret_object *object);

/* Does `class` want this field in the Secret `secret`? Lack of memory counts as yes. */
bool secret_content_names(const struct secret_provider_class *class, const char *secret,
                          enum secret_part part, const char *key);

/* Applies class->secret_objects[index] to `files` (sealed). White space around secretName, type, objectName
 * and key does not count; a blank type is Opaque; of a key that occurs twice the last one counts; of entries
 * that name the same Secret the last one counts and the others are errors. Values are the files' bytes; for
 * kubernetes.io/tls see tls_split.h. INVALID_ARGUMENT for what the class's author has to correct,
 * FAILED_PRECONDITION for a file that is not what its key needs, RESOURCE_EXHAUSTED for too much data; texts
 * name class, Secret, key and file. */
int secret_content_build(const struct secret_provider_class *class, size_t index, const struct payload *files,
                         struct secret_content *ret, struct error **err);

/* Wipes and frees; empty afterwards. */
void secret_content_finish(struct secret_content *content);
#define cleanup_secret_content CLEANUP(secret_content_finish)

#endif
