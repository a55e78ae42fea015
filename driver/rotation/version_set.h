/*
 * version_set.h - the object versions that volumes show, kept once for all volumes that show the same (a
 * hundred pods of one class do, and ten objects take a kilobyte) and for all components that remember them.
 *
 * Loop thread only.
 */
#ifndef DRIVER_ROTATION_VERSION_SET_H
#define DRIVER_ROTATION_VERSION_SET_H

#include "common/base/hash_table.h"
#include "common/base/string_map.h"

struct version_set;

struct version_sets {
    struct hash_table table; /* struct version_set */
};

/* It owns nothing but its table: the holders of sets give them back with version_set_unref(). */
void version_sets_init(struct version_sets *sets);

/* Nobody holds a set any more. */
void version_sets_finish(struct version_sets *sets);

/* A reference to the set with the content of `versions` (object id -> version), which is copied if need be.
 * Without `sets` (NULL): one that is not shared. NULL for an empty one, and on lack of memory. */
struct version_set *version_sets_get(struct version_sets *sets, const struct string_map *versions);

/* Ends a reference that came from `sets`; the last one frees the set. Accepts NULL. */
void version_set_unref(struct version_sets *sets, struct version_set *set);

/* Its content, valid as long as the reference; an empty map for NULL. */
const struct string_map *version_set_map(const struct version_set *set);

#endif
