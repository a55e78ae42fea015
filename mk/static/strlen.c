/*
 * strlen.c - build.sh puts this in the place of musl's strlen() for amd64. That one goes by bytes to a word's
 * border and then by words; most texts of a call are headers, names and paths of some ten bytes. Here it is
 * the 16 bytes of a register of SSE2, which every amd64 processor has, at a time.
 *
 * Loads are aligned, so none crosses into a page that the text does not reach.
 */
#include <stddef.h>
#include <stdint.h>

typedef char block __attribute__((vector_size(16), may_alias));

/* A bit for each byte of a block that is 0. */
static unsigned zeros(const char *at)
{
    const block *bytes = (const void *)at;
    return (unsigned)__builtin_ia32_pmovmskb128(*bytes == 0);
}

size_t strlen(const char *text)
{
    size_t before = (uintptr_t)text % sizeof(block);
    const char *at = text - before;
    unsigned found = zeros(at) >> before;

    if (found != 0)
        return (size_t)__builtin_ctz(found);
    do
        at += sizeof(block);
    while ((found = zeros(at)) == 0);
    return (size_t)(at - text) + (size_t)__builtin_ctz(found);
}
