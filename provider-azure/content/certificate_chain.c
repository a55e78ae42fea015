/*
 * certificate_chain.c - the order in which the certificates of a PFX are written.
 */
#include "provider-azure/content/certificate_chain.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "common/crypto/der.h"
#include "common/crypto/pkcs12.h"

enum {
    TAG_VERSION = 0xa0,
    TAG_EXTENSIONS = 0xa3,
    TAG_BOOLEAN = 0x01,
    NONE = PKCS12_ITEMS_MAX, /* no such certificate */
};

/* Spans into the certificate; empty where there is none. */
struct names {
    struct der issuer, subject;
    struct der authority_key_id, subject_key_id;
};

static bool same(struct der a, struct der b)
{
    return der_len(a) == der_len(b) && memcmp(a.at, b.at, der_len(a)) == 0;
}

static int read_extension(struct der extension, struct names *ret)
{
    struct der oid, critical, value, content;
    if (der_take(&extension, DER_OID, &oid) < 0)
        return -1;
    if (der_is(extension, TAG_BOOLEAN) && der_take(&extension, TAG_BOOLEAN, &critical) < 0)
        return -1;
    if (der_take(&extension, DER_OCTET_STRING, &value) < 0)
        return -1;
    if (DER_OID_IS(oid, "\x55\x1d\x0e"))
        return der_take(&value, DER_OCTET_STRING, &ret->subject_key_id);
    if (DER_OID_IS(oid, "\x55\x1d\x23")) {
        if (der_take(&value, DER_SEQUENCE, &content) < 0)
            return -1;
        if (der_is(content, DER_CONTEXT_0)) /* the key identifier is optional */
            return der_take(&content, DER_CONTEXT_0, &ret->authority_key_id);
    }
    return 0;
}

static int read_extensions(struct der tbs, struct names *ret)
{
    struct der element, extensions, extension;
    while (der_len(tbs) > 0 && !der_is(tbs, TAG_EXTENSIONS)) { /* unique identifiers */
        if (der_take_any(&tbs, &element) < 0)
            return -1;
    }
    if (der_len(tbs) == 0)
        return 0;
    if (der_take(&tbs, TAG_EXTENSIONS, &element) < 0 || der_take(&element, DER_SEQUENCE, &extensions) < 0)
        return -1;
    while (der_len(extensions) > 0) {
        if (der_take(&extensions, DER_SEQUENCE, &extension) < 0 || read_extension(extension, ret) < 0)
            return -1;
    }
    return 0;
}

/* TBSCertificate: version, serial, signature, issuer, validity, subject, key, ... */
static int read_names(const struct secret *certificate, struct names *ret)
{
    static const uint8_t nothing[1] = {0};
    struct der file = der_span(secret_bytes(certificate), secret_len(certificate)), whole, tbs, skipped;
    *ret = (struct names){
        .authority_key_id = der_span(nothing, 0),
        .subject_key_id = der_span(nothing, 0),
    };
    if (der_take(&file, DER_SEQUENCE, &whole) < 0 || der_take(&whole, DER_SEQUENCE, &tbs) < 0)
        return -1;
    if (der_is(tbs, TAG_VERSION) && der_take(&tbs, TAG_VERSION, &skipped) < 0)
        return -1;
    if (der_take(&tbs, DER_INTEGER, &skipped) < 0 || der_take(&tbs, DER_SEQUENCE, &skipped) < 0 ||
        der_take(&tbs, DER_SEQUENCE, &ret->issuer) < 0 || der_take(&tbs, DER_SEQUENCE, &skipped) < 0 ||
        der_take(&tbs, DER_SEQUENCE, &ret->subject) < 0 || der_take(&tbs, DER_SEQUENCE, &skipped) < 0)
        return -1;
    return read_extensions(tbs, ret);
}

static bool issued(const struct names *issuer, const struct names *subject)
{
    if (der_len(issuer->subject_key_id) > 0 && der_len(subject->authority_key_id) > 0)
        return same(issuer->subject_key_id, subject->authority_key_id);
    return same(issuer->subject, subject->issuer);
}

static size_t drop_repeated(struct secret **certificates, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        bool repeated = false;
        for (size_t j = 0; j < kept && !repeated; j++)
            repeated = secret_equal(certificates[i], certificates[j]);
        if (repeated)
            secret_destroy(certificates[i]);
        else
            certificates[kept++] = certificates[i];
    }
    return kept;
}

/* Index of the first certificate that has issued no other. */
static size_t find_leaf(const size_t *parent, size_t n)
{
    bool is_parent[PKCS12_ITEMS_MAX] = {false};
    for (size_t i = 0; i < n; i++) {
        if (parent[i] != NONE)
            is_parent[parent[i]] = true;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_parent[i])
            return i;
    }
    return NONE;
}

enum certificate_chain certificate_chain_order(struct secret **certificates, size_t *n)
{
    struct names names[PKCS12_ITEMS_MAX];
    size_t parent[PKCS12_ITEMS_MAX];

    assert(*n <= PKCS12_ITEMS_MAX);
    size_t count = *n = drop_repeated(certificates, *n);
    for (size_t i = 0; i < count; i++) {
        if (read_names(certificates[i], &names[i]) < 0)
            return CERTIFICATE_CHAIN_UNREADABLE;
    }
    for (size_t i = 0; i < count; i++) {
        parent[i] = NONE;
        for (size_t j = 0; j < count && parent[i] == NONE; j++) {
            if (j != i && issued(&names[j], &names[i]))
                parent[i] = j;
        }
    }

    struct secret *ordered[PKCS12_ITEMS_MAX];
    size_t steps = 0;
    size_t at = find_leaf(parent, count);
    if (at == NONE && count > 0)
        return CERTIFICATE_CHAIN_UNREADABLE;
    for (; at != NONE; at = parent[at]) {
        if (steps == count)
            return CERTIFICATE_CHAIN_UNREADABLE; /* a cycle */
        ordered[steps++] = certificates[at];
    }
    if (steps < count)
        return CERTIFICATE_CHAIN_INCOMPLETE;
    for (size_t i = 0; i < count; i++)
        certificates[i] = ordered[i];
    return CERTIFICATE_CHAIN_ORDERED;
}
