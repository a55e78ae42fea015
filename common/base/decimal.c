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
    size_t len = DECIMAL_MAX - first;
    size_t fill_len = width > len ? width - len : 0;
    memset(at, fill, fill_len);
    memcpy(at + fill_len, digits + first, len);
    return fill_len + len;
}

char *decimal_text(char ret[DECIMAL_MAX + 1], uint64_t number)
{
    ret[decimal_write(ret, number, 0, '0')] = '\0';
    return ret;
}
