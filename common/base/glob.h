/*
 * glob.h - patterns with '*' and '?'.
 */
#ifndef COMMON_BASE_GLOB_H
#define COMMON_BASE_GLOB_H

#include <stdbool.h>

/* Whether the whole text matches: '*' stands for any characters, '?' for one byte, everything else for
 * itself; the case of ASCII letters does not matter. */
bool glob_match(const char *pattern, const char *text);

#endif
