/*
 * test_patched_libraries.c - what mk/static/build.sh changes in libraries of the release does what the
 * original does, and what it is for. Where a library is the system's, only the former is looked at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <curl/curl.h>
#include <curl/mprintf.h>
#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/cleanup.h"

/* --- nghttp2: the table of header fields; in the release --- */

#ifdef HTTP_TLS_MBEDTLS

static size_t deflated_len(nghttp2_hd_deflater *deflater, char *authorization, size_t len)
{
    static uint8_t name[] = "authorization";
    uint8_t block[4096];
    nghttp2_nv field = {
        .name = name, .namelen = sizeof(name) - 1, .value = (uint8_t *)authorization, .valuelen = len};
    ssize_t n = nghttp2_hd_deflate_hd(deflater, block, sizeof(block), &field, 1);
    assert_true(n > 0);
    return (size_t)n;
}

static void a_token_is_sent_once_and_a_password_never_indexed(void **state)
{
    char token[1200];
    char password[] = "Basic dXNlcjpwYXNzd29yZA==";
    nghttp2_hd_deflater *deflater = NULL;
    (void)state;
    memset(token, 'x', sizeof(token));
    assert_int_equal(nghttp2_hd_deflate_new(&deflater, 4096), 0);
    assert_in_range(deflated_len(deflater, token, sizeof(token)), 500, 1300);
    assert_int_equal(deflated_len(deflater, token, sizeof(token)), 1);
    token[600] = 'y';
    assert_in_range(deflated_len(deflater, token, sizeof(token)), 500, 1300);
    assert_int_equal(deflated_len(deflater, token, sizeof(token)), 1);
    size_t first = deflated_len(deflater, password, strlen(password));
    assert_true(first > 10);
    assert_int_equal(deflated_len(deflater, password, strlen(password)), first);
    nghttp2_hd_deflate_del(deflater);
}

#endif

/* --- curl: its printf --- */

/* Literal formats, which the compiler checks. */
#define CHECK(format, text, number)                                                                          \
    do {                                                                                                     \
        char expected_[128];                                                                                 \
        char part_[128];                                                                                     \
        char *made_ = curl_maprintf(format, text, number);                                                   \
        (void)snprintf(expected_, sizeof(expected_), format, text, number);                                  \
        (void)curl_msnprintf(part_, sizeof(part_), format, text, number);                                    \
        assert_string_equal(made_, expected_);                                                               \
        assert_string_equal(part_, expected_);                                                               \
        curl_free(made_);                                                                                    \
    } while (0)

static void curl_formats_as_the_c_library_does(void **state)
{
    char large[5000];
    (void)state;
    CHECK("%s|%d", "", 0);
    CHECK("%s|%d", "text", -1);
    CHECK("%.3s|%d", "text", 7);
    CHECK("%.9s|%d", "text", 7);
    CHECK("%9s|%d", "text", 7);
    CHECK("%-9s|%5d", "text", 7);
    CHECK("%s%%|%05d", "text", 7);
    CHECK("%.0s|%x", "text", 255U);
    CHECK("a%sb%dc", "0123456789", 42);
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    for (size_t len = 1; len < sizeof(large); len += 97) {
        char *made = curl_maprintf("<%.*s>", (int)len, large);
        assert_int_equal(strlen(made), len + 2);
        assert_int_equal(made[len], 'x');
        assert_int_equal(made[len + 1], '>');
        curl_free(made);
    }
}

static void curl_compares_names_without_regard_to_case(void **state)
{
    static const struct {
        const char *a;
        const char *b;
        size_t common; /* characters */
    } rows[] = {
        {"", "", 0},
        {"a", "A", 1},
        {"host.Example", "HOST.example", 12},
        {"host", "hosts", 4},
        {"", "x", 0},
        {"abc", "abd", 2},
        {"a[", "a{", 1},
        {"@", "`", 0},
        {"caf\xc3\xa9", "caf\xc3\x89", 4},
        {"zone-1", "ZONE-2", 5},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        size_t len = strlen(rows[i].a);
        bool equal = rows[i].common == len && len == strlen(rows[i].b);
        assert_int_equal(curl_strequal(rows[i].a, rows[i].b) != 0, equal);
        assert_int_equal(curl_strequal(rows[i].b, rows[i].a) != 0, equal);
        for (size_t n = 0; n <= rows[i].common; n++)
            assert_true(curl_strnequal(rows[i].a, rows[i].b, n));
        if (!equal)
            assert_false(curl_strnequal(rows[i].a, rows[i].b, rows[i].common + 1));
    }
}

