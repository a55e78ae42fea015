/*
 * memcpy.c - build.sh puts this in the place of musl's memcpy() for amd64. That one is the instruction "rep
 * movsq", which takes as long to begin as to copy some hundred bytes, and most copies are shorter. Here bytes
 * go through one register of SSE2, which every amd64 processor has, at a time.
 *
 * The last step ends where the copy ends, and overlaps the step before it. A copy of a fixed size is an
 * instruction, not a call.
 */
#include <string.h>

void *memcpy(void *restrict dest, const void *restrict src, size_t n)
{
    char *to = dest;
    const char *from = src;
    size_t at = 0;

    if (n >= 16) {
        for (; n - at > 32; at += 32) {
            __builtin_memcpy(to + at, from + at, 16);
            __builtin_memcpy(to + at + 16, from + at + 16, 16);
        }
        if (n - at > 16)
            __builtin_memcpy(to + at, from + at, 16);
        __builtin_memcpy(to + n - 16, from + n - 16, 16);
    } else if (n >= 8) {
        __builtin_memcpy(to, from, 8);
        __builtin_memcpy(to + n - 8, from + n - 8, 8);
    } else if (n >= 4) {
        __builtin_memcpy(to, from, 4);
        __builtin_memcpy(to + n - 4, from + n - 4, 4);
    } else {
        for (; at < n; at++)
            to[at] = from[at];
    }
    return dest;
}
