/*
 * published.h - what the driver remembers of the volumes it has published, beyond what the volumes themselves
 * tell.
 *
 * Nothing here is needed for correctness: after a restart the table is empty, volumes are found again by
 * looking at their mounts, and entries come back with the next contact. Loop thread only.
 */
#ifndef DRIVER_PUBLISHED_H
#define DRIVER_PUBLISHED_H

#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/string_map.h"

struct published_volumes;

struct published_volume {
    char *target_path;          /* owned; the key */
    struct string_map versions; /* object id -> version mounted now; told to the provider when the volume is
                                   looked at again */
    char *provider;    /* owned, may be NULL; the metrics label for calls that end before the class is read */
    unsigned failures; /* failed looks since the last good one */
    int64_t retry_unix;            /* not before; 0 = no failure to wait for */
    struct published_volume *next; /* of the table */
};

struct published_volumes *published_volumes_create(struct error **err);
void published_volumes_destroy(struct published_volumes *volumes);

/* The entry, or NULL. Valid until it is removed. */
struct published_volume *published_volumes_find(struct published_volumes *volumes, const char *target_path);

/* The entry, made if need be. NULL with err set on lack of memory. */
struct published_volume *published_volumes_get(struct published_volumes *volumes, const char *target_path,
                                               struct error **err);

/* Forgets a volume. Harmless when it is not known. */
void published_volumes_remove(struct published_volumes *volumes, const char *target_path);

size_t published_volumes_count(const struct published_volumes *volumes);

#endif
