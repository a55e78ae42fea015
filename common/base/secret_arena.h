/*
 * secret_arena.h - memory for secrets that never reaches swap, for the wiping allocator (secret.h).
 *
 * One region, locked as its pages are touched (mlock2(2), MLOCK_ONFAULT), handed out in blocks whose sizes
 * are powers of two (a buddy allocator: D. Knuth, The Art of Computer Programming, volume 1, 2.5). What does
 * not fit comes from malloc(). There is one arena per process, as there is one malloc(); without one the
 * functions below know no block. From any thread.
 *
 * Processes that may lock only little memory (RLIMIT_MEMLOCK) need it. The others are quicker with it: the
 * size of a block is in one byte, where musl's has to be read from four places that lie far apart, each time
 * that a block is wiped. A mount makes 170 blocks; it costs the driver 165 us with an arena, 195 without.
 */
#ifndef COMMON_BASE_SECRET_ARENA_H
#define COMMON_BASE_SECRET_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

enum {
    SECRET_ARENA_BLOCK_MIN = 64,
    SECRET_ARENA_BYTES_MIN = 64 * 1024,
    SECRET_ARENA_BYTES_MAX = 16 * 1024 * 1024,
};

enum secret_arena_rest {
    SECRET_ARENA_REST_NOT_LOCKED, /* a block that does not fit is counted */
    SECRET_ARENA_REST_LOCKED,     /* the whole process is */
};

/* Makes the arena, of the largest power of two up to `bytes` and SECRET_ARENA_BYTES_MAX; returns its size. 0
 * with err set if there is one, `bytes` is too small, or the kernel refuses. It lives as long as the process.
 * `rest`: the memory besides the arena. */
size_t secret_arena_create(size_t bytes, enum secret_arena_rest rest, struct error **err);

/* The size of the arena; 0 = there is none. */
size_t secret_arena_size(void);

/* A block of at least `size` bytes with undefined content, aligned to SECRET_ARENA_BLOCK_MIN; NULL if there
 * is no arena or no room. */
void *secret_arena_alloc(size_t size);

/* Whether `ptr` is a block of the arena. */
bool secret_arena_owns(const void *ptr);

/* The usable size of one. */
size_t secret_arena_block_size(const void *ptr);

/* Returns a block, which the caller has wiped. */
void secret_arena_free(void *ptr);

/* Notes that a block did not fit. */
void secret_arena_count_overflow(void);
/* How many did not, and are therefore not locked. */
uint64_t secret_arena_overflows(void);

#endif
