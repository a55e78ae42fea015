/*
 * utf8.c - checking and repairing UTF-8 text (RFC 3629, section 4: the table of well-formed sequences).
 */
#include "common/base/utf8.h"

#include <stdio.h>
#include <string.h>

static bool in_range(unsigned char byte, unsigned char low, unsigned char high)
{
    return byte >= low && byte <= high;
}

/* Length of the well-formed sequence at `bytes` (1 to 4), 0 if there is none. */
static size_t sequence_len(const unsigned char *bytes, size_t len)
{
    if (bytes[0] < 0x80)
        return 1;

    size_t need = 0;
    unsigned char low = 0x80, high = 0xBF; /* of the second byte */
    if (in_range(bytes[0], 0xC2, 0xDF)) {
        need = 2;
    } else if (in_range(bytes[0], 0xE0, 0xEF)) {
        need = 3;
        if (bytes[0] == 0xE0)
            low = 0xA0;
        if (bytes[0] == 0xED)
            high = 0x9F;
    } else if (in_range(bytes[0], 0xF0, 0xF4)) {
        need = 4;
        if (bytes[0] == 0xF0)
            low = 0x90;
        if (bytes[0] == 0xF4)
            high = 0x8F;
    }
    if (need == 0 || len < need || !in_range(bytes[1], low, high))
        return 0;
    for (size_t i = 2; i < need; i++) {
        if (!in_range(bytes[i], 0x80, 0xBF))
            return 0;
    }
    return need;
}

bool utf8_valid(const char *text, size_t len)
{
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t i = 0; i < len;) {
        size_t step = sequence_len(bytes + i, len - i);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

size_t utf8_mark_len(const char *text, size_t len)
{
    static const char mark[] = "\xef\xbb\xbf"; /* U+FEFF */
    return len >= sizeof(mark) - 1 && memcmp(text, mark, sizeof(mark) - 1) == 0 ? sizeof(mark) - 1 : 0;
}

void utf8_sanitize(char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len;) {
        size_t step = sequence_len((const unsigned char *)text + i, len - i);
        if (step == 0) {
            text[i] = '?';
            step = 1;
        }
        i += step;
    }
}

size_t utf8_floor(const char *text, size_t max)
{
    while (max > 0 && ((unsigned char)text[max] & 0xC0U) == 0x80U)
        max--;
    return max;
}

void utf8_quote(char *ret, size_t size, const char *text)
{
    (void)snprintf(ret, size, "%s", text != NULL ? text : "");
    for (char *c = ret; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    }
    utf8_sanitize(ret);
}
