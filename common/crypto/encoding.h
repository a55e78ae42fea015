/*
 * encoding.h - base64, base64url and hex, with the strictness and the error texts of Go's encoding packages,
 * which users know from the provider in Go. Outputs may be secret: they go to wiped memory.
 */
#ifndef COMMON_CRYPTO_ENCODING_H
#define COMMON_CRYPTO_ENCODING_H

#include <stddef.h>

#include "common/base/buffer.h"
#include "common/base/error.h"
#include "common/base/secret.h"

/* Standard alphabet, padding required, CR and LF skipped. Error FAILED_PRECONDITION "illegal base64 data at
 * input byte N"; of PEM, which is often taken for base64, it says so. */
struct secret *base64_decode(const char *text, size_t len, struct error **err);

/* Standard alphabet, padded, without line breaks. In memory of the wiping allocator; the caller frees with
 * secret_free(). NULL on lack of memory. */
char *base64_encode(const void *bytes, size_t len);

/* URL alphabet without padding (RFC 7515 2), as in JSON web keys; nothing is skipped. */
struct secret *base64url_decode(const char *text, size_t len, struct error **err);

/* Appends `len` bytes in that alphabet. */
int base64url_append(struct buffer *out, const void *bytes, size_t len, struct error **err);

/* The value of a hex digit of either case, HEX_NO_DIGIT for anything else. */
enum { HEX_NO_DIGIT = 16 };
unsigned hex_digit(char c);

/* Either case. "encoding/hex: odd length hex string", "encoding/hex: invalid byte at offset N" (the byte
 * itself, which Go prints, would be a piece of the secret). */
struct secret *hex_decode(const char *text, size_t len, struct error **err);

#endif
