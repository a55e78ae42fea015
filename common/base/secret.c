/*
 * secret.c - bytes that must not outlive their use.
 */
#include "common/base/secret.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <malloc.h>
#include <protobuf-c/protobuf-c.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/base/secret_arena.h"
#include "common/base/secret_cache.h"

enum { WIPE_PAGES_MIN = 64 * 1024 };

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* Linux 5.18 */
#endif

struct secret {
    size_t len;
    uint8_t data[];
};

void secret_wipe(void *ptr, size_t len)
{
    if (len > 0)
        explicit_bzero(ptr, len);
}

struct secret *secret_create(size_t len)
{
    size_t size = 0;
    if (__builtin_add_overflow(sizeof(struct secret) + 1, len, &size)) /* the NUL */
        return NULL;
    struct secret *secret = secret_calloc(1, size);
    if (secret == NULL)
        return NULL;
    secret->len = len;
    return secret;
}

struct secret *secret_from_bytes(const void *bytes, size_t len)
{
    struct secret *secret = secret_create(len);
    if (secret != NULL && len > 0)
        memcpy(secret->data, bytes, len);
    return secret;
}

const uint8_t *secret_bytes(const struct secret *secret)
{
    return secret != NULL ? secret->data : (const uint8_t *)"";
}

size_t secret_len(const struct secret *secret)
{
    return secret != NULL ? secret->len : 0;
}

uint8_t *secret_data(struct secret *secret)
{
    return secret->data;
}

void secret_truncate(struct secret *secret, size_t len)
{
    assert(len <= secret->len);
    secret_wipe(secret->data + len, secret->len - len);
    secret->len = len;
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
    size_t len = secret_len(a);
    if (len != secret_len(b))
        return false;
    const uint8_t *left = secret_bytes(a), *right = secret_bytes(b);
    unsigned difference = 0;
    for (size_t i = 0; i < len; i++)
        difference |= (unsigned)(left[i] ^ right[i]);
    return difference == 0;
}

void secret_destroy(struct secret *secret)
{
    secret_free(secret);
}

/* --- the wiping allocator --- */

static size_t usable_size(void *ptr)
{
    return secret_arena_owns(ptr) ? secret_arena_block_size(ptr) : malloc_usable_size(ptr);
}

/* NULL without an arena, and where it is full: then malloc() has to do. */
static void *locked_malloc(size_t size)
{
    void *ptr;

    if (secret_arena_size() == 0)
        return NULL;
    ptr = secret_arena_alloc(size);
    if (ptr == NULL) {
        secret_cache_trim(); /* blocks that are kept may be in the way */
        ptr = secret_arena_alloc(size);
    }
    if (ptr == NULL)
        secret_arena_count_overflow();
    return ptr;
}

void *secret_malloc(size_t size)
{
    void *ptr = secret_cache_take(size);

    if (ptr == NULL)
        ptr = locked_malloc(size);
    return ptr != NULL ? ptr : malloc(secret_cache_round(size));
}

void *secret_calloc(size_t count, size_t size)
{
    size_t bytes = 0;
    void *ptr;

    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    ptr = secret_cache_take(bytes);
    if (ptr != NULL)
        return ptr;
    ptr = locked_malloc(bytes);
    return ptr != NULL ? memset(ptr, 0, bytes) : calloc(1, secret_cache_round(bytes));
}

void *secret_realloc(void *ptr, size_t size)
{
    if (ptr == NULL)
        return secret_malloc(size);
    if (size == 0) {
        secret_free(ptr);
        return NULL;
    }
    size_t old = usable_size(ptr);
    if (size <= old && size > old / 2)
        return ptr; /* still fits well: no copy to leave behind */
    void *moved = secret_malloc(size);
    if (moved == NULL)
        return NULL;
    memcpy(moved, ptr, old < size ? old : size);
    secret_free(ptr);
    return moved;
}

char *secret_strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = secret_malloc(size);
    if (copy != NULL)
        memcpy(copy, text, size);
    return copy;
}

/* A peer may make a block large and write little of it (a length that it announces). So of a large one the
 * kernel takes the pages back, which wipes them as well and touches none that were never written. Before 5.18
 * it does not take locked pages back: they are overwritten. */
static void wipe_block(uint8_t *block, size_t size)
{
    if (size < WIPE_PAGES_MIN) {
        secret_wipe(block, size);
        return;
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t head = -(uintptr_t)block & (page - 1), pages = (size - head) & ~(page - 1);
    if (madvise(block + head, pages, MADV_DONTNEED_LOCKED) == -1 &&
        madvise(block + head, pages, MADV_DONTNEED) == -1)
        secret_wipe(block + head, pages);
    secret_wipe(block, head);
    secret_wipe(block + head + pages, size - head - pages);
}

void secret_free(void *ptr)
{
    if (ptr == NULL)
        return;
    size_t usable = usable_size(ptr);
    wipe_block(ptr, usable);
    if (secret_cache_put(ptr, usable))
        return;
    if (secret_arena_owns(ptr))
        secret_arena_free(ptr);
    else
        free(ptr);
}

void secret_install_json_hooks(void)
{
    cJSON_Hooks hooks = {.malloc_fn = secret_malloc, .free_fn = secret_free};
    cJSON_InitHooks(&hooks);
}

static void *protobuf_alloc(void *data, size_t size)
{
    (void)data;
    return secret_malloc(size);
}

static void protobuf_free(void *data, void *ptr)
{
    (void)data;
    secret_free(ptr);
}

struct ProtobufCAllocator *secret_protobuf_allocator(void)
{
    /* Never written to; protobuf-c only lacks the const. */
    static struct ProtobufCAllocator allocator = {.alloc = protobuf_alloc, .free = protobuf_free};
    return &allocator;
}

int secret_forbid_core_dumps(struct error **err)
{
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == -1)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "forbid core dumps (PR_SET_DUMPABLE)");
    if (setrlimit(RLIMIT_CORE, &(struct rlimit){.rlim_cur = 0, .rlim_max = 0}) == -1)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "forbid core dumps (RLIMIT_CORE)");
    return 0;
}
