/*
 * utf8.h - checking and repairing UTF-8 text (RFC 3629), and showing text from outside.
 *
 * A text from outside can hide or reorder what is printed around it, or talk to a terminal. Characters that
 * do so are control characters (C0, DEL, C1), marks and overrides of the writing direction, line separators
 * and characters without width. Where people read such a text, each stands as an escape instead: \n, \u202e.
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

enum { UTF8_SHOWN_MAX = 12 };

/* Shows the character at `text` (not at its end): itself, or an escape that is also one of JSON. A byte that
 * is no character is shown as it is. Writes up to UTF8_SHOWN_MAX bytes and no NUL to `ret_shown`, returns how
 * many, and sets *ret_consumed to the number of bytes of `text` that they stand for. */
size_t utf8_show(const char *text, char ret_shown[UTF8_SHOWN_MAX], size_t *ret_consumed);

/* A copy of `text` with escapes, for an output of more than one line; characters that are in `keep` ("\n")
 * stay as they are. The caller frees it; NULL if memory runs out. */
char *utf8_escape(const char *text, const char *keep);

/* Text from a peer for an error of one line: cut to size - 1 bytes at a character, ASCII control characters
 * replaced by blanks, other ones by escapes, bytes that are not UTF-8 by '?'. "" for NULL. */
void utf8_quote(char *ret, size_t size, const char *text);

/* As utf8_quote(), and blanks that are not the one of ASCII (U+00A0...) are escaped, too. */
void utf8_quote_visibly(char *ret, size_t size, const char *text);

#endif
