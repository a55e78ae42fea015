/*
 * similar_name.c - names that are nearly right.
 */
#include "common/lint/similar_name.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum { DISTANCE_MAX = 2, LAST_WORDS_MIN = 4, LAST_LETTERS_MIN = 8 };

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Fills row i of the table: the distances of the first i letters of `a` to each start of `b`. */
static void fill_row(const char *a, const char *b, size_t b_len, size_t i,
                     size_t rows[3][SIMILAR_NAME_MAX + 1])
{
    size_t *row = rows[i % 3];
    const size_t *above = rows[(i + 2) % 3];
    const size_t *two_above = rows[(i + 1) % 3];

    row[0] = i;
    for (size_t k = 1; k <= b_len; k++) {
        bool same = lower(a[i - 1]) == lower(b[k - 1]);
        row[k] = min(min(above[k], row[k - 1]) + 1, above[k - 1] + (same ? 0 : 1));
        if (i > 1 && k > 1 && lower(a[i - 1]) == lower(b[k - 2]) && lower(a[i - 2]) == lower(b[k - 1]))
            row[k] = min(row[k], two_above[k - 2] + 1);
    }
}

/* The letters to add, leave out, replace or swap between two names; the case does not count. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][SIMILAR_NAME_MAX + 1];
    size_t a_len = strlen(a), b_len = strlen(b);

    for (size_t k = 0; k <= b_len; k++)
        rows[0][k] = k;
    for (size_t i = 1; i <= a_len; i++)
        fill_row(a, b, b_len, i, rows);
    return rows[a_len % 3][b_len];
}

const char *similar_name(const char *name, const char *const *known, size_t n)
{
    const char *best = NULL;
    size_t best_distance = DISTANCE_MAX + 1;

    if (strnlen(name, SIMILAR_NAME_MAX + 1) > SIMILAR_NAME_MAX)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        size_t len = strnlen(known[i], SIMILAR_NAME_MAX + 1);
        if (len > SIMILAR_NAME_MAX ||
            len < (size_t)2 * (DISTANCE_MAX + 1)) /* two letters are half of a short name */
            continue;
        size_t d = distance(name, known[i]);
        if (d < best_distance) {
            best = known[i];
            best_distance = d;
        }
    }
    return best;
}

/* Is `name` the end of the other, in any case, and long or the beginning of a word there? */
static bool is_last_words(const char *name, const char *of)
{
    size_t len = strlen(name), of_len = strlen(of);

    if (len < LAST_WORDS_MIN || len >= of_len)
        return false;
    const char *end = of + of_len - len;
    return (len >= LAST_LETTERS_MIN || (*end >= 'A' && *end <= 'Z')) && strcasecmp(end, name) == 0;
}

const char *similar_field(const char *name, const char *const *known, size_t n)
{
    char ascii[SIMILAR_NAME_MAX + 1];
    size_t len = 0;

    for (const char *at = name; *at != '\0'; at++) {
        if ((unsigned char)*at >= 0x80)
            continue;
        if (len == SIMILAR_NAME_MAX)
            return NULL;
        ascii[len++] = *at;
    }
    ascii[len] = '\0';
    const char *similar = similar_name(ascii, known, n);
    for (size_t i = 0; i < n && similar == NULL; i++)
        similar = is_last_words(ascii, known[i]) ? known[i] : NULL;
    return similar;
}
