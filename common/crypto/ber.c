/*
 * ber.c - one pass over the elements. A header is written when the content behind it is complete.
 */
#include "common/crypto/ber.h"

#include <stdbool.h>
#include <string.h>

enum {
    CONSTRUCTED = 0x20,
    INDEFINITE = 0x80,
    HEADER_MAX = 6,        /* tag, and a length in at most 5 bytes */
    GROWTH_MAX = 1024,     /* a definite length of 64 KiB and more has a byte more than an indefinite one */
    LENGTH_MAX = 0xffffff, /* of the text: lengths of three bytes */
};

struct writer {
    uint8_t *out;
    size_t len;
    size_t cap;
    bool changed;
};

static int put(struct writer *writer, struct der bytes)
{
    if (der_len(bytes) > writer->cap - writer->len)
        return -1;
    memcpy(writer->out + writer->len, bytes.at, der_len(bytes));
    writer->len += der_len(bytes);
    return 0;
}

/* Puts the header in front of the content that was written from `start` + HEADER_MAX on. */
static void close_element(struct writer *writer, size_t start, uint8_t tag)
{
    size_t content = start + HEADER_MAX, len = writer->len - content;
    uint8_t *header = writer->out + start;
    size_t at = 0;
    header[at++] = tag;
    if (len < 0x80) {
        header[at++] = (uint8_t)len;
    } else {
        unsigned n = len > 0xffff ? 3 : len > 0xff ? 2 : 1;
        header[at++] = (uint8_t)(0x80U | n);
        while (n-- > 0)
            header[at++] = (uint8_t)(len >> (8 * n));
    }
    memmove(header + at, writer->out + content, len);
    writer->len = start + at + len;
}

static int write_element(struct der *in, unsigned depth, struct writer *writer);

/* The elements in a constructed one, whose header comes first in `in`. Those of an OCTET STRING are
 * segments, of which only the content is written. */
static int write_content(struct der *in, bool segments, unsigned depth, struct writer *writer)
{
    bool indefinite = der_len(*in) >= 2 && in->at[1] == INDEFINITE;
    struct der content, segment;
    if (depth == BER_DEPTH_MAX)
        return -1;
    if (indefinite)
        content = der_span(in->at + 2, der_len(*in) - 2);
    else if (der_take(in, *in->at, &content) < 0)
        return -1;
    while (der_len(content) > 0 && !(indefinite && *content.at == 0)) {
        int result = 0;
        if (!segments)
            result = write_element(&content, depth + 1, writer);
        else if (der_is(content, DER_OCTET_STRING | CONSTRUCTED))
            result = write_content(&content, segments, depth + 1, writer);
        else
            result = der_take(&content, DER_OCTET_STRING, &segment) < 0 ? -1 : put(writer, segment);
        if (result < 0)
            return -1;
    }
    writer->changed = writer->changed || indefinite || segments;
    if (!indefinite)
        return 0;
    if (der_len(content) < 2 || content.at[1] != 0) /* end of contents */
        return -1;
    in->at = content.at + 2;
    return 0;
}

static int write_element(struct der *in, unsigned depth, struct writer *writer)
{
    struct der whole;
    uint8_t tag = *in->at;
    if ((tag & CONSTRUCTED) == 0)
        return der_take_any(in, &whole) < 0 ? -1 : put(writer, whole);
    bool segments = tag == (DER_OCTET_STRING | CONSTRUCTED);
    size_t start = writer->len;
    if (writer->cap - start < HEADER_MAX)
        return -1;
    writer->len += HEADER_MAX;
    if (write_content(in, segments, depth, writer) < 0)
        return -1;
    close_element(writer, start, segments ? DER_OCTET_STRING : tag);
    return 0;
}

int ber_to_der(struct der ber, struct secret **ret, struct error **err)
{
    *ret = NULL;
    if (der_len(ber) == 0 || der_len(ber) > LENGTH_MAX)
        return 0;
    cleanup_secret struct secret *made = secret_create(der_len(ber) + GROWTH_MAX);
    if (made == NULL)
        return error_no_memory(err, "PKCS#12");
    struct writer writer = {.out = secret_data(made), .cap = der_len(ber) + GROWTH_MAX};
    if (write_element(&ber, 0, &writer) < 0 || !writer.changed || put(&writer, ber) < 0)
        return 0;
    secret_truncate(made, writer.len);
    *ret = steal_ptr(&made);
    return 0;
}

struct secret *ber_join_octets(struct der segments, struct error **err)
{
    cleanup_secret struct secret *joined = secret_create(der_len(segments));
    struct der segment;
    if (joined == NULL) {
        (void)error_no_memory(err, "PKCS#12");
        return NULL;
    }
    struct writer writer = {.out = secret_data(joined), .cap = der_len(segments)};
    while (der_len(segments) > 0) {
        if (der_take(&segments, DER_OCTET_STRING, &segment) < 0 || put(&writer, segment) < 0) {
            (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "pkcs12: damaged encrypted data");
            return NULL;
        }
    }
    secret_truncate(joined, writer.len);
    return steal_ptr(&joined);
}
