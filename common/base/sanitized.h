/*
 * sanitized.h - is this a program of AddressSanitizer or MemorySanitizer?
 *
 * Their memory is not that of others: blocks that were given back have to stay away, and the shadow is larger
 * than any limit of locked memory.
 */
#ifndef COMMON_BASE_SANITIZED_H
#define COMMON_BASE_SANITIZED_H

#include <stdbool.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

#endif
