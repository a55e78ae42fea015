/*
 * decimal.c - numbers as decimal text.
 */
#include "common/base/decimal.h"

#include <assert.h>
#include <string.h>

size_t decimal_write(char *at, uint64_t number, unsigned width, char fill)
{
    char digits[DECIMAL_MAX];
    size_t first = DECIMAL_MAX;

    assert(width <= DECIMAL_MAX);
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (first > 0 && DECIMAL_MAX - first < width)
        digits[--first] = fill;
    memcpy(at, digits + first, DECIMAL_MAX - first);
    return DECIMAL_MAX - first;
}

char *decimal_text(char ret[DECIMAL_MAX + 1], uint64_t number)
{
    ret[decimal_write(ret, number, 0, '0')] = '\0';
    return ret;
}
