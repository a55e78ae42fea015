/*
 * published.h - what the driver remembers of the volumes it has published, beyond what the volumes themselves
 * tell.
 *
 * Nothing here is needed for correctness: after a restart the table is empty, volumes are found again by
 * looking at their mounts, and entries come back from the volumes' own records (volume_record.h). Loop thread
 * only.
 */
#ifndef DRIVER_VOLUME_STATE_H
#define DRIVER_VOLUME_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/string_map.h"
#include "driver/rotation/rotation.h"
#include "driver/volume/volume_table.h"

struct published_volumes;

struct published_volume {
    struct volume_entry entry;
    struct string_map versions; /* object id -> version mounted now; told to the provider when the volume is
                                   looked at again */
    char *provider; /* owned, may be NULL; the metrics label for calls that end before the class is read */
    char mark[ROTATION_SPEC_HASH_LEN + 1]; /* spec of the class at the last good look; "" = not known */
    char failed_mark[ROTATION_SPEC_HASH_LEN + 1]; /* the same at the last failure since then; "" = none */
    int64_t interval_s;      /* that the class asked for when it was last read; 0 = not known */
    uint32_t complaint;      /* seed of the annotation that the pod was told of; 0 = none */
    int64_t first_seen_unix; /* when this process met it */
    bool judged;             /* its class has been seen since then, */
    bool met_changed;        /* and at the first time there was a spec already */
    unsigned failures;       /* failed looks since the last good one */
    int64_t retry_unix;      /* not before; 0 = no failure to wait for */
    bool class_unread;       /* the last failure: the class could not be read */
};

struct published_volumes *published_volumes_create(struct error **err);
void published_volumes_destroy(struct published_volumes *volumes);

/* The entry, or NULL. Valid until it is removed. */
struct published_volume *published_volumes_find(struct published_volumes *volumes, const char *target_path);

/* The entry, made if need be. NULL with err set on lack of memory. */
struct published_volume *published_volumes_get(struct published_volumes *volumes, const char *target_path,
                                               struct error **err);

/* A volume that was found and is not in the table: its entry, from `record`, the text of its record, or NULL.
 * NULL on lack of memory. */
struct published_volume *published_volumes_recall(struct published_volumes *volumes, const char *target_path,
                                                  const char *record, int64_t now_unix);

/* A good contact: failures are forgotten. Moves *versions in. Lack of memory only means that less is
 * known. */
void published_volumes_succeeded(struct published_volumes *volumes, const char *target_path,
                                 const char *provider, const struct rotation_spec *spec,
                                 struct string_map *versions, int64_t now_unix);

/* A failed look: the next one waits. `random`: see rotation_backoff_s(). A spec without a mark is that of a
 * class which could not be read. */
void published_volumes_failed(struct published_volumes *volumes, const char *target_path,
                              const struct rotation_spec *spec, uint32_t random, int64_t now_unix);

/* Classes can be read again: looks that failed for the lack of one do not wait any longer. */
void published_volumes_classes_are_back(struct published_volumes *volumes);

/* Is a look at this volume due? (rotation.h) `last_checked_unix`: as the volume itself says. */
bool published_volume_due(struct published_volume *volume, const struct rotation_spec *spec,
                          uint64_t last_checked_unix, int64_t now_unix);

/* Forgets a volume. Harmless when it is not known. */
void published_volumes_remove(struct published_volumes *volumes, const char *target_path);

size_t published_volumes_count(const struct published_volumes *volumes);

#endif
