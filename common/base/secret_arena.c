/*
 * secret_arena.c - a buddy allocator over one locked region.
 *
 * A block of order k has SECRET_ARENA_BLOCK_MIN << k bytes and begins at a multiple of its size. Its buddy is
 * the block with which it makes one of order k + 1. Free blocks of an order are in a list that runs through
 * the blocks themselves; `state` says of each smallest block whether a larger one begins there.
 */
#include "common/base/secret_arena.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/list.h"

enum {
    ORDERS = 19,       /* up to SECRET_ARENA_BYTES_MAX */
    STATE_INSIDE = 0,  /* of a block that begins before */
    STATE_USED = 0x40, /* plus the order */
    STATE_FREE = 0x80, /* plus the order */
    STATE_ORDER = 0x3f,
};

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif
struct arena {
    uint8_t *base; /* NULL = there is none */
    size_t size;
    uint8_t *state;
    enum secret_arena_rest rest;
    struct list free[ORDERS];
    pthread_mutex_t mutex;
    atomic_uint_fast64_t overflows;
};

/* The only one: allocator hooks of libraries have no argument to pass it in. */
static struct arena arena = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static size_t order_size(unsigned order)
{
    return (size_t)SECRET_ARENA_BLOCK_MIN << order;
}

static unsigned order_of(size_t size)
{
    unsigned order = 0;

    while (order < ORDERS && order_size(order) < size)
        order++;
    return order;
}

static uint8_t *state_of(const void *block)
{
    return &arena.state[(size_t)((const uint8_t *)block - arena.base) / SECRET_ARENA_BLOCK_MIN];
}

static void put_free(uint8_t *block, unsigned order)
{
    *state_of(block) = (uint8_t)(STATE_FREE | order);
    list_insert_before(arena.free[order].next,
                       (struct list *)(void *)block); /* first: its pages are in use */
}

static uint8_t *take_free(unsigned order)
{
    struct list *block = arena.free[order].next;

    list_remove(block);
    return (uint8_t *)block;
}

static size_t usable(size_t bytes)
{
    size_t size = SECRET_ARENA_BYTES_MIN;

    if (bytes < size)
        return 0;
    while (size * 2 <= bytes && size < SECRET_ARENA_BYTES_MAX)
        size *= 2;
    return size;
}

/* A region that is aligned to its size is not needed: offsets are what buddies are computed from. */
static uint8_t *map_locked(size_t size, struct error **err)
{
    uint8_t *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (base == MAP_FAILED) {
        (void)error_no_memory(err, "the memory for secrets");
        return NULL;
    }
    if (syscall(SYS_mlock2, base, size, MLOCK_ONFAULT) == -1) {
        (void)error_set_errno(err, GRPC_STATUS_RESOURCE_EXHAUSTED, errno,
                              "lock %zu bytes for secrets (mlock2)", size);
        (void)munmap(base, size);
        return NULL;
    }
    (void)madvise(base, size, MADV_DONTDUMP);
    return base;
}

size_t secret_arena_create(size_t bytes, enum secret_arena_rest rest, struct error **err)
{
    size_t size = usable(bytes);

    if (size == 0 || arena.base != NULL) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "%zu bytes are too few for secrets", bytes);
        return 0;
    }
    arena.state = calloc(size / SECRET_ARENA_BLOCK_MIN, 1);
    arena.base = arena.state != NULL ? map_locked(size, err) : NULL;
    if (arena.base == NULL) {
        free(arena.state);
        arena.state = NULL;
        (void)error_check_memory(err, "the memory for secrets");
        return 0;
    }
    arena.size = size;
    arena.rest = rest;
    for (unsigned i = 0; i < ORDERS; i++)
        list_init(&arena.free[i]);
    put_free(arena.base, order_of(size));
    return size;
}

size_t secret_arena_size(void)
{
    return arena.size;
}

/* Splits the smallest free block that is large enough; the mutex is held. */
static uint8_t *alloc(unsigned order)
{
    unsigned from = order;
    uint8_t *block;

    while (from < ORDERS && list_empty(&arena.free[from]))
        from++;
    if (from >= ORDERS)
        return NULL;
    block = take_free(from);
    while (from > order) {
        from--;
        put_free(block + order_size(from), from);
    }
    *state_of(block) = (uint8_t)(STATE_USED | order);
    return block;
}

void *secret_arena_alloc(size_t size)
{
    unsigned order = order_of(size);
    uint8_t *block = NULL;

    if (arena.base == NULL)
        return NULL;
    (void)pthread_mutex_lock(&arena.mutex);
    if (order < ORDERS)
        block = alloc(order);
    (void)pthread_mutex_unlock(&arena.mutex);
    return block;
}

bool secret_arena_owns(const void *ptr)
{
    return arena.base != NULL && (uintptr_t)ptr - (uintptr_t)arena.base < arena.size;
}

size_t secret_arena_block_size(const void *ptr)
{
    return order_size(*state_of(ptr) & STATE_ORDER);
}

/* Makes one of the block and its buddy as long as that is free. */
static void release(uint8_t *block, unsigned order)
{
    while (order_size(order) < arena.size) {
        size_t offset = (size_t)(block - arena.base);
        uint8_t *buddy = arena.base + (offset ^ order_size(order));

        if (*state_of(buddy) != (STATE_FREE | order))
            break;
        list_remove((struct list *)(void *)buddy);
        *state_of(buddy) = *state_of(block) = STATE_INSIDE;
        if (buddy < block)
            block = buddy;
        order++;
    }
    put_free(block, order);
}

void secret_arena_free(void *ptr)
{
    (void)pthread_mutex_lock(&arena.mutex);
    release(ptr, *state_of(ptr) & STATE_ORDER);
    (void)pthread_mutex_unlock(&arena.mutex);
}

void secret_arena_count_overflow(void)
{
    if (arena.rest == SECRET_ARENA_REST_NOT_LOCKED)
        atomic_fetch_add(&arena.overflows, 1);
}

uint64_t secret_arena_overflows(void)
{
    return atomic_load(&arena.overflows);
}
