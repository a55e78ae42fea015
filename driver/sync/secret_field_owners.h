/*
 * secret_field_owners.h - which class owns which field of a Kubernetes Secret.
 *
 * Several SecretProviderClasses may name the same Secret, each with keys, labels and annotations of its own.
 * None may remove what another one needs, and only the Secret itself knows all of them: its classes live on
 * different nodes. So each writes down its fields, in an annotation of the Secret:
 *
 *     secrets-store.csi.k8s.io/written-by:
 *       {"web-certs":{"data":["tls.crt","tls.key"],"labels":["app"]},"web-extra":{"data":["ca.crt"]}}
 *
 * A field may have several owners while they agree on its value. A field without an owner may be removed,
 * except from a Secret that has no owners at all: a driver that does not know them has made it, perhaps for
 * several classes.
 *
 * The field owners are a JSON object of the shape above. Pure. Names only, no contents.
 */
#ifndef DRIVER_SYNC_SECRET_FIELD_OWNERS_H
#define DRIVER_SYNC_SECRET_FIELD_OWNERS_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "common/base/error.h"
#include "common/class/secret_object.h"
#include "driver/sync/secret_fields.h"

enum {
    SECRET_FIELD_OWNERS_TEXT_MAX =
        256 * 1024,                       /* bytes; all annotations of an object together, by API server */
    SECRET_FIELD_OWNERS_CLASSES_MAX = 32, /* classes of one Secret */
};

/* --- reading --- */

/* The field owners of the Secret `object`. Without the annotation, and when no driver can have written it (it
 * is then replaced): an empty object. The caller frees with cJSON_Delete(). NULL only on lack of memory. */
cJSON *secret_field_owners_read(const cJSON *object);

/* Does `class` own this field? */
bool secret_field_owners_has(const cJSON *owners, const char *class, enum secret_part part, const char *key);

/* The keys of one part that `class` owns, an array of strings; NULL when there are none. Borrowed. */
const cJSON *secret_field_owners_keys(const cJSON *owners, const char *class, enum secret_part part);

/* Are there other owners than `class`? */
bool secret_field_owners_shared(const cJSON *owners, const char *class);

/* The first class but `class` (NULL: any) that owns this field; NULL when there is none. Borrowed. */
const char *secret_field_owners_other(const cJSON *owners, const char *class, enum secret_part part,
                                      const char *key);

/* --- changing --- */

/* Makes `class` an owner of the field. -1 only on lack of memory. */
int secret_field_owners_add(cJSON *owners, const char *class, enum secret_part part, const char *key);

/* `class` does not own the field any more. It may be what secret_field_owners_other() has returned. */
void secret_field_owners_remove(cJSON *owners, const char *class, enum secret_part part, const char *key);

/* Removes the fields of the Secret `secret` that `class_name` owns and the class does not name any more; all
 * of them when `class` is NULL (there is no such class). Returns true when there were any. */
bool secret_field_owners_prune(cJSON *owners, const char *class_name,
                               const struct secret_provider_class *class, const char *secret);

/* The annotation's value. The caller frees with secret_free(). NULL on lack of memory. */
char *secret_field_owners_text(const cJSON *owners);

#endif
