/*
 * pem.h - PEM armour (RFC 7468): writing blocks, and finding them in a text.
 */
#ifndef COMMON_CRYPTO_PEM_H
#define COMMON_CRYPTO_PEM_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buffer.h"
#include "common/base/error.h"

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

#endif
