/*
 * fuzz_pkcs12_safe.c - what is inside of a PFX: fuzz_pkcs12 hardly gets past the MAC, so here the input is
 * the authenticated safe, and a right MAC is put around it.
 */
#include <mbedtls/md.h>
#include <mbedtls/pkcs12.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/pkcs12.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SAFE_MAX = 60000, HEADER = 4, SHA1_BYTES = 20 };

/* A DER header with a two-byte length, at the end of what was written so far. */
static size_t put_header(uint8_t *out, size_t at, uint8_t tag, size_t len)
{
    out[at] = tag;
    out[at + 1] = 0x82;
    out[at + 2] = (uint8_t)(len >> 8);
    out[at + 3] = (uint8_t)len;
    return at + HEADER;
}

static size_t put(uint8_t *out, size_t at, const void *bytes, size_t len)
{
    if (len > 0)
        memcpy(out + at, bytes, len);
    return at + len;
}

/* HMAC-SHA-1 under a key derived from the empty password in one round (RFC 7292, appendix B). */
static int make_mac(const uint8_t *data, size_t size, uint8_t mac[SHA1_BYTES])
{
    static const unsigned char password[2] = {0, 0}, salt[8] = "saltsalt";
    unsigned char key[SHA1_BYTES];
    if (mbedtls_pkcs12_derivation(key, sizeof(key), password, sizeof(password), salt, sizeof(salt),
                                  MBEDTLS_MD_SHA1, MBEDTLS_PKCS12_DERIVE_MAC_KEY, 1) != 0)
        return -1;
    return mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA1), key, sizeof(key), data, size, mac);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t version[] = {0x02, 0x01, 0x03};
    static const uint8_t data_oid[] = {0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01};
    static const uint8_t mac_start[] = {0x30, 0x2d, 0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b,
                                        0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14};
    static const uint8_t mac_end[] = {0x04, 0x08, 's', 'a', 'l', 't', 's', 'a', 'l', 't'};
    uint8_t mac[SHA1_BYTES];

    if (size > SAFE_MAX || make_mac(data, size, mac) != 0)
        return 0;
    size_t info = sizeof(data_oid) + HEADER + HEADER + size;
    size_t whole = sizeof(version) + HEADER + info + sizeof(mac_start) + sizeof(mac) + sizeof(mac_end);
    uint8_t *file = malloc(HEADER + whole);
    if (file == NULL)
        return 0;
    size_t at = put_header(file, 0, 0x30, whole);
    at = put(file, at, version, sizeof(version));
    at = put_header(file, at, 0x30, info);
    at = put(file, at, data_oid, sizeof(data_oid));
    at = put_header(file, at, 0xa0, HEADER + size);
    at = put_header(file, at, 0x04, size);
    at = put(file, at, data, size);
    at = put(file, at, mac_start, sizeof(mac_start));
    at = put(file, at, mac, sizeof(mac));
    at = put(file, at, mac_end, sizeof(mac_end));

    cleanup_pkcs12 struct pkcs12 pkcs12 = {0};
    struct error *error = NULL;
    if (pkcs12_read(file, at, &pkcs12, &error) < 0 &&
        (strstr(error_message(error), "password incorrect") != NULL ||
         strstr(error_message(error), "no MAC") != NULL))
        abort(); /* then this target tests nothing */
    error_free(error);
    free(file);
    return 0;
}
