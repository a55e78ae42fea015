/*
 * object.h - members of JSON objects of the Kubernetes API by their paths. Pure.
 *
 * An object of the API may lack any member, and a member of another type counts as missing.
 */
#ifndef CTL_OBJECT_H
#define CTL_OBJECT_H

#include <cjson/cJSON.h>
#include <stdbool.h>

/* The member at a path such as "spec/nodeName", or NULL. `object` may be NULL. */
const cJSON *object_at(const cJSON *object, const char *path);

/* Its text, "" when it is missing. Lives as long as `object`. */
const char *object_text(const cJSON *object, const char *path);

/* Is it true? */
bool object_true(const cJSON *object, const char *path);

/* The element of the list at `path` whose member `key` is `value`, or NULL. */
const cJSON *object_find(const cJSON *object, const char *path, const char *key, const char *value);

#endif
