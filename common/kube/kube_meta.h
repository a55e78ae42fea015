/*
 * kube_meta.h - how the Kubernetes API writes paths, times, metadata and failures. Pure functions.
 */
#ifndef COMMON_KUBE_KUBE_META_H
#define COMMON_KUBE_KUBE_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/json.h"

/* "/apis/<group>/<version>/namespaces/<ns>/<resource>[/<name>]" with escaped segments; group "" gives
 * "/api/<version>/...", ns "" an object without a namespace. NULL name: the collection. The caller frees.
 * NULL with err set on lack of memory. */
char *kube_path(const char *group, const char *version, const char *ns, const char *resource,
                const char *name, struct error **err);

/* The plural in such a path, copied to `out` (cut to `size`); "" when there is none. */
void kube_path_resource(const char *path, char *out, size_t size);

/* A string of metadata ("resourceVersion", "uid", "name"), "" when it is missing. Lives as long as `object`,
 * which may be NULL. */
const char *kube_metadata_string(const cJSON *object, const char *key);

/* Is the object being deleted (metadata.deletionTimestamp)? It stays as long as it has finalizers, and then
 * it is gone, whatever is written into it. `object` may be NULL. */
bool kube_is_being_deleted(const cJSON *object);

/* Seconds since 1970 as the API writes times (RFC 3339, UTC). "" for years it does not know. */
#define KUBE_TIME_SIZE 24
void kube_time(int64_t unix_s, char out[KUBE_TIME_SIZE]);

/* The error of a failed response (see kube_callback). `json` may be NULL. Sets *err, returns -1. */
int kube_status_error(int status, const cJSON *json, struct error **err);

#endif
