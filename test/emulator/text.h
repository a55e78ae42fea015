/*
 * text.h - a growable text, and the small text functions everything here uses. A `struct text` of zero bytes
 * is a valid empty text.
 */
#ifndef EMULATOR_TEXT_H
#define EMULATOR_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text {
    char *bytes; /* NUL-terminated once anything was appended; NULL before */
    size_t len;
    size_t capacity;
};

void text_append(struct text *text, const char *string);
void text_append_bytes(struct text *text, const void *bytes, size_t len);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Hands the content out (never NULL; the caller frees) and leaves an empty text behind. */
char *text_take(struct text *text);
void text_finish(struct text *text);

/* A new text made like printf; the caller frees. */
char *format_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A new copy in lower case (ASCII); the caller frees. */
char *lower_copy(const char *string);
/* The same into a fixed buffer; false when it does not fit. */
bool lower_into(const char *string, char *out, size_t out_size);

bool starts_with(const char *string, const char *prefix);
bool ends_with(const char *string, const char *suffix);

/* True if all characters are ASCII letters, digits or one of `extra`, and there is at least one. */
bool only_characters(const char *string, const char *extra);

#endif
