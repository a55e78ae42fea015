/*
 * der.c - stepping through DER with a cursor.
 */
#include "common/crypto/der.h"

#include <limits.h>
#include <mbedtls/asn1.h>
#include <stdio.h>
#include <string.h>

bool der_is(struct der der, int tag)
{
    return der.at < der.end && *der.at == tag;
}

/* mbedTLS' reader takes a pointer to non-const but only moves it. */
static unsigned char *unconst(const uint8_t *at)
{
    return (unsigned char *)(uintptr_t)at;
}

int der_take(struct der *der, int tag, struct der *ret_content)
{
    unsigned char *at = unconst(der->at);
    size_t len = 0;
    if (mbedtls_asn1_get_tag(&at, der->end, &len, tag) != 0)
        return -1;
    *ret_content = der_span(at, len);
    der->at = at + len;
    return 0;
}

int der_take_any(struct der *der, struct der *ret_whole)
{
    struct der content;
    const uint8_t *start = der->at;
    if (der->at >= der->end || der_take(der, *der->at, &content) < 0)
        return -1;
    *ret_whole = der_span(start, (size_t)(der->at - start));
    return 0;
}

int der_take_uint(struct der *der, unsigned max, unsigned *ret)
{
    unsigned char *at = unconst(der->at);
    int value = 0;
    if (mbedtls_asn1_get_int(&at, der->end, &value) != 0 || value < 0 || (unsigned)value > max)
        return -1;
    der->at = at;
    *ret = (unsigned)value;
    return 0;
}

int der_take_uint64(struct der *der, uint64_t *ret)
{
    struct der rest = *der, digits;
    uint64_t value = 0;
    if (der_take(&rest, DER_INTEGER, &digits) < 0 || der_len(digits) == 0 || (*digits.at & 0x80U) != 0)
        return -1;
    for (; digits.at < digits.end; digits.at++)
        value = value > UINT64_MAX >> 8 ? UINT64_MAX : value << 8 | *digits.at;
    *der = rest;
    *ret = value;
    return 0;
}

bool der_oid_equal(struct der oid, const char *bytes, size_t len)
{
    return der_len(oid) == len && memcmp(oid.at, bytes, len) == 0;
}

void der_oid_text(struct der oid, char *text, size_t cap)
{
    size_t used = 0;
    unsigned value = 0;
    bool first = true;

    (void)snprintf(text, cap, "?");
    for (const uint8_t *at = oid.at; at < oid.end; at++) {
        if (value > UINT_MAX >> 7)
            return;
        value = value << 7 | (*at & 0x7fU);
        if ((*at & 0x80U) != 0)
            continue;
        int len = 0;
        if (first) {
            unsigned top = value < 80 ? value / 40 : 2;
            len = snprintf(text + used, cap - used, "%u.%u", top, value - 40 * top);
        } else {
            len = snprintf(text + used, cap - used, ".%u", value);
        }
        if (len < 0 || (size_t)len >= cap - used)
            return;
        used += (size_t)len;
        value = 0;
        first = false;
    }
}
