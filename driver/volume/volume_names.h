/*
 * volume_names.h - the names of a volume: where it is, of which pod, of which class.
 *
 * All of them come from the publish request of that very volume, nothing from an object in the API: what is
 * read, and for which pod, cannot be forged there. Several components remember the same volume; its names,
 * the most of what they know, are kept once for all of them, and of the kubelet's target paths only what
 * differs: that takes 110 to 150 bytes of a volume instead of 200 to 250. Loop thread only.
 */
#ifndef DRIVER_VOLUME_VOLUME_NAMES_H
#define DRIVER_VOLUME_VOLUME_NAMES_H

#include <stdint.h>

#include "common/base/hash_table.h"
#include "common/base/list.h"
#include "driver/volume/target_path.h"

/* Borrowed texts. NULL counts as "". */
struct volume_names {
    const char *target_path; /* at most TARGET_PATH_MAX bytes */
    const char *ns;          /* of the pod and of the class */
    const char *pod_name;
    const char *pod_uid;
    const char *class_name; /* as the pod names it */
};

/* A copy whose texts belong to it, in one allocation; free() it. NULL on lack of memory. */
struct volume_names *volume_names_copy(const struct volume_names *names);

/* A copy that is shared. */
struct shared_names;

/* The copies of all volumes. It owns nothing but its table. */
struct volume_names_pool {
    struct hash_table table; /* struct shared_names */
    struct list roots;       /* struct path_root; a handful, mostly one */
};

void volume_names_pool_init(struct volume_names_pool *pool);

/* Nobody holds a copy any more. */
void volume_names_pool_finish(struct volume_names_pool *pool);

/* A reference to the pool's copy of these names, which is made if need be. Without a pool (NULL): a copy that
 * is not shared. NULL on lack of memory. */
struct shared_names *shared_names_get(struct volume_names_pool *pool, const struct volume_names *names);

/* Ends a reference that came from this pool; the last one frees the copy. Accepts NULL. */
void shared_names_unref(struct volume_names_pool *pool, struct shared_names *shared);

/* The texts, valid as long as the reference, but for the target path, which is written to `path`. NULL: it is
 * not wanted, and NULL. */
struct volume_names shared_names_read(const struct shared_names *shared, char path[TARGET_PATH_MAX + 1]);

/* Are these its texts? */
bool shared_names_are(const struct shared_names *shared, const struct volume_names *names);

/* Is this its target path? */
bool shared_names_have_path(const struct shared_names *shared, const char *path);

/* The hash of its target path: hash_text(). */
uint32_t shared_names_hash(const struct shared_names *shared);

#endif
