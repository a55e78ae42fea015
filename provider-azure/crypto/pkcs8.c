/*
 * pkcs8.c - private keys as PrivateKeyInfo.
 */
#include "provider-azure/crypto/pkcs8.h"

#include <stdbool.h>

#include "common/crypto/der_write.h"

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
