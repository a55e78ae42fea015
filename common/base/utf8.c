/*
 * utf8.c - checking and repairing UTF-8 text (RFC 3629, section 4: the table of well-formed sequences), and
 * showing text from outside.
 */
#include "common/base/utf8.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"

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

/* How many bytes in front are ASCII, eight at a time: nearly all text is. */
static size_t ascii_len(const char *text, size_t len)
{
    size_t n = 0;
    uint64_t word = 0;
    while (len - n >= sizeof(word)) {
        memcpy(&word, text + n, sizeof(word));
        if ((word & UINT64_C(0x8080808080808080)) != 0)
            break;
        n += sizeof(word);
    }
    return n;
}

bool utf8_valid(const char *text, size_t len)
{
    const unsigned char *bytes = (const unsigned char *)text;
    for (size_t i = ascii_len(text, len); i < len;) {
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

/* The code point of a well-formed sequence. */
static uint32_t code_point(const unsigned char *bytes, size_t len)
{
    static const unsigned char mask_of_len[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t code = bytes[0] & mask_of_len[len];

    for (size_t i = 1; i < len; i++)
        code = code << 6 | (bytes[i] & 0x3FU);
    return code;
}

/* The categories Cc, Cf, Zl and Zp of Unicode, without the few visible characters of Cf. */
static bool is_hidden(uint32_t code)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {
        {0x00, 0x1F},                           /* C0 */
        {0x7F, 0x9F},                           /* DEL and C1 */
        {0xAD, 0xAD},                           /* soft hyphen */
        {0x61C, 0x61C},                         /* Arabic letter mark */
        {0x180E, 0x180E},                       /* Mongolian vowel separator */
        {0x200B, 0x200F},                       /* no width; marks of the direction */
        {0x2028, 0x202E},                       /* separators; embeddings and overrides of the direction */
        {0x2060, 0x206F},                       /* invisible operators; isolates of the direction */
        {0xFEFF, 0xFEFF},                       /* byte order mark */
        {0xFFF9, 0xFFFB},                       /* interlinear annotations */
        {0x13430, 0x1343F}, {0x1BCA0, 0x1BCA3}, /* hieroglyphs, shorthand */
        {0x1D173, 0x1D17A}, {0xE0000, 0xE007F}, /* music, tags */
    };

    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
        if (code >= ranges[i].first && code <= ranges[i].last)
            return true;
    }
    return false;
}

/* Zs without the blank itself: a reader takes them for it. */
static bool is_other_blank(uint32_t code)
{
    return code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x202F ||
           code == 0x205F || code == 0x3000;
}

enum shown { SHOWN_HIDDEN, SHOWN_HIDDEN_AND_BLANKS };

/* The letter of a short escape, 0 when there is none. */
static char letter_of(uint32_t code)
{
    switch (code) {
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

static size_t show(enum shown what, const char *text, char ret_shown[UTF8_SHOWN_MAX], size_t *ret_consumed)
{
    const unsigned char *bytes = (const unsigned char *)text;
    size_t step = sequence_len(bytes, strnlen(text, 4));
    uint32_t code = step > 0 ? code_point(bytes, step) : 0;
    char escape[UTF8_SHOWN_MAX + 1];
    int len;

    *ret_consumed = step > 0 ? step : 1;
    if (step == 0 || !(is_hidden(code) || (what == SHOWN_HIDDEN_AND_BLANKS && is_other_blank(code)))) {
        memcpy(ret_shown, text, *ret_consumed);
        return *ret_consumed;
    }
    if (letter_of(code) != 0)
        len = snprintf(escape, sizeof(escape), "\\%c", letter_of(code));
    else if (code <= 0xFFFF)
        len = snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)code);
    else /* as JSON escapes it */
        len = snprintf(escape, sizeof(escape), "\\u%04x\\u%04x", 0xD800 + (unsigned)((code - 0x10000) >> 10),
                       0xDC00 + (unsigned)((code - 0x10000) & 0x3FF));
    memcpy(ret_shown, escape, (size_t)len);
    return (size_t)len;
}

size_t utf8_show(const char *text, char ret_shown[UTF8_SHOWN_MAX], size_t *ret_consumed)
{
    return show(SHOWN_HIDDEN, text, ret_shown, ret_consumed);
}

char *utf8_escape(const char *text, const char *keep)
{
    char shown[UTF8_SHOWN_MAX];
    size_t consumed = 0, len = 0;
    char *escaped;

    for (const char *at = text; *at != '\0'; at += consumed)
        len += utf8_show(at, shown, &consumed);
    escaped = malloc(len + 1);
    if (escaped == NULL)
        return NULL;
    len = 0;
    while (*text != '\0') {
        size_t n = utf8_show(text, escaped + len, &consumed);
        if (strchr(keep, *text) != NULL) {
            escaped[len] = *text;
            n = 1;
        }
        text += consumed;
        len += n;
    }
    escaped[len] = '\0';
    return escaped;
}

static void quote(enum shown what, char *ret, size_t size, const char *text)
{
    size_t len = 0, consumed;

    for (const char *at = text != NULL ? text : ""; *at != '\0'; at += consumed) {
        char shown[UTF8_SHOWN_MAX];
        size_t n = show(what, at, shown, &consumed);
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            shown[0] = ' ';
            n = 1;
        }
        if (n >= size - len)
            break;
        memcpy(ret + len, shown, n);
        len += n;
    }
    ret[len] = '\0';
    utf8_sanitize(ret);
}

void utf8_quote(char *ret, size_t size, const char *text)
{
    quote(SHOWN_HIDDEN, ret, size, text);
}

void utf8_quote_visibly(char *ret, size_t size, const char *text)
{
    quote(SHOWN_HIDDEN_AND_BLANKS, ret, size, text);
}
