/*
 * memchr.c - build.sh puts this in the place of musl's memchr() for amd64. That one goes by bytes to a word's
 * border and then by words; libcurl looks for the ends of lines and of pieces of text, most of them some ten
 * bytes away. Here it is the 16 bytes of a register of SSE2, which every amd64 processor has, at a time.
 *
 * Loads are aligned, so none crosses into a page that the block does not reach.
 */
#include <stddef.h>
#include <stdint.h>

typedef char block __attribute__((vector_size(16), may_alias));

/* A bit for each byte of a block that is `c`. */
static unsigned equals(const char *at, char c)
{
    const block *bytes = (const void *)at;
    return (unsigned)__builtin_ia32_pmovmskb128(*bytes == c - (block){0});
}

void *memchr(const void *src, int c, size_t n)
{
    const char *start = src;
    size_t before = (uintptr_t)start % sizeof(block);
    size_t i = 0;

    if (n == 0)
        return NULL;
    unsigned found = equals(start - before, (char)c) >> before;
    for (size_t next = sizeof(block) - before; found == 0 && next < n; next += sizeof(block)) {
        i = next;
        found = equals(start + i, (char)c);
    }
    if (found == 0)
        return NULL;
    i += (size_t)__builtin_ctz(found);
    return i < n ? (void *)(uintptr_t)(start + i) : NULL; /* what is found may lie behind the block */
}
