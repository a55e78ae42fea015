/*
 * volume_state.h - what the driver remembers of the volumes it has published, beyond the volumes' own
 * metadata.
 *
 * Nothing here is needed for correctness: after a restart the table is empty, volumes are found again by
 * their mounts, and entries come back from the volumes' metadata (volume_metadata.h). Loop thread only.
 */
#ifndef DRIVER_ROTATION_VOLUME_STATE_H
#define DRIVER_ROTATION_VOLUME_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/string_map.h"
#include "driver/rotation/rotation.h"
#include "driver/rotation/version_set.h"
#include "driver/volume/volume_table.h"

struct volume_states;

/* A node may have ten thousand: names, versions and the provider are shared. */
struct volume_state {
    struct volume_entry entry;
    const char *provider;         /* may be NULL; the metrics label until the class is read */
    struct version_set *versions; /* a reference; object id -> version mounted now, NULL = none is known */
    uint32_t first_seen_unix;     /* when this process found or made it; until 2106 */
    int32_t interval_s;           /* of the class when it was last read; 0 = not known */

    /* the rotation spec, see rotation.h */
    uint64_t spec_digest;         /* at the last successful check */
    uint64_t failed_spec_digest;  /* at the last failure since then */
    bool class_seen;              /* the class has been read since first_seen_unix, */
    bool spec_changed_when_found; /* and then the rotation spec had changed */

    /* failed rotation checks since the last successful one */
    bool class_unread; /* the last one: the class could not be read */
    unsigned failures;
    uint32_t retry_steady_s; /* not before, by clock_steady_s(); 0 = no failure to wait for */

    uint32_t reported_annotation_hash; /* of the invalid annotation that an Event was made for; 0 = none */
};
/* Narrow types: musl takes 80 bytes for up to 76, and took 112 for 64-bit times and whole hashes, 0.3 MiB
 * more for ten thousand volumes. */
_Static_assert(sizeof(void *) != 8 || sizeof(struct volume_state) <= 76, "a volume takes more memory");

/* The pools are borrowed for life; NULL: names and versions are not shared with other components. */
struct volume_states *volume_states_create(struct volume_names_pool *names, struct version_sets *versions,
                                           struct error **err);
void volume_states_destroy(struct volume_states *volumes);

/* The entry, or NULL. Valid until it is removed. */
struct volume_state *volume_states_find(struct volume_states *volumes, const char *target_path);

/* The entry, made if need be. NULL with err set on lack of memory. */
struct volume_state *volume_states_get(struct volume_states *volumes, const struct volume_names *names,
                                       struct error **err);

/* A volume that was found and is not in the table: its entry, from the text of its metadata (NULL: none).
 * NULL on lack of memory. */
struct volume_state *volume_states_restore(struct volume_states *volumes, const struct volume_names *names,
                                           const char *metadata, int64_t now_unix);

/* A successful mount or rotation check: failures are forgotten. Lack of memory only means that less is
 * known. */
void volume_states_succeeded(struct volume_states *volumes, const struct volume_names *names,
                             const char *provider, const struct rotation_spec *spec,
                             const struct string_map *versions, int64_t now_unix);

/* A failed rotation check: the next one waits. `random`: see rotation_backoff_s(). A spec without a hash is
 * that of a class that could not be read. `steady_s`: clock_steady_s(), since a pause must not depend on a
 * clock that is set. */
void volume_states_failed(struct volume_states *volumes, const struct volume_names *names,
                          const struct rotation_spec *spec, uint32_t random, int64_t steady_s);

/* Classes can be read again: rotation checks that failed for the lack of one do not wait any longer. */
void volume_states_retry_class_errors(struct volume_states *volumes);

/* Has the rotation spec changed since the last successful check? (rotation.h) */
bool volume_state_spec_changed(const struct volume_state *volume, const struct rotation_spec *spec);

/* Is the pause after the last failure not over? */
bool volume_state_waits(const struct volume_state *volume, int64_t steady_s);

/* Is a rotation check of this volume due? (rotation.h) `last_checked_unix`: from the volume itself;
 * `steady_s`: clock_steady_s(). */
bool volume_state_due(struct volume_state *volume, const struct rotation_spec *spec,
                      uint64_t last_checked_unix, int64_t now_unix, int64_t steady_s);

/* Forgets a volume. Harmless when it is not known. */
void volume_states_remove(struct volume_states *volumes, const char *target_path);

size_t volume_states_count(const struct volume_states *volumes);

#endif
