/*
 * pkcs12_kdf.c - passwords and key derivation of PKCS#12. Letters are those of RFC 7292, appendix B.2.
 */
#include "common/crypto/pkcs12_kdf.h"

#include <string.h>

#include "common/base/utf8.h"

enum {
    HASH_MAX = 64,                         /* u, in bytes: SHA-512 */
    BLOCK_MAX = 128,                       /* v: SHA-384 and SHA-512 */
    BMP_MAX = 2 * PKCS12_PASSWORD_MAX + 2, /* ASCII doubles; everything else grows less */
    STOP_EVERY = 1024,                     /* rounds: less than a millisecond */
};

static bool stopped(const atomic_bool *stop, unsigned round)
{
    return stop != NULL && round % STOP_EVERY == 0 && atomic_load_explicit(stop, memory_order_relaxed);
}

/* Takes one character of valid UTF-8. */
static uint32_t next_character(const uint8_t **at)
{
    uint8_t first = *(*at)++;
    if (first < 0x80)
        return first;
    unsigned more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    uint32_t character = first & (0x3fU >> more);
    while (more-- > 0)
        character = character << 6 | (*(*at)++ & 0x3fU);
    return character;
}

static void put_unit(uint8_t **at, uint32_t unit)
{
    *(*at)++ = (uint8_t)(unit >> 8);
    *(*at)++ = (uint8_t)unit;
}

struct secret *pkcs12_bmp_password(const char *password, size_t len, struct error **err)
{
    if (len > PKCS12_PASSWORD_MAX || memchr(password, '\0', len) != NULL || !utf8_valid(password, len)) {
        (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                        "pkcs12: the password is not UTF-8 of at most %d bytes", PKCS12_PASSWORD_MAX);
        return NULL;
    }
    struct secret *made = secret_create(2 * len + 2);
    if (made == NULL) {
        (void)error_no_memory(err, "PKCS#12");
        return NULL;
    }
    uint8_t *out = secret_data(made);
    const uint8_t *at = (const uint8_t *)password;
    const uint8_t *end = at + len;
    while (at < end) {
        uint32_t character = next_character(&at);
        if (character >= 0x10000) {
            put_unit(&out, 0xd800 + ((character - 0x10000) >> 10));
            put_unit(&out, 0xdc00 + ((character - 0x10000) & 0x3ff));
        } else {
            put_unit(&out, character);
        }
    }
    put_unit(&out, 0);
    secret_truncate(made, (size_t)(out - secret_data(made)));
    return made;
}

/* Repeats `bytes` until a multiple of v is full. Returns the length, 0 for no bytes. */
static size_t fill(uint8_t *out, const uint8_t *bytes, size_t len, size_t v)
{
    size_t total = (len + v - 1) / v * v;
    for (size_t i = 0; i < total; i++)
        out[i] = bytes[i % len];
    return total;
}

/* I_j = (I_j + B + 1) mod 2^(8v), big-endian. */
static void add_block(uint8_t *block, const uint8_t *b, size_t v)
{
    unsigned carry = 1;
    for (size_t i = v; i-- > 0;) {
        carry += (unsigned)block[i] + b[i];
        block[i] = (uint8_t)carry;
        carry >>= 8;
    }
}

/* A = H^r(D || I) */
static int hash_rounds(const mbedtls_md_info_t *md, const uint8_t *d, size_t v, const uint8_t *i,
                       size_t i_len, unsigned iterations, const atomic_bool *stop, uint8_t a[HASH_MAX])
{
    size_t u = mbedtls_md_get_size(md);
    mbedtls_md_context_t context;
    mbedtls_md_init(&context);
    int failed = mbedtls_md_setup(&context, md, /* hmac= */ 0) != 0 || mbedtls_md_starts(&context) != 0 ||
                 mbedtls_md_update(&context, d, v) != 0 || mbedtls_md_update(&context, i, i_len) != 0 ||
                 mbedtls_md_finish(&context, a) != 0;
    for (unsigned round = 1; !failed && round < iterations; round++)
        failed = stopped(stop, round) || mbedtls_md(md, a, u, a) != 0;
    mbedtls_md_free(&context);
    return failed ? -1 : 0;
}

/* v: the block length of the hash (appendix B.2). */
static size_t block_len(mbedtls_md_type_t hash)
{
    return hash == MBEDTLS_MD_SHA384 || hash == MBEDTLS_MD_SHA512 ? 128 : 64;
}

int pkcs12_derive(mbedtls_md_type_t hash, const uint8_t *password, size_t password_len, const uint8_t *salt,
                  size_t salt_len, unsigned iterations, uint8_t purpose, const atomic_bool *stop,
                  uint8_t *out, size_t out_len)
{
    const mbedtls_md_info_t *md = mbedtls_md_info_from_type(hash);
    size_t v = block_len(hash);
    uint8_t d[BLOCK_MAX], a[HASH_MAX], b[BLOCK_MAX];
    uint8_t i[PKCS12_SALT_MAX + BLOCK_MAX + BMP_MAX + BLOCK_MAX] = {0};

    if (md == NULL || password_len > BMP_MAX || salt_len > PKCS12_SALT_MAX || out_len > PKCS12_DERIVED_MAX)
        return -1;
    size_t u = mbedtls_md_get_size(md);
    memset(d, purpose, v);
    size_t i_len = salt_len > 0 ? fill(i, salt, salt_len, v) : 0;
    i_len += password_len > 0 ? fill(i + i_len, password, password_len, v) : 0;

    int result = 0;
    for (size_t done = 0; result == 0 && done < out_len; done += u) {
        result = hash_rounds(md, d, v, i, i_len, iterations, stop, a);
        if (result < 0)
            break;
        memcpy(out + done, a, out_len - done < u ? out_len - done : u);
        (void)fill(b, a, u, v); /* u <= v */
        for (size_t j = 0; j < i_len; j += v)
            add_block(i + j, b, v);
    }
    secret_wipe(i, sizeof(i));
    secret_wipe(a, sizeof(a));
    secret_wipe(b, sizeof(b));
    return result;
}

