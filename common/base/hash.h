/*
 * hash.h - a quick hash of texts, for tables and for detecting changes (FNV-1a). The author of the texts can
 * make collisions: where that matters, see digest.h.
 */
#ifndef COMMON_BASE_HASH_H
#define COMMON_BASE_HASH_H

#include <stdint.h>

#define HASH_START 2166136261U

/* Goes on from `hash`: HASH_START, or the hash of what came before. */
static inline uint32_t hash_text(uint32_t hash, const char *text)
{
    for (; *text != '\0'; text++)
        hash = (hash ^ (uint8_t)*text) * 16777619U;
    return hash;
}

#endif
