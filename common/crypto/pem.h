/*
 * pem.h - PEM armour (RFC 7468): writing blocks, and finding them in a text.
 */
#ifndef COMMON_CRYPTO_PEM_H
#define COMMON_CRYPTO_PEM_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buffer.h"
#include "common/base/error.h"
#include "common/base/secret.h"

/* Appends a block: 64 columns, LF, final LF. Fails only when `out` is full. */
int pem_append(struct buffer *out, const char *label, const void *der, size_t len, struct error **err);

/* A block found in a text; spans of that text, not terminated. */
struct pem_block {
    const char *label;
    size_t label_len;
    const char *body; /* between the lines of BEGIN and END; plain base64 unless it has header lines */
    size_t body_len;
    const char *whole; /* with these lines */
    size_t whole_len;
};

/* Finds the next block at or behind *at and moves *at behind it; false when there is none. Text outside of
 * blocks and blocks that are cut off are passed over. */
bool pem_next(const char **at, const char *end, struct pem_block *ret);

/* Decodes the base64 of a body. White space anywhere in it is skipped, and so are the two characters "\n",
 * "\r" and "\t": they stand for line breaks where a text went through quotes. NULL with err set: the errors
 * of base64_decode(). */
struct secret *pem_decode(const char *body, size_t len, struct error **err);

/* True when a block does not stand on lines of its own, because blanks, the two characters "\n" or nothing
 * took the place of its line breaks: OpenSSL does not find it then. */
bool pem_lines_lost(const struct pem_block *block);

#endif
