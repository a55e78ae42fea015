/*
 * secret_cache.c - a list of free blocks for each size.
 *
 * The sizes are those of the arena, 64, 128, 256, ...; without one those of which musl's blocks have no rest:
 * 12, 28, 44, ...
 */
#include "common/base/secret_cache.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#include "common/base/sanitized.h"
#include "common/base/secret_arena.h"

enum {
    STEP = 16,
    OVERHEAD = 4,
    SMALLEST = STEP - OVERHEAD,
    SIZES = (SECRET_CACHE_BLOCK_MAX + OVERHEAD) / STEP + 1
};

struct free_block {
    struct free_block *next;
};

struct secret_cache {
    size_t bytes, bytes_max;
    struct free_block *first[SIZES];
};

/* One for a thread: allocator hooks of libraries have no argument to pass it in. */
static _Thread_local struct secret_cache *cache;

static size_t bytes_of(size_t index)
{
    return secret_arena_size() > 0 ? (size_t)SECRET_ARENA_BLOCK_MIN << index : index * STEP - OVERHEAD;
}

/* Of the smallest blocks that have `size` bytes. */
static size_t index_for(size_t size)
{
    if (secret_arena_size() == 0)
        return (size + OVERHEAD + STEP - 1) / STEP;
    size_t smallest = (size + SECRET_ARENA_BLOCK_MIN - 1) / SECRET_ARENA_BLOCK_MIN; /* to be rounded up */
    return smallest <= 1 ? 0 : CHAR_BIT * sizeof(long) - (size_t)__builtin_clzl(smallest - 1);
}

static void give_back(void *block)
{
    if (secret_arena_owns(block))
        secret_arena_free(block);
    else
        free(block);
}

/* How many bytes more may be kept. */
static size_t room(void)
{
    size_t of_arena = secret_arena_size() / 8;
    size_t max = of_arena > 0 && of_arena < cache->bytes_max ? of_arena : cache->bytes_max;

    return max > cache->bytes ? max - cache->bytes : 0;
}

void secret_cache_enable(size_t bytes_max)
{
    assert(cache == NULL);
    if (!SANITIZED)
        cache = calloc(1, sizeof(*cache));
    if (cache != NULL)
        cache->bytes_max = bytes_max;
}

size_t secret_cache_limit(void)
{
    return cache != NULL ? cache->bytes_max : 0;
}

void secret_cache_trim(void)
{
    for (size_t i = 0; cache != NULL && cache->bytes > 0 && i < SIZES; i++) {
        while (cache->first[i] != NULL) {
            struct free_block *block = cache->first[i];
            cache->first[i] = block->next;
            give_back(block);
        }
    }
    if (cache != NULL)
        cache->bytes = 0;
}

void secret_cache_disable(void)
{
    secret_cache_trim();
    free(cache);
    cache = NULL;
}

size_t secret_cache_round(size_t size)
{
    if (cache == NULL || size > SECRET_CACHE_BLOCK_MAX - STEP || secret_arena_size() > 0)
        return size;
    return bytes_of(index_for(size));
}

void *secret_cache_take(size_t size)
{
    if (cache == NULL || size > SECRET_CACHE_BLOCK_MAX - STEP)
        return NULL;
    size_t index = index_for(size);
    struct free_block *block = cache->first[index];
    if (block == NULL)
        return NULL;
    cache->first[index] = block->next;
    cache->bytes -= bytes_of(index);
    block->next = NULL;
    return block;
}

bool secret_cache_put(void *block, size_t usable)
{
    struct free_block *link = block;
    bool locked = secret_arena_size() > 0;

    if (cache == NULL || usable > SECRET_CACHE_BLOCK_MAX || usable < SMALLEST ||
        secret_arena_owns(block) != locked)
        return false;
    size_t index = locked ? index_for(usable) : (usable + OVERHEAD) / STEP; /* what is beyond is not used */
    if (bytes_of(index) > room())
        return false;
    if (cache->first[index] == link)
        abort(); /* freed twice */
    link->next = cache->first[index];
    cache->first[index] = link;
    cache->bytes += bytes_of(index);
    return true;
}