/* --- the C library's memcmp() --- */

static int sign(int number)
{
    return (number > 0) - (number < 0);
}

static void memory_is_compared_from_its_first_byte_on(void **state)
{
    int (*volatile compare)(const void *, const void *, size_t) = memcmp; /* not the compiler's */
    unsigned char a[64];
    unsigned char b[64];
    (void)state;
    for (size_t start = 0; start < 9; start++) {
        for (size_t len = 0; len < 40; len++) {
            memset(a, 'x', sizeof(a));
            memset(b, 'x', sizeof(b));
            b[start + len] = 'y'; /* behind the end */
            assert_int_equal(compare(a + start, b + start, len), 0);
            for (size_t first = 0; first < len; first++) {
                memset(b, 'x', sizeof(b));
                b[start + first] = 0xff;
                if (first + 1 < len)
                    b[start + first + 1] = 0; /* counts no more */
                assert_int_equal(sign(compare(a + start, b + start, len)), -1);
                assert_int_equal(sign(compare(b + start, a + start, len)), 1);
            }
        }
    }
}

/* --- the C library's memcpy() and memmove() --- */

enum { LONGEST = 300, SHIFTS = 17, FILLER = 0xa5 };

/* Pointers, so that the compiler copies nothing itself. */
static void *(*volatile copy)(void *, const void *, size_t) = memcpy;
static void *(*volatile move)(void *, const void *, size_t) = memmove;

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 7 + 1);
}

static void fill(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = byte_at(i);
}

/* Two pages, of which the second cannot be accessed; returns the end of the first. */
static uint8_t *end_of_page(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(pages != MAP_FAILED);
    assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
    return pages + page;
}

static void free_page(uint8_t *end)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    assert_int_equal(munmap(end - page, 2 * page), 0);
}

static void a_copy_has_every_byte_and_changes_no_other(void **state)
{
    uint8_t from[LONGEST + SHIFTS];
    uint8_t to[LONGEST + 2 * SHIFTS];
    (void)state;
    fill(from, sizeof(from));
    for (size_t len = 0; len <= LONGEST; len++) {
        for (size_t shift = 0; shift < SHIFTS; shift++) {
            memset(to, FILLER, sizeof(to));
            assert_ptr_equal(copy(to + SHIFTS, from + shift, len), to + SHIFTS);
            for (size_t i = 0; i < sizeof(to); i++) {
                uint8_t expected = i < SHIFTS || i >= SHIFTS + len ? FILLER : byte_at(i - SHIFTS + shift);
                assert_int_equal(to[i], expected);
            }
        }
    }
}

static void a_copy_touches_nothing_behind_its_source_and_its_destination(void **state)
{
    uint8_t *from = end_of_page();
    uint8_t *to = end_of_page();
    (void)state;
    fill(from - LONGEST, LONGEST);
    for (size_t len = 0; len <= LONGEST; len++) {
        (void)copy(to - len, from - len, len);
        assert_memory_equal(to - len, from - len, len);
    }
    free_page(from);
    free_page(to);
}

static void a_long_copy_is_complete(void **state)
{
    static uint8_t from[100 * 1000 + 1];
    static uint8_t to[sizeof(from)];
    (void)state;
    fill(from, sizeof(from));
    (void)copy(to, from, sizeof(from));
    assert_memory_equal(to, from, sizeof(from));
}

static void a_block_moves_over_itself_in_both_directions(void **state)
{
    uint8_t block[LONGEST + 2 * SHIFTS];
    (void)state;
    for (size_t len = 0; len <= LONGEST; len++) {
        for (size_t shift = 0; shift <= 2 * (size_t)SHIFTS; shift++) {
            fill(block, sizeof(block));
            assert_ptr_equal(move(block + shift, block + SHIFTS, len), block + shift);
            for (size_t i = 0; i < sizeof(block); i++) {
                bool is_moved = i >= shift && i < shift + len;
                assert_int_equal(block[i], byte_at(is_moved ? i - shift + SHIFTS : i));
            }
        }
    }
}

/* --- the C library's strlen() --- */

static size_t (*volatile length)(const char *) = strlen;

