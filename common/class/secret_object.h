/*
 * secret_object.h - the rules for an entry of secretObjects, which need no files. Pure.
 */
#ifndef COMMON_CLASS_SECRET_OBJECT_H
#define COMMON_CLASS_SECRET_OBJECT_H

#include "common/class/class.h"

enum { SECRET_KEY_MAX = 253 }; /* bytes of a key of a Secret, a limit of the API server */

/* Of a Secret: which class owns which of its fields. The driver alone writes it. */
#define SECRET_FIELD_OWNERS_ANNOTATION "secrets-store.csi.k8s.io/written-by"

/* A name in secretObjects as it counts, without white space around it. The caller frees; NULL without memory.
 */
char *secret_field_trim(const char *text);

/* A key as the API server checks it, which would refuse the whole Secret. INVALID_ARGUMENT. */
int secret_key_check(const char *key, struct error **err);

/* The names of class->secretObjects[index], and that no later entry names the same Secret. INVALID_ARGUMENT.
 */
int secret_object_check(const struct secret_provider_class *class, size_t index, struct error **err);

#endif
