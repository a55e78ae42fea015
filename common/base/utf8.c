/*
 * utf8.c - checking and repairing UTF-8 text (RFC 3629, section 4: the table of well-formed sequences).
 */
#include "common/base/utf8.h"

#include <stdint.h>
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

static void blank_controls(char *text)
{
    for (char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    }
    utf8_sanitize(text);
}

void utf8_quote(char *ret, size_t size, const char *text)
{
    (void)snprintf(ret, size, "%s", text != NULL ? text : "");
    blank_controls(ret);
}

/* Is the character unlike what it looks like? Those of Unicode's classes Zs and Cf that people paste. */
static bool is_unseen(uint32_t c)
{
    return c == 0xa0 || c == 0xad || c == 0x1680 || (c >= 0x2000 && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202f) || (c >= 0x205f && c <= 0x206f) || c == 0x3000 || c == 0xfeff;
}

/* The character at `at`, if it has two or three bytes; none with more is unseen. 0: another one. */
static uint32_t short_character(const char *at, size_t *ret_len)
{
    const unsigned char *byte = (const unsigned char *)at;

    *ret_len = 1;
    if (byte[0] >= 0xc2 && byte[0] < 0xe0 && (byte[1] & 0xc0U) == 0x80) {
        *ret_len = 2;
        return (byte[0] & 0x1fU) << 6 | (byte[1] & 0x3fU);
    }
    if (byte[0] >= 0xe0 && byte[0] < 0xf0 && (byte[1] & 0xc0U) == 0x80 && (byte[2] & 0xc0U) == 0x80) {
        *ret_len = 3;
        return (byte[0] & 0x0fU) << 12 | (byte[1] & 0x3fU) << 6 | (byte[2] & 0x3fU);
    }
    return 0;
}

void utf8_quote_visibly(char *ret, size_t size, const char *text)
{
    size_t len = 0, n;

    for (const char *at = text != NULL ? text : ""; *at != '\0'; at += n) {
        char shown[8] = {0};
        uint32_t c = short_character(at, &n);
        if (is_unseen(c))
            (void)snprintf(shown, sizeof(shown), "\\u%04x", (unsigned)c);
        else
            memcpy(shown, at, n);
        size_t shown_len = strlen(shown);
        if (len + shown_len >= size)
            break;
        memcpy(ret + len, shown, shown_len);
        len += shown_len;
    }
    ret[len] = '\0';
    blank_controls(ret);
}
