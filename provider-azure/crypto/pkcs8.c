/*
 * pkcs8.c - private keys as PrivateKeyInfo.
 */
#include "provider-azure/crypto/pkcs8.h"

#include <stdbool.h>
#include <string.h>

#include "common/crypto/der_write.h"
#include "common/crypto/key_match.h"

enum { OVERHEAD = 64 }; /* of header, version and algorithm */

static int unknown(struct error **err)
{
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                     "the private key is neither PKCS#8 nor PKCS#1 nor SEC 1 with a named curve");
}

/* The OID of the curve, behind the version of an ECPrivateKey. */
static bool find_curve(struct der key, struct der *ret_curve)
{
    struct der octets, parameters;
    return der_take(&key, DER_OCTET_STRING, &octets) == 0 &&
           der_take(&key, DER_CONTEXT_0_CONSTRUCTED, &parameters) == 0 &&
           der_take(&parameters, DER_OID, ret_curve) == 0;
}

/* `curve` is empty for an RSA key. */
static struct secret *wrap(struct der key, struct der curve, struct error **err)
{
    size_t room = der_len(key) + der_len(curve) + OVERHEAD;
    struct der written;
    cleanup_secret struct secret *block = secret_create(room);
    struct secret *made = NULL;
    if (block != NULL) {
        struct der_writer out = der_writer_init(secret_data(block), room);
        der_put_octets(&out, key.at, der_len(key));
        size_t before = out.len;
        if (der_len(curve) > 0) {
            der_put_oid_bytes(&out, (const char *)curve.at, der_len(curve));
            der_put_oid(&out, "\x2a\x86\x48\xce\x3d\x02\x01"); /* id-ecPublicKey */
        } else {
            der_put_null(&out);
            der_put_oid(&out, "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"); /* rsaEncryption */
        }
        der_wrap(&out, before, DER_SEQUENCE);
        der_put_uint(&out, 0);
        der_wrap(&out, 0, DER_SEQUENCE);
        if (der_written(&out, &written) == 0)
            made = secret_from_bytes(written.at, der_len(written));
    }
    if (made == NULL)
        (void)error_no_memory(err, "a private key");
    return made;
}

struct secret *pkcs8_from_key(struct der key, struct error **err)
{
    struct der rest = key, body, part, curve = der_span(key.at, 0);
    unsigned version = 0;
    if (der_take(&rest, DER_SEQUENCE, &body) < 0 || der_len(rest) > 0 ||
        der_take_uint(&body, 1, &version) < 0) {
        (void)unknown(err);
        return NULL;
    }
    if (der_is(body, DER_SEQUENCE)) {
        if (der_take(&body, DER_SEQUENCE, &part) < 0 || der_take(&body, DER_OCTET_STRING, &part) < 0) {
            (void)unknown(err);
            return NULL;
        }
        struct secret *copy = secret_from_bytes(key.at, der_len(key));
        if (copy == NULL)
            (void)error_no_memory(err, "a private key");
        return copy;
    }
    if (!der_is(body, DER_INTEGER) && !find_curve(body, &curve)) {
        (void)unknown(err);
        return NULL;
    }
    return wrap(key, curve, err);
}

/* --- the usual form of EC keys --- */

enum { TAG_PUBLIC = 0xa1, FIELD_MAX = (KEY_POINT_MAX - 1) / 2 };

/* The algorithm with the curve's OID, and the number, without leading zeros. */
static bool read_ec(struct der info, struct der *ret_algorithm, struct der *ret_number)
{
    struct der body, algorithm, oid, curve, octets, key;
    unsigned version = 0;

    if (der_take(&info, DER_SEQUENCE, &body) < 0 || der_take_uint(&body, 1, &version) < 0)
        return false;
    *ret_algorithm = body;
    if (der_take(&body, DER_SEQUENCE, &algorithm) < 0)
        return false;
    ret_algorithm->end = body.at;
    if (der_take(&algorithm, DER_OID, &oid) < 0 || !DER_OID_IS(oid, "\x2a\x86\x48\xce\x3d\x02\x01") ||
        der_take(&algorithm, DER_OID, &curve) < 0 || der_len(algorithm) > 0)
        return false;
    if (der_take(&body, DER_OCTET_STRING, &octets) < 0 || der_take(&octets, DER_SEQUENCE, &key) < 0 ||
        der_take_uint(&key, 1, &version) < 0 || der_take(&key, DER_OCTET_STRING, ret_number) < 0)
        return false;
    while (der_len(*ret_number) > 0 && *ret_number->at == 0)
        ret_number->at++;
    return true;
}

int pkcs8_usual_ec(struct der info, struct secret **ret, struct error **err)
{
    struct der algorithm, number, written;
    struct key_public public;

    *ret = NULL;
    if (!read_ec(info, &algorithm, &number))
        return 0;
    key_public_read(info, &public);
    size_t field = public.point_len / 2;
    if (public.point_len < 3 || public.point[0] != 4 || der_len(number) > field)
        return 0;
    size_t room = der_len(algorithm) + FIELD_MAX + KEY_POINT_MAX + OVERHEAD;
    cleanup_secret struct secret *block = secret_create(room), *padded = secret_create(field);
    if (block == NULL || padded == NULL)
        return error_no_memory(err, "a private key");
    memset(secret_data(padded), 0, field);
    memcpy(secret_data(padded) + field - der_len(number), number.at, der_len(number));

    struct der_writer out = der_writer_init(secret_data(block), room);
    der_put(&out, public.point, public.point_len);
    der_put(&out, "", 1); /* no unused bits */
    der_wrap(&out, 0, DER_BIT_STRING);
    der_wrap(&out, 0, TAG_PUBLIC);
    der_put_octets(&out, secret_bytes(padded), field);
    der_put_uint(&out, 1);
    der_wrap(&out, 0, DER_SEQUENCE);
    der_wrap(&out, 0, DER_OCTET_STRING);
    der_put(&out, algorithm.at, der_len(algorithm));
    der_put_uint(&out, 0);
    der_wrap(&out, 0, DER_SEQUENCE);
    if (der_written(&out, &written) == 0)
        *ret = secret_from_bytes(written.at, der_len(written));
    return *ret == NULL ? error_no_memory(err, "a private key") : 0;
}
