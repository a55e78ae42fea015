/*
 * tls_memory.c - mbedTLS' allocator.
 */
#include "common/crypto/tls_memory.h"

#include <mbedtls/platform.h>
#include <stddef.h>
#include <stdlib.h>

#include "common/base/secret.h"
#include "common/base/secret_arena.h"

#ifdef MBEDTLS_PLATFORM_MEMORY
/* A record buffer has more than 8 KiB; the thousands of numbers of a handshake, which mbedTLS wipes itself,
 * are smaller. */
enum { BUFFER_MIN = 4096 };

static void *allocate(size_t count, size_t size)
{
    size_t bytes = 0;

    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    return bytes >= BUFFER_MIN ? secret_calloc(1, bytes) : calloc(1, bytes);
}

/* Blocks of both kinds, and those from before. */
static void release(void *ptr)
{
    if (secret_arena_owns(ptr))
        secret_free(ptr);
    else
        free(ptr);
}

void tls_memory_use_arena(void)
{
    (void)mbedtls_platform_set_calloc_free(allocate, release);
}
#else
void tls_memory_use_arena(void)
{
}
#endif
