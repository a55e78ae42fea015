/*
 * memcpy.c - build.sh puts this in the place of musl's memcpy() for amd64, which is the instruction "rep
 * movsq": to start one takes as long as copying some hundred bytes, and most copies are shorter.
 *
 * No byte is written twice in another place than the one it belongs to, and nothing is read outside of the
 * source: the last step of a copy ends where the copy ends, and overlaps the step before it.
 */
#include <stdint.h>
#include <string.h>

typedef struct {
    uint64_t word[2];
} pair; /* one register of SSE2, which every amd64 processor has */

/* gcc makes two instructions of one. */
#define COPY(type, at) __builtin_memcpy((char *)dest + (at), (const char *)src + (at), sizeof(type))

void *memcpy(void *restrict dest, const void *restrict src, size_t n)
{
    size_t at = 0;

    if (n >= sizeof(pair)) {
        for (; n - at > 2 * sizeof(pair); at += 2 * sizeof(pair)) {
            COPY(pair, at);
            COPY(pair, at + sizeof(pair));
        }
        if (n - at > sizeof(pair))
            COPY(pair, at);
        COPY(pair, n - sizeof(pair));
    } else if (n >= sizeof(uint64_t)) {
        COPY(uint64_t, 0);
        COPY(uint64_t, n - sizeof(uint64_t));
    } else if (n >= sizeof(uint32_t)) {
        COPY(uint32_t, 0);
        COPY(uint32_t, n - sizeof(uint32_t));
    } else {
        for (; at < n; at++)
            COPY(char, at);
    }
    return dest;
}
