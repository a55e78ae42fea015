/*
 * parameter_text.c - trimming and reading of parameter values.
 */
#include "provider-azure/base/parameter_text.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"

/* White space beyond ASCII (Unicode White_Space), as UTF-8. */
static const char *const wide_spaces[] = {
    "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81",
    "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86",
    "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8",
    "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80",
};

static bool ascii_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_ascii(char c)
{
    return (unsigned char)c < 0x80;
}

static size_t space_at_start(const char *text, size_t len)
{
    if (len > 0 && ascii_space(text[0]))
        return 1;
    if (len == 0 || is_ascii(text[0]))
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(wide_spaces); i++) {
        size_t n = strlen(wide_spaces[i]);
        if (len >= n && memcmp(text, wide_spaces[i], n) == 0)
            return n;
    }
    return 0;
}

static size_t space_at_end(const char *text, size_t len)
{
    if (len > 0 && ascii_space(text[len - 1]))
        return 1;
    if (len == 0 || is_ascii(text[len - 1]))
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(wide_spaces); i++) {
        size_t n = strlen(wide_spaces[i]);
        if (len >= n && memcmp(text + len - n, wide_spaces[i], n) == 0)
            return n;
    }
    return 0;
}

static const char *trim(const char *text, size_t *ret_len)
{
    size_t len = strlen(text);
    size_t n;
    while ((n = space_at_start(text, len)) > 0) {
        text += n;
        len -= n;
    }
    while ((n = space_at_end(text, len)) > 0)
        len -= n;
    *ret_len = len;
    return text;
}

char *parameter_text_trim(const char *text)
{
    size_t len = 0;
    const char *start = trim(text != NULL ? text : "", &len);
    return strndup(start, len);
}

bool parameter_text_parse_bool(const char *text, bool *ret)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"", "0", "f", "F", "FALSE", "false", "False"};

    for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
        if (strcmp(text, yes[i]) == 0) {
            *ret = true;
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
        if (strcmp(text, no[i]) == 0) {
            *ret = false;
            return true;
        }
    }
    return false;
}
