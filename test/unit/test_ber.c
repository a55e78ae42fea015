/*
 * test_ber.c - BER as PKCS#12 files have it becomes DER.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <string.h>

#include "common/base/buffer.h"
#include "common/base/cleanup.h"
#include "common/crypto/ber.h"
#include "common/crypto/encoding.h"

static void ber_becomes_der(void **state)
{
    (void)state;
    static const struct {
        const char *ber, *der; /* NULL: nothing to rewrite, or no BER */
    } rows[] = {
        {"3080020103"
         "0000",
         "3003020103"},
        {"308024800401aa0402bbcc00000000", "30050403aabbcc"},
        {"2480"
         "2480"
         "0401aa"
         "0000"
         "0401bb"
         "0000",
         "0402aabb"},
        {"24030401aa", "0401aa"},
        {"240a2480"
         "0401aa"
         "0401bb"
         "0000",
         "0402aabb"},
        {"3080a080"
         "300000000000",
         "3004a0023000"},
        {"30800000ff", "3000ff"}, /* what is behind stays */
        {"240b2480"
         "0401aa"
         "0401bb"
         "0000",
         NULL}, /* cut off */
        {"3003020103", NULL},
        {"300302010300", NULL},
        {"3080020103", NULL},   /* no end */
        {"308002010300", NULL}, /* half an end */
        {"3080020103"
         "0001",
         NULL},
        {"24800201030000", NULL}, /* a segment that is none */
        {"0480"
         "0401aa"
         "0000",
         NULL},
        {"", NULL},
        {"30", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_secret struct secret *ber = hex_decode(rows[i].ber, strlen(rows[i].ber), NULL), *made = NULL;
        assert_int_equal(ber_to_der(der_span(secret_bytes(ber), secret_len(ber)), &made, NULL), 0);
        if (rows[i].der == NULL) {
            if (made != NULL)
                fail_msg("row %zu", i);
            continue;
        }
        cleanup_secret struct secret *der = hex_decode(rows[i].der, strlen(rows[i].der), NULL);
        if (made == NULL || !secret_equal(made, der))
            fail_msg("row %zu", i);
    }
}

static void ber_that_is_nested_too_deep_is_left_alone(void **state)
{
    (void)state;
    uint8_t deep[4 * (BER_DEPTH_MAX + 1)];
    for (unsigned depth = BER_DEPTH_MAX; depth <= BER_DEPTH_MAX + 1; depth++) {
        cleanup_secret struct secret *made = NULL;
        for (size_t i = 0; i < depth; i++)
            memcpy(deep + 2 * i, "\x30\x80", 2);
        memset(deep + 2 * depth, 0, 2 * depth);
        assert_int_equal(ber_to_der(der_span(deep, 4 * depth), &made, NULL), 0);
        assert_int_equal(made != NULL, depth == BER_DEPTH_MAX);
    }
}

/* Lengths around the places where their form changes. */
static void ber_of_every_length_becomes_der(void **state)
{
    (void)state;
    static const size_t lens[] = {0,   1,   122, 123,   124,   127,   128,    250,
                                  251, 255, 256, 65520, 65535, 65536, 1000000};
    for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
        cleanup_buffer struct buffer ber = {.ceiling = 1 << 21};
        cleanup_secret struct secret *made = NULL;
        uint8_t header[] = {0x30,
                            0x80,
                            0x24,
                            0x80,
                            0x04,
                            0x83,
                            (uint8_t)(lens[i] >> 16),
                            (uint8_t)(lens[i] >> 8),
                            (uint8_t)lens[i]};
        assert_int_equal(buffer_append(&ber, header, sizeof(header), NULL), 0);
        for (size_t n = 0; n < lens[i]; n++)
            assert_int_equal(buffer_append(&ber, "x", 1, NULL), 0);
        assert_int_equal(buffer_append(&ber, "\0\0\0\0", 4, NULL), 0);
        assert_int_equal(ber_to_der(der_span(ber.data, ber.len), &made, NULL), 0);
        struct der whole = der_span(secret_bytes(made), secret_len(made)), sequence, octets;
        assert_int_equal(der_take(&whole, DER_SEQUENCE, &sequence), 0);
        assert_int_equal(der_take(&sequence, DER_OCTET_STRING, &octets), 0);
        assert_int_equal(der_len(octets), lens[i]);
        assert_int_equal(der_len(whole) + der_len(sequence), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ber_becomes_der),
        cmocka_unit_test(ber_that_is_nested_too_deep_is_left_alone),
        cmocka_unit_test(ber_of_every_length_becomes_der),
    };
    return cmocka_run_group_tests_name("ber", tests, NULL, NULL);
}