/* --- PBKDF2 --- */

/* HMAC (RFC 2104) with a key that is hashed once: copies of `inner` and `outer` begin every computation. */
struct hmac {
    mbedtls_md_context_t inner, outer, work;
    size_t len;
};

static int start_with(mbedtls_md_context_t *context, const uint8_t *block, size_t v, uint8_t pad)
{
    uint8_t padded[BLOCK_MAX];
    for (size_t i = 0; i < v; i++)
        padded[i] = block[i] ^ pad;
    int result = mbedtls_md_starts(context) != 0 || mbedtls_md_update(context, padded, v) != 0 ? -1 : 0;
    secret_wipe(padded, sizeof(padded));
    return result;
}

static int hmac_init(struct hmac *hmac, mbedtls_md_type_t hash, const void *key, size_t key_len)
{
    const mbedtls_md_info_t *md = mbedtls_md_info_from_type(hash);
    uint8_t block[BLOCK_MAX] = {0};
    size_t v = block_len(hash);

    mbedtls_md_init(&hmac->inner);
    mbedtls_md_init(&hmac->outer);
    mbedtls_md_init(&hmac->work);
    if (md == NULL)
        return -1;
    hmac->len = mbedtls_md_get_size(md);
    int result = 0;
    if (key_len > v)
        result = mbedtls_md(md, key, key_len, block);
    else if (key_len > 0)
        memcpy(block, key, key_len);
    if (result != 0 || mbedtls_md_setup(&hmac->inner, md, 0) != 0 ||
        mbedtls_md_setup(&hmac->outer, md, 0) != 0 || mbedtls_md_setup(&hmac->work, md, 0) != 0 ||
        start_with(&hmac->inner, block, v, 0x36) < 0 || start_with(&hmac->outer, block, v, 0x5c) < 0)
        result = -1;
    secret_wipe(block, sizeof(block));
    return result;
}

static void hmac_finish(struct hmac *hmac)
{
    mbedtls_md_free(&hmac->inner);
    mbedtls_md_free(&hmac->outer);
    mbedtls_md_free(&hmac->work);
}

/* The HMAC of two texts, of which either may be empty; `out` may be one of them. */
static int hmac_compute(struct hmac *hmac, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len,
                        uint8_t out[HASH_MAX])
{
    mbedtls_md_context_t *work = &hmac->work;
    return mbedtls_md_clone(work, &hmac->inner) != 0 || mbedtls_md_update(work, a, a_len) != 0 ||
                   mbedtls_md_update(work, b, b_len) != 0 || mbedtls_md_finish(work, out) != 0 ||
                   mbedtls_md_clone(work, &hmac->outer) != 0 ||
                   mbedtls_md_update(work, out, hmac->len) != 0 || mbedtls_md_finish(work, out) != 0
               ? -1
               : 0;
}

/* Block number `index` of the output: U_1 xor U_2 xor ... */
static int pbkdf2_block(struct hmac *hmac, const uint8_t *salt, size_t salt_len, unsigned iterations,
                        const atomic_bool *stop, size_t index, uint8_t out[HASH_MAX])
{
    const uint8_t number[4] = {0, 0, 0, (uint8_t)index}; /* PKCS12_DERIVED_MAX bounds it */
    uint8_t u[HASH_MAX];
    int result = hmac_compute(hmac, salt, salt_len, number, sizeof(number), u);
    memcpy(out, u, hmac->len);
    for (unsigned round = 1; result == 0 && round < iterations; round++) {
        result = stopped(stop, round) ? -1 : hmac_compute(hmac, u, hmac->len, NULL, 0, u);
        for (size_t i = 0; i < hmac->len; i++)
            out[i] ^= u[i];
    }
    secret_wipe(u, sizeof(u));
    return result;
}

int pkcs12_pbkdf2(mbedtls_md_type_t hash, const void *password, size_t password_len, const uint8_t *salt,
                  size_t salt_len, unsigned iterations, const atomic_bool *stop, uint8_t *out, size_t out_len)
{
    struct hmac hmac = {.len = 0};
    uint8_t block[HASH_MAX];
    int result = out_len > PKCS12_DERIVED_MAX ? -1 : 0;

    if (hmac_init(&hmac, hash, password, password_len) < 0)
        result = -1;
    for (size_t done = 0, index = 1; result == 0 && done < out_len; done += hmac.len, index++) {
        result = pbkdf2_block(&hmac, salt, salt_len, iterations, stop, index, block);
        memcpy(out + done, block, out_len - done < hmac.len ? out_len - done : hmac.len);
    }
    hmac_finish(&hmac);
    secret_wipe(block, sizeof(block));
    return result;
}
