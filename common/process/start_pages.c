/*
 * start_pages.c - gives the program's unchanged pages back to the kernel.
 */
#include "common/process/start_pages.h"

#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/cleanup.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* Linux 5.18 */
#endif

struct pages {
    uintptr_t begin;
    size_t size;
};

struct segments {
    struct pages pages[8];
    size_t n;
};

/* What could have been written since the start has no other copy. */
static bool is_unchanged(const ElfW(Phdr) * segment)
{
    return segment->p_type == PT_LOAD && (segment->p_flags & PF_W) == 0;
}

/* The first object is the program; shared objects, if there are any, belong to other processes as well. */
static int on_object(struct dl_phdr_info *object, size_t size, void *arg)
{
    struct segments *segments = arg;

    (void)size;
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];

        if (is_unchanged(segment) && segments->n < ARRAY_SIZE(segments->pages))
            segments->pages[segments->n++] = (struct pages){
                .begin = object->dlpi_addr + segment->p_vaddr,
                .size = segment->p_memsz,
            };
    }
    return 1;
}

static size_t give_back(const struct pages *pages, uintptr_t page_size)
{
    uintptr_t first = pages->begin & ~(page_size - 1);
    size_t size = (pages->begin + pages->size - first + page_size - 1) & ~(page_size - 1);
    void *begin = (void *)first;

    if (madvise(begin, size, MADV_DONTNEED_LOCKED) == -1 && madvise(begin, size, MADV_DONTNEED) == -1)
        return 0;
    return size;
}

size_t start_pages_give_back(void)
{
    uintptr_t page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    struct segments segments = {.n = 0};
    size_t total = 0;

    /* The list of segments is in the first of them: read as a whole before that one is given back. */
    (void)dl_iterate_phdr(on_object, &segments);
    for (size_t i = 0; i < segments.n; i++)
        total += give_back(&segments.pages[i], page_size);
    return total;
}
