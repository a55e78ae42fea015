/*
 * base64.h - base64 in its two alphabets (RFC 4648). Its own, not that of common/: the emulator judges what
 * the programs send, and must not share their mistakes.
 */
#ifndef EMULATOR_BASE64_H
#define EMULATOR_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* New texts; the caller frees. */
char *base64_encode(const void *bytes, size_t len);    /* standard alphabet, padded */
char *base64url_encode(const void *bytes, size_t len); /* URL alphabet, no padding */

/* Decodes either alphabet, padding optional. The result is NUL-terminated for convenience; NULL when the text
 * is not base64. */
char *base64_decode(const char *text, size_t *ret_len);

/* True if `text` is well-formed padded standard base64 (what Kubernetes wants in Secret data). */
bool base64_is_standard(const char *text);

#endif
