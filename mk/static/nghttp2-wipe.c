/*
 * nghttp2-wipe.c - build.sh puts this into nghttp2's default allocator: blocks are wiped before they are
 * given back.
 */
#include <malloc.h>
#include <string.h>

void explicit_bzero(void *ptr, size_t size);

static void wipe_and_free(void *ptr)
{
    if (ptr != NULL)
        explicit_bzero(ptr, malloc_usable_size(ptr));
    free(ptr);
}

static void *wipe_and_realloc(void *ptr, size_t size)
{
    void *moved = malloc(size);
    size_t kept = ptr != NULL ? malloc_usable_size(ptr) : 0;
    if (moved != NULL && kept > 0)
        memcpy(moved, ptr, kept < size ? kept : size);
    if (moved != NULL)
        wipe_and_free(ptr);
    return moved;
}
