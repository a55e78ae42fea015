/*
 * test_rc2.c - RC2 against the vectors of RFC 2268, section 5.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/cleanup.h"
#include "common/crypto/rc2.h"

struct vector {
    unsigned bits;
    size_t key_len;
    uint8_t key[16];
    uint8_t plain[RC2_BLOCK];
    uint8_t cipher[RC2_BLOCK];
};

static const struct vector vectors[] = {
    {63, 8, {0}, {0}, {0xeb, 0xb7, 0x73, 0xf9, 0x93, 0x27, 0x8e, 0xff}},
    {64,
     8,
     {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
     {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
     {0x27, 0x8b, 0x27, 0xe4, 0x2e, 0x2f, 0x0d, 0x49}},
    {64, 8, {0x30}, {0x10, 0, 0, 0, 0, 0, 0, 0x01}, {0x30, 0x64, 0x9e, 0xdf, 0x9b, 0xe7, 0xd2, 0xc2}},
    {64, 1, {0x88}, {0}, {0x61, 0xa8, 0xa2, 0x44, 0xad, 0xac, 0xcc, 0xf0}},
    {64,
     7,
     {0x88, 0xbc, 0xa9, 0x0e, 0x90, 0x87, 0x5a},
     {0},
     {0x6c, 0xcf, 0x43, 0x08, 0x97, 0x4c, 0x26, 0x7f}},
    {64,
     16,
     {0x88, 0xbc, 0xa9, 0x0e, 0x90, 0x87, 0x5a, 0x7f, 0x0f, 0x79, 0xc3, 0x84, 0x62, 0x7b, 0xaf, 0xb2},
     {0},
     {0x1a, 0x80, 0x7d, 0x27, 0x2b, 0xbe, 0x5d, 0xb1}},
    {128,
     16,
     {0x88, 0xbc, 0xa9, 0x0e, 0x90, 0x87, 0x5a, 0x7f, 0x0f, 0x79, 0xc3, 0x84, 0x62, 0x7b, 0xaf, 0xb2},
     {0},
     {0x22, 0x69, 0x55, 0x2a, 0xb0, 0xf8, 0x5c, 0xa6}},
};

static void every_vector_of_the_rfc_decrypts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        const struct vector *vector = &vectors[i];
        struct rc2_key key;
        uint8_t plain[RC2_BLOCK];
        rc2_expand(&key, vector->key, vector->key_len, vector->bits);
        rc2_decrypt_cbc(&key, (const uint8_t[RC2_BLOCK]){0}, vector->cipher, RC2_BLOCK, plain);
        assert_memory_equal(plain, vector->plain, RC2_BLOCK);
    }
}

static void cbc_mode_adds_the_previous_cipher_block(void **state)
{
    (void)state;
    const struct vector *vector = &vectors[6];
    struct rc2_key key;
    uint8_t cipher[2 * RC2_BLOCK], plain[2 * RC2_BLOCK];
    static const uint8_t iv[RC2_BLOCK] = {1, 2, 3, 4, 5, 6, 7, 8};

    for (size_t i = 0; i < RC2_BLOCK; i++)
        cipher[i] = cipher[RC2_BLOCK + i] = vector->cipher[i];
    rc2_expand(&key, vector->key, vector->key_len, vector->bits);
    rc2_decrypt_cbc(&key, iv, cipher, sizeof(cipher), plain);
    assert_memory_equal(plain, iv, RC2_BLOCK); /* zero block xor iv */
    assert_memory_equal(plain + RC2_BLOCK, vector->cipher, RC2_BLOCK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_vector_of_the_rfc_decrypts),
        cmocka_unit_test(cbc_mode_adds_the_previous_cipher_block),
    };
    return cmocka_run_group_tests_name("rc2", tests, NULL, NULL);
}
