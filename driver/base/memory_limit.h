/*
 * memory_limit.h - how much memory the cgroups of this process leave to it.
 *
 * The pages and inodes of a tmpfs count for the cgroup of the process that made them, and stay there until
 * the volume is removed, whatever happens to that process. A driver that filled its limit with volumes would
 * be killed for memory, and again at each start. So the driver asks here before it makes a volume.
 *
 * Limits of the own cgroup and of all above it count, as far as they can be seen: a container's is below that
 * of its pod, in which a restarted container finds the volumes of the one before. Where that cannot be seen,
 * the volumes that were there at the start count instead. Both versions of cgroups.
 */
#ifndef DRIVER_BASE_MEMORY_LIMIT_H
#define DRIVER_BASE_MEMORY_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

/* Kept free of volumes: a driver needs less than half of it to start and to serve. */
enum { MEMORY_LIMIT_RESERVE = 8 * 1024 * 1024 };
/* What is left is read again after so long. */
enum { MEMORY_LIMIT_AGE_MS = 1000 };

#define MEMORY_LIMIT_NONE UINT64_MAX

struct memory_limit;

/* Finds the cgroups of the process. `process` is /proc/self. Without cgroups, or with cgroups that cannot be
 * seen, there is no limit. NULL with err set on lack of memory. */
struct memory_limit *memory_limit_create(const char *process, struct error **err);

/* Is a cgroup above the own one to be seen? Not in a container that sees its own as the root. */
bool memory_limit_sees_parent(const struct memory_limit *limit);

/* Bytes that count for a limit that cannot be seen: they are taken off what is left. Asked for whenever that
 * is read. */
typedef uint64_t memory_limit_others(void *arg);
void memory_limit_count_others(struct memory_limit *limit, memory_limit_others *others, void *arg);

/* Bytes until the nearest limit, where pages of files that the kernel can drop count as free;
 * MEMORY_LIMIT_NONE without a limit. */
uint64_t memory_limit_left(struct memory_limit *limit);

/* Is there space for a volume of so many bytes besides the reserve? If so it counts from now on. */
bool memory_limit_take(struct memory_limit *limit, uint64_t bytes);

/* Accepts NULL. */
void memory_limit_destroy(struct memory_limit *limit);

#endif
