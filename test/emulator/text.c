/*
 * text.c - see text.h.
 */
#include "test/emulator/text.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "test/emulator/memory.h"

static void reserve(struct text *text, size_t more)
{
    size_t needed = text->len + more + 1;
    if (needed <= text->capacity)
        return;
    size_t capacity = text->capacity < 128 ? 128 : text->capacity;
    while (capacity < needed)
        capacity *= 2;
    text->bytes = xrealloc(text->bytes, capacity);
    text->capacity = capacity;
}

void text_append_bytes(struct text *text, const void *bytes, size_t len)
{
    reserve(text, len);
    if (len > 0)
        memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
    text->bytes[text->len] = '\0';
}

void text_append(struct text *text, const char *string)
{
    text_append_bytes(text, string, strlen(string));
}

static void append_va(struct text *text, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
static void append_va(struct text *text, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    if (len < 0)
        abort();
    reserve(text, (size_t)len);
    (void)vsnprintf(text->bytes + text->len, (size_t)len + 1, format, again);
    va_end(again);
    text->len += (size_t)len;
}

void text_printf(struct text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    append_va(text, format, args);
    va_end(args);
}

char *text_take(struct text *text)
{
    reserve(text, 0);
    text->bytes[text->len] = '\0';
    char *bytes = text->bytes;
    *text = (struct text){0};
    return bytes;
}

void text_finish(struct text *text)
{
    free(text->bytes);
    *text = (struct text){0};
}

char *format_text(const char *format, ...)
{
    struct text text = {0};
    va_list args;
    va_start(args, format);
    append_va(&text, format, args);
    va_end(args);
    return text_take(&text);
}

bool lower_into(const char *string, char *out, size_t out_size)
{
    size_t len = strlen(string);
    if (len >= out_size)
        return false;
    for (size_t i = 0; i <= len; i++)
        out[i] = (char)tolower((unsigned char)string[i]);
    return true;
}

char *lower_copy(const char *string)
{
    size_t size = strlen(string) + 1;
    char *copy = xcalloc(size, 1);
    (void)lower_into(string, copy, size);
    return copy;
}

bool starts_with(const char *string, const char *prefix)
{
    return strncmp(string, prefix, strlen(prefix)) == 0;
}

bool ends_with(const char *string, const char *suffix)
{
    size_t len = strlen(string);
    size_t suffix_len = strlen(suffix);
    return len >= suffix_len && strcmp(string + len - suffix_len, suffix) == 0;
}

bool only_characters(const char *string, const char *extra)
{
    for (const char *c = string; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && strchr(extra, *c) == NULL)
            return false;
    return *string != '\0';
}
