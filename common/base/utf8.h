/*
 * utf8.h - checking and repairing UTF-8 text (RFC 3629).
 */
#ifndef COMMON_BASE_UTF8_H
#define COMMON_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* True when `len` bytes are well-formed UTF-8 (no overlong forms, no surrogates, nothing above U+10FFFF). NUL
 * bytes are well-formed. */
bool utf8_valid(const char *text, size_t len);

/* The length of a byte order mark at the beginning of a text, which Windows' editors write; 0 when there is
 * none. It is no part of the text. */
size_t utf8_mark_len(const char *text, size_t len);

/* Replaces every byte of a C string that is not part of well-formed UTF-8 by '?', in place (the length
 * stays). */
void utf8_sanitize(char *text);

/* The largest length <= max at which `text` can be cut without splitting a character. `text` has more than
 * max bytes, or exactly max and a NUL behind them. */
size_t utf8_floor(const char *text, size_t max);

/* Text from a peer for an error of one line: cut to size - 1 bytes, control characters replaced by blanks,
 * bytes that are not UTF-8 by '?'. "" for NULL. */
void utf8_quote(char *ret, size_t size, const char *text);

/* As utf8_quote(), and spaces, marks and format characters that look like nothing or like a blank (U+00A0,
 * U+200B, U+FEFF...) are written as "\\u200b". Nothing is cut within such a text. */
void utf8_quote_visibly(char *ret, size_t size, const char *text);

#endif
