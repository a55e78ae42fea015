/*
 * glob.c - patterns with '*' and '?'.
 */
#include "common/base/glob.h"

#include <stddef.h>

static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Linear in pattern times text: on a mismatch only the last star takes one more character. */
bool glob_match(const char *pattern, const char *text)
{
    const char *star = NULL; /* behind the last '*' */
    const char *taken = NULL;

    while (*text != '\0') {
        if (*pattern == '*') {
            star = ++pattern;
            taken = text;
        } else if (*pattern == '?' || (*pattern != '\0' && fold(*pattern) == fold(*text))) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star;
            text = ++taken;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}
