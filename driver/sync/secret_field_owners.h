/*
 * secret_claims.h - which class keeps which part of a Kubernetes Secret.
 *
 * Several SecretProviderClasses may name the same Secret, each with keys, labels and annotations of its own.
 * None may remove what another one needs, and nobody but the Secret itself knows all of them: its classes
 * live on different nodes. So each writes down what it keeps, in an annotation of the Secret:
 *
 *     secrets-store.csi.k8s.io/written-by:
 *       {"web-certs":{"data":["tls.crt","tls.key"],"labels":["app"]},"web-extra":{"data":["ca.crt"]}}
 *
 * A claim is such a line: of one class, to one field. A field may be claimed by several classes while they
 * agree on its value. What nobody claims (any more) may go, except from a Secret that has no claims at all:
 * drivers that know none have made it, perhaps for several classes.
 *
 * Pure. Names only, no contents.
 */
#ifndef DRIVER_SECRET_FIELD_OWNERS_H
#define DRIVER_SECRET_FIELD_OWNERS_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "common/base/error.h"
#include "driver/class/class.h"

#define SECRET_CLAIMS_ANNOTATION "secrets-store.csi.k8s.io/written-by"

enum {
    SECRET_CLAIMS_TEXT_MAX = 256 * 1024, /* bytes; all annotations of an object together, by API server */
    SECRET_CLAIMS_CLASSES_MAX = 32,      /* classes of one Secret */
};

/* The parts of a Secret that consist of named fields. */
enum secret_part { SECRET_DATA, SECRET_LABELS, SECRET_ANNOTATIONS, SECRET_PARTS };

/* Their names in the API: "data", "labels", "annotations". */
const char *secret_part_name(enum secret_part part);

/* The claims that the Secret `object` carries, as an object of the shape above. Without the annotation, and
 * when that is not what a driver has written (it is then written anew): an empty object. The caller frees
 * with cJSON_Delete(). NULL only on lack of memory. */
cJSON *secret_claims_read(const cJSON *object);

/* Does `class` claim this field? */
bool secret_claims_have(const cJSON *claims, const char *class, enum secret_part part, const char *key);

/* The keys of one part that `class` claims, an array of strings; NULL when there are none. Borrowed. */
const cJSON *secret_claims_of(const cJSON *claims, const char *class, enum secret_part part);

/* Are there claims of other classes than `class`? */
bool secret_claims_shared(const cJSON *claims, const char *class);

/* The first class but `class` (NULL: any) that claims this field; NULL when there is none. Borrowed. */
const char *secret_claims_other(const cJSON *claims, const char *class, enum secret_part part,
                                const char *key);

/* Adds a claim unless it is there. -1 only on lack of memory. */
int secret_claims_add(cJSON *claims, const char *class, enum secret_part part, const char *key);

/* Removes a claim, if it is there. `class` may be what secret_claims_other() has returned. */
void secret_claims_drop(cJSON *claims, const char *class, enum secret_part part, const char *key);

/* Removes the claims of `class_name` to fields of the Secret `secret` that the class does not name any more;
 * all of them when `class` is NULL (there is no such class). Returns true when there were any. */
bool secret_claims_prune(cJSON *claims, const char *class_name, const struct secret_provider_class *class,
                         const char *secret);

/* The annotation's value. The caller frees with secret_free(). NULL on lack of memory. */
char *secret_claims_text(const cJSON *claims);

#endif
