/*
 * nghttp2-wipe.c - build.sh puts this into nghttp2's default allocator: blocks are wiped before they are
 * given back.
 *
 * The block for a header field is as large as the peer says that the field is, long before the field is
 * here. Of a large one the kernel takes the pages back, which wipes them as well and touches none of those
 * that were never written. Before 5.18 it does not take locked pages back: they are overwritten.
 */
#include <malloc.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void explicit_bzero(void *ptr, size_t size);

enum { WIPE_LARGE = 128 * 1024 };

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

static int give_back(void *pages, size_t size)
{
    return madvise(pages, size, MADV_DONTNEED_LOCKED) == 0 ? 0 : madvise(pages, size, MADV_DONTNEED);
}

static void wipe(void *ptr, size_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)ptr + page - 1) & ~(page - 1), end = ((uintptr_t)ptr + size) & ~(page - 1);
    uint8_t *bytes = ptr;
    size_t head = first - (uintptr_t)ptr, tail = (uintptr_t)ptr + size - end;
    if (size < WIPE_LARGE || give_back(bytes + head, end - first) != 0) {
        explicit_bzero(ptr, size);
        return;
    }
    explicit_bzero(ptr, head);
    explicit_bzero(bytes + size - tail, tail);
}

static void wipe_and_free(void *ptr)
{
    if (ptr != NULL)
        wipe(ptr, malloc_usable_size(ptr));
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
