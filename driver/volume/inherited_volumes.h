/*
 * inherited_volumes.h - volumes that were on the node when this process started, and their memory.
 *
 * Their pages are charged to the pod of the container that made them: often this one's, whose cgroup it
 * cannot always see (memory_limit.h).
 */
#ifndef DRIVER_VOLUME_INHERITED_VOLUMES_H
#define DRIVER_VOLUME_INHERITED_VOLUMES_H

#include <stdint.h>

struct inherited_volumes;

/* Finds the volumes of this driver in the table of mounts. NULL when there are none, or no memory. */
struct inherited_volumes *inherited_volumes_find(void);

/* The kernel memory of those that are still there; `arg` is a struct inherited_volumes. */
uint64_t inherited_volumes_memory(void *arg);

/* Accepts NULL. */
void inherited_volumes_destroy(struct inherited_volumes *volumes);

#endif
