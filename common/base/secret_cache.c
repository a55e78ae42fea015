/*
 * secret_cache.c - a list of free blocks for each size, in steps of 16 bytes.
 *
 * The sizes are those of which musl's blocks have no rest: 12, 28, 44, ...
 */
#include "common/base/secret_cache.h"

#include <assert.h>
#include <stdlib.h>

#include "common/base/sanitized.h"

enum { STEP = 16, OVERHEAD = 4, SIZES = (SECRET_CACHE_BLOCK_MAX + OVERHEAD) / STEP + 1 };

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
    return index * STEP - OVERHEAD;
}

void secret_cache_enable(size_t bytes_max)
{
    assert(cache == NULL);
    if (!SANITIZED)
        cache = calloc(1, sizeof(*cache));
    if (cache != NULL)
        cache->bytes_max = bytes_max;
}

void secret_cache_trim(void)
{
    for (size_t i = 0; cache != NULL && i < SIZES; i++) {
        while (cache->first[i] != NULL) {
            struct free_block *block = cache->first[i];
            cache->first[i] = block->next;
            free(block);
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
    if (cache == NULL || size > SECRET_CACHE_BLOCK_MAX - STEP)
        return size;
    return bytes_of((size + OVERHEAD + STEP - 1) / STEP);
}

void *secret_cache_take(size_t size)
{
    size_t index = (size + OVERHEAD + STEP - 1) / STEP;

    if (cache == NULL || size > SECRET_CACHE_BLOCK_MAX - STEP || cache->first[index] == NULL)
        return NULL;
    struct free_block *block = cache->first[index];
    cache->first[index] = block->next;
    cache->bytes -= bytes_of(index);
    block->next = NULL;
    return block;
}

bool secret_cache_put(void *block, size_t usable)
{
    size_t index = (usable + OVERHEAD) / STEP; /* what is beyond that size is not used */
    struct free_block *link = block;

    if (cache == NULL || usable > SECRET_CACHE_BLOCK_MAX || usable < bytes_of(1) ||
        bytes_of(index) > cache->bytes_max - cache->bytes)
        return false;
    if (cache->first[index] == link)
        abort(); /* freed twice */
    link->next = cache->first[index];
    cache->first[index] = link;
    cache->bytes += bytes_of(index);
    return true;
}
