/*
 * secret_cache.h - small blocks of the wiping allocator that a thread has given back, for its next ones.
 *
 * A request to a service makes some 150 blocks of the same sizes as the one before. A block that stays here
 * costs a few instructions, one that goes to the C library and comes back several hundred; and musl gives the
 * memory of the larger ones back to the kernel each time. With an arena (secret_arena.h) its blocks are kept,
 * and no others: what is locked stays so. Blocks here are wiped: they hold zeros, but for the link to the
 * next one.
 *
 * Each thread has its own, or none: threads that end would take their blocks with them. For secret.c alone,
 * but for enable, disable and trim.
 */
#ifndef COMMON_BASE_SECRET_CACHE_H
#define COMMON_BASE_SECRET_CACHE_H

#include <stdbool.h>
#include <stddef.h>

enum { SECRET_CACHE_BLOCK_MAX = 8 * 1024 };

/* The calling thread keeps blocks from now on, at most `bytes_max` together, and not more than an eighth of
 * the arena. Without memory it goes on without. Never in sanitized programs, where blocks that were given
 * back have to stay away. */
void secret_cache_enable(size_t bytes_max);
/* What the calling thread was enabled with; 0 = it keeps none. */
size_t secret_cache_limit(void);
/* Gives all blocks of the calling thread back; it keeps none any more. */
void secret_cache_disable(void);

/* Gives all blocks of the calling thread back; it goes on keeping blocks. For times without work, and when
 * an arena has been made. */
void secret_cache_trim(void);

/* The number of bytes to request for a block of `size`, so that it will serve again. */
size_t secret_cache_round(size_t size);
/* A block of at least `size` bytes, all zero. NULL when there is none. */
void *secret_cache_take(size_t size);
/* Keeps a wiped block that has `usable` bytes. False: it is the caller's still. */
bool secret_cache_put(void *block, size_t usable);

#endif
