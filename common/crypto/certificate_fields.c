/*
 * certificate_fields.c - stepping through an X.509 certificate.
 */
#include "common/crypto/certificate_fields.h"

#include <string.h>

enum {
    TAG_VERSION = 0xa0,
    TAG_EXTENSIONS = 0xa3,
    TAG_BOOLEAN = 0x01,
    TAG_UTC_TIME = 0x17,
    TAG_GENERALIZED_TIME = 0x18,
    TAG_SERIAL = 0x82, /* [2] of an AuthorityKeyIdentifier */
};

/* --- extensions --- */

static int read_authority(struct der value, struct certificate_fields *ret)
{
    struct der content, element;
    if (der_take(&value, DER_SEQUENCE, &content) < 0)
        return -1;
    if (der_is(content, DER_CONTEXT_0) && der_take(&content, DER_CONTEXT_0, &ret->authority_key_id) < 0)
        return -1;
    while (der_len(content) > 0 && !der_is(content, TAG_SERIAL)) {
        if (der_take_any(&content, &element) < 0)
            return -1;
    }
    return der_len(content) > 0 ? der_take(&content, TAG_SERIAL, &ret->authority_serial) : 0;
}

static int read_constraints(struct der value, struct certificate_fields *ret)
{
    struct der content, flag;
    if (der_take(&value, DER_SEQUENCE, &content) < 0)
        return -1;
    if (der_is(content, TAG_BOOLEAN) && der_take(&content, TAG_BOOLEAN, &flag) == 0)
        ret->is_ca = der_len(flag) == 1 && *flag.at != 0;
    return 0;
}

/* Which of two would count? (section 4.2: there must not be two) */
static int read_once(struct der value, struct der *ret)
{
    return der_len(*ret) > 0 ? -1 : der_take(&value, DER_SEQUENCE, ret);
}

static int read_extension(struct der extension, struct certificate_fields *ret)
{
    struct der oid, critical, value;
    if (der_take(&extension, DER_OID, &oid) < 0)
        return -1;
    if (der_is(extension, TAG_BOOLEAN) && der_take(&extension, TAG_BOOLEAN, &critical) < 0)
        return -1;
    if (der_take(&extension, DER_OCTET_STRING, &value) < 0)
        return -1;
    if (DER_OID_IS(oid, "\x55\x1d\x0e"))
        return der_take(&value, DER_OCTET_STRING, &ret->subject_key_id);
    if (DER_OID_IS(oid, "\x55\x1d\x23"))
        return read_authority(value, ret);
    if (DER_OID_IS(oid, "\x55\x1d\x13"))
        return read_constraints(value, ret);
    if (DER_OID_IS(oid, "\x55\x1d\x11"))
        return read_once(value, &ret->alternative_names);
    if (DER_OID_IS(oid, "\x55\x1d\x1e"))
        return read_once(value, &ret->name_constraints);
    return 0;
}

static int read_extensions(struct der tbs, struct certificate_fields *ret)
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

/* --- validity (section 4.1.2.5) --- */

static int read_time(struct der *validity, char ret[CERTIFICATE_TIME_LEN + 1])
{
    struct der time;
    if (der_take(validity, TAG_UTC_TIME, &time) == 0) {
        if (der_len(time) < CERTIFICATE_TIME_LEN - 2)
            return -1;
        memcpy(ret, time.at[0] >= '5' ? "19" : "20", 2);
        memcpy(ret + 2, time.at, CERTIFICATE_TIME_LEN - 2);
    } else if (der_take(validity, TAG_GENERALIZED_TIME, &time) == 0 &&
               der_len(time) >= CERTIFICATE_TIME_LEN) {
        memcpy(ret, time.at, CERTIFICATE_TIME_LEN);
    } else {
        return -1;
    }
    ret[CERTIFICATE_TIME_LEN] = '\0';
    return 0;
}

/* --- the certificate --- */

/* TBSCertificate: version, serial, signature, issuer, validity, subject, key, ... */
int certificate_fields_read(struct der certificate, struct certificate_fields *ret)
{
    static const uint8_t nothing[1] = {0};
    struct der whole, tbs, skipped, validity;
    *ret = (struct certificate_fields){
        .authority_key_id = der_span(nothing, 0),
        .authority_serial = der_span(nothing, 0),
        .subject_key_id = der_span(nothing, 0),
        .alternative_names = der_span(nothing, 0),
        .name_constraints = der_span(nothing, 0),
    };
    if (der_take(&certificate, DER_SEQUENCE, &whole) < 0 || der_take(&whole, DER_SEQUENCE, &tbs) < 0)
        return -1;
    if (der_is(tbs, TAG_VERSION) && der_take(&tbs, TAG_VERSION, &skipped) < 0)
        return -1;
    if (der_take(&tbs, DER_INTEGER, &ret->serial) < 0 || der_take(&tbs, DER_SEQUENCE, &skipped) < 0 ||
        der_take(&tbs, DER_SEQUENCE, &ret->issuer) < 0 || der_take(&tbs, DER_SEQUENCE, &validity) < 0 ||
        der_take(&tbs, DER_SEQUENCE, &ret->subject) < 0 || der_take(&tbs, DER_SEQUENCE, &ret->spki) < 0)
        return -1;
    if (read_time(&validity, ret->not_before) < 0 || read_time(&validity, ret->not_after) < 0)
        *ret->not_before = *ret->not_after = '\0';
    return read_extensions(tbs, ret);
}
