/*
 * der_write.c - writing DER from its end.
 */
#include "common/crypto/der_write.h"

#include <mbedtls/asn1write.h>

struct der_writer der_writer_init(uint8_t *block, size_t size)
{
    return (struct der_writer){.start = block, .at = block + size};
}

static void add(struct der_writer *writer, int written)
{
    if (writer->failed == 0 && written < 0)
        writer->failed = written;
    else if (written > 0)
        writer->len += (size_t)written;
}

void der_put(struct der_writer *writer, const void *bytes, size_t len)
{
    if (len > 0)
        add(writer, mbedtls_asn1_write_raw_buffer(&writer->at, writer->start, bytes, len));
}

void der_wrap(struct der_writer *writer, size_t before, int tag)
{
    add(writer, mbedtls_asn1_write_len(&writer->at, writer->start, writer->len - before));
    add(writer, mbedtls_asn1_write_tag(&writer->at, writer->start, (unsigned char)tag));
}

void der_put_octets(struct der_writer *writer, const void *bytes, size_t len)
{
    size_t before = writer->len;
    der_put(writer, bytes, len);
    der_wrap(writer, before, DER_OCTET_STRING);
}

void der_put_uint(struct der_writer *writer, unsigned value)
{
    size_t before = writer->len;
    uint8_t byte = 0;
    do {
        byte = (uint8_t)value;
        der_put(writer, &byte, 1);
        value >>= 8;
    } while (value > 0);
    if ((byte & 0x80) != 0)
        der_put(writer, (const uint8_t[]){0}, 1);
    der_wrap(writer, before, DER_INTEGER);
}

void der_put_null(struct der_writer *writer)
{
    der_wrap(writer, writer->len, DER_NULL);
}

void der_put_oid_bytes(struct der_writer *writer, const char *oid, size_t len)
{
    size_t before = writer->len;
    der_put(writer, oid, len);
    der_wrap(writer, before, DER_OID);
}

int der_written(const struct der_writer *writer, struct der *ret)
{
    *ret = der_span(writer->at, writer->len);
    return writer->failed == 0 ? 0 : -1;
}
