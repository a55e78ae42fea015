/*
 * text.h - short texts: trimmed and compared the way the parameters of a SecretProviderClass are read, and
 * quoted in errors.
 */
#ifndef PROVIDER_AZURE_PARAMETER_TEXT_H
#define PROVIDER_AZURE_PARAMETER_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* The part of `text` between leading and trailing white space (Unicode's, in UTF-8). *ret_len is its length;
 * the pointer points into `text`. */
const char *text_trim(const char *text, size_t *ret_len);

/* A trimmed copy; the caller frees with free(). "" for NULL. NULL on lack of memory. */
char *text_trim_copy(const char *text);

/* Go's strconv.ParseBool ("1", "t", "T", "TRUE", "true", "True" and their opposites) with "" for false.
 * Returns false, and leaves *ret alone, for any other text. */
bool text_parse_bool(const char *text, bool *ret);

/* What a server said, as it can stand in an error of one line: cut to size - 1 bytes, control characters
 * replaced by blanks, valid UTF-8. "" for NULL. */
void text_quote(char *ret, size_t size, const char *text);

#endif
