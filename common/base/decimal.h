/*
 * decimal.h - numbers as decimal text, for lines and options that are written with each call: there printf()
 * would be a good part of what the call costs.
 */
#ifndef COMMON_BASE_DECIMAL_H
#define COMMON_BASE_DECIMAL_H

#include <stddef.h>
#include <stdint.h>

enum { DECIMAL_MAX = 20 }; /* digits of any number */

/* Writes `number` to `at`, with `fill` ('0' or ' ') in front up to `width` characters (at most DECIMAL_MAX).
 * `at` has space for DECIMAL_MAX; no NUL. Returns how many characters were written. */
size_t decimal_write(char *at, uint64_t number, unsigned width, char fill);

/* The number alone, with a NUL; `ret` is returned. */
char *decimal_text(char ret[DECIMAL_MAX + 1], uint64_t number);

#endif