static void a_text_ends_at_its_first_zero(void **state)
{
    char text[LONGEST + 2 * SHIFTS];
    (void)state;
    for (size_t len = 0; len <= LONGEST; len++) {
        for (size_t shift = 0; shift < SHIFTS; shift++) {
            memset(text, 0, sizeof(text)); /* before the text, too */
            memset(text + shift, (int)(1 + (len + shift) % 255), len);
            assert_int_equal(length(text + shift), len);
            memset(text + shift + len + 1, 'x', sizeof(text) - shift - len - 1);
            assert_int_equal(length(text + shift), len);
        }
    }
}

static void the_length_of_a_text_is_found_without_what_lies_behind(void **state)
{
    char *end = (char *)end_of_page();
    (void)state;
    memset(end - LONGEST - 1, 'x', LONGEST);
    end[-1] = '\0';
    for (size_t len = 0; len <= LONGEST; len++)
        assert_int_equal(length(end - 1 - len), len);
    free_page((uint8_t *)end);
}

/* --- the C library's memchr() --- */

static void *(*volatile find)(const void *, int, size_t) = memchr;

static void the_first_of_equal_bytes_is_found_within_the_length(void **state)
{
    char block[LONGEST + 2 * SHIFTS];
    (void)state;
    for (size_t len = 0; len <= LONGEST; len++) {
        for (size_t shift = 0; shift < SHIFTS; shift++) {
            memset(block, 0xe9, sizeof(block)); /* before the block and behind it */
            memset(block + shift, 'x', len);
            assert_null(find(block + shift, 0xe9, len));
            for (size_t at = 0; at < len; at++) {
                block[shift + at] = (char)0xe9;
                block[shift + len - 1] = (char)0xe9;
                assert_ptr_equal(find(block + shift, 0xe9, len), block + shift + at);
                assert_ptr_equal(find(block + shift, 0x1e9, SIZE_MAX), block + shift + at);
                memset(block + shift, 'x', len);
            }
        }
    }
}

static void a_byte_is_found_without_what_lies_behind(void **state)
{
    char *end = (char *)end_of_page();
    (void)state;
    memset(end - LONGEST, 'x', LONGEST);
    for (size_t len = 0; len <= LONGEST; len++) {
        assert_null(find(end - len, 0, len));
        if (len > 0) {
            end[-1] = '\0';
            assert_ptr_equal(find(end - len, 0, len), end - 1);
            end[-1] = 'x';
        }
    }
    free_page((uint8_t *)end);
}

/* --- the C library's malloc() --- */

/* Groups of blocks come, empty and come back, of each size class and in any order. */
static void blocks_keep_what_they_hold(void **state)
{
    enum { BLOCKS = 300, ROUNDS = 300000 };
    static struct {
        unsigned char *block;
        size_t size;
        unsigned char fill;
    } blocks[BLOCKS];
    unsigned seed = 7;
    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        /* few at a time, so that groups empty often; now and then many */
        size_t i = (size_t)rand_r(&seed) % (round / 1000 % 10 == 0 ? BLOCKS : 5);
        if (blocks[i].block != NULL) {
            assert_int_equal(blocks[i].block[0], blocks[i].fill);
            assert_int_equal(blocks[i].block[blocks[i].size - 1], blocks[i].fill);
        }
        free(blocks[i].block);
        blocks[i].size = 1 + (size_t)rand_r(&seed) % ((size_t)16 << (rand_r(&seed) % 12));
        blocks[i].fill = (unsigned char)round;
        blocks[i].block = malloc(blocks[i].size);
        assert_non_null(blocks[i].block);
        memset(blocks[i].block, blocks[i].fill, blocks[i].size);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        free(blocks[i].block);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef HTTP_TLS_MBEDTLS
        cmocka_unit_test(a_token_is_sent_once_and_a_password_never_indexed),
#endif
        cmocka_unit_test(curl_formats_as_the_c_library_does),
        cmocka_unit_test(curl_compares_names_without_regard_to_case),
        cmocka_unit_test(memory_is_compared_from_its_first_byte_on),
        cmocka_unit_test(a_copy_has_every_byte_and_changes_no_other),
        cmocka_unit_test(a_copy_touches_nothing_behind_its_source_and_its_destination),
        cmocka_unit_test(a_long_copy_is_complete),
        cmocka_unit_test(a_block_moves_over_itself_in_both_directions),
        cmocka_unit_test(a_text_ends_at_its_first_zero),
        cmocka_unit_test(the_length_of_a_text_is_found_without_what_lies_behind),
        cmocka_unit_test(the_first_of_equal_bytes_is_found_within_the_length),
        cmocka_unit_test(a_byte_is_found_without_what_lies_behind),
        cmocka_unit_test(blocks_keep_what_they_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
