/*
 * test_utf8.c - well-formed and ill-formed sequences, also against the C library's own decoder.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <locale.h>
#include <wchar.h>

#include "common/base/cleanup.h"
#include "common/base/utf8.h"
#include "test/unit/skip.h"

#define BYTES(text) (text), sizeof(text) - 1

static void well_formed_and_ill_formed_texts_are_distinguished(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        bool valid;
    } rows[] = {
        {BYTES(""), true},
        {BYTES("abc"), true},
        {BYTES("a\0b"), true},
        {BYTES("\xc2\x80"), true},
        {BYTES("\xe2\x82\xac"), true},
        {BYTES("\xf4\x8f\xbf\xbf"), true},
        {BYTES("\xef\xbf\xbf"), true},
        {BYTES("\x80"), false},             /* continuation alone */
        {BYTES("\xc2"), false},             /* cut */
        {BYTES("\xe2\x82"), false},         /* cut */
        {BYTES("\xc0\x80"), false},         /* overlong NUL */
        {BYTES("\xc1\xbf"), false},         /* overlong */
        {BYTES("\xe0\x9f\xbf"), false},     /* overlong */
        {BYTES("\xf0\x8f\xbf\xbf"), false}, /* overlong */
        {BYTES("\xed\xa0\x80"), false},     /* surrogate */
        {BYTES("\xf4\x90\x80\x80"), false}, /* above U+10FFFF */
        {BYTES("\xf5\x80\x80\x80"), false},
        {BYTES("\xff"), false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(utf8_valid(rows[i].text, rows[i].len), rows[i].valid);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) { /* at each place among words of ASCII */
        for (size_t before = 0; before < 20; before++) {
            char text[64];
            memset(text, 'a', sizeof(text));
            memcpy(text + before, rows[i].text, rows[i].len);
            for (size_t behind = 0; behind < 20; behind++)
                assert_int_equal(utf8_valid(text, before + rows[i].len + behind), rows[i].valid);
        }
    }
}

/* All sequences of up to three bytes that start with a byte above 0x7F; glibc decides what is right. */
static void the_c_library_agrees_about_every_short_sequence(void **state)
{
    (void)state;
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        skip_without("the locale C.UTF-8");
    for (unsigned a = 0x80; a < 0x100; a++) {
        for (unsigned b = 0x01; b < 0x100; b++) {
            for (unsigned c = 0x7E; c < 0xC2; c++) {
                char text[4] = {(char)a, (char)b, (char)c, '\0'};
                size_t converted = mbstowcs(NULL, text, 0);
                if (utf8_valid(text, 3) != (converted != (size_t)-1))
                    fail_msg("%02x %02x %02x", a, b, c);
            }
        }
    }
}

static void a_repaired_text_is_valid_and_as_long_as_before(void **state)
{
    (void)state;
    char text[] = "a\xff\xe2\x82"
                  "b\xe2\x82\xac\xed\xa0\x80\xc2";
    size_t len = strlen(text);
    utf8_sanitize(text);
    assert_string_equal(text, "a???b\xe2\x82\xac????");
    assert_int_equal(strlen(text), len);
}

static void a_cut_never_splits_a_character(void **state)
{
    (void)state;
    static const char text[] = "a\xe2\x82\xac\xf0\x9f\x98\x80z";
    static const size_t expected[] = {0, 1, 1, 1, 4, 4, 4, 4, 8, 9};
    for (size_t max = 0; max < ARRAY_SIZE(expected); max++)
        assert_int_equal(utf8_floor(text, max), expected[max]);
}

static void what_cannot_be_seen_is_written_as_its_number(void **state)
{
    static const struct {
        const char *text;
        size_t size;
        const char *quoted;
    } rows[] = {
        {"plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", 64, "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\xc2\xa0x\xe2\x80\x8b\xef\xbb\xbf", 64, "\\u00a0x\\u200b\\ufeff"},
        {"\xe2\x80\x9cx\xe2\x80\x9d", 64, "\xe2\x80\x9cx\xe2\x80\x9d"}, /* quotation marks are seen */
        {"a\tb\x01\xff", 64, "a b ?"},
        {"ab\xc2\xa0", 8, "ab"}, /* nothing is cut within a number */
        {"ab\xc2\xa0", 9, "ab\\u00a0"},
        {"\xc2", 64, "?"},
        {"\xe2\x80", 64, "??"},
        {NULL, 64, ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char quoted[64];
        utf8_quote_visibly(quoted, rows[i].size, rows[i].text);
        assert_string_equal(quoted, rows[i].quoted);
    }
}

/* Text, its copy with escapes, the copy that keeps lines, and what stands in an error of one line. */
static void hidden_characters_are_shown_as_escapes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *escaped, *lines, *quoted;
    } rows[] = {
        {"", "", "", ""},
        {"gr\xc3\xbc\xc3\x9f \"\\\" \xf0\x9f\x98\x80", "gr\xc3\xbc\xc3\x9f \"\\\" \xf0\x9f\x98\x80",
         "gr\xc3\xbc\xc3\x9f \"\\\" \xf0\x9f\x98\x80", "gr\xc3\xbc\xc3\x9f \"\\\" \xf0\x9f\x98\x80"},
        {"a\nb\tc\r", "a\\nb\\tc\\r", "a\nb\tc\\r", "a b c "},
        {"\x1b[31m\x7f", "\\u001b[31m\\u007f", "\\u001b[31m\\u007f", " [31m "},
        {"\xc2\x9b!", "\\u009b!", "\\u009b!", "\\u009b!"}, /* C1 */
        {"\xe2\x80\xae"
         "b\xe2\x80\xac",
         "\\u202eb\\u202c", "\\u202eb\\u202c", "\\u202eb\\u202c"}, /* override */
        {"\xe2\x81\xa6\xef\xbb\xbf", "\\u2066\\ufeff", "\\u2066\\ufeff", "\\u2066\\ufeff"},
        {"\xe2\x80\x8a\xe2\x80\x8b\xe2\x80\x90", "\xe2\x80\x8a\\u200b\xe2\x80\x90",
         "\xe2\x80\x8a\\u200b\xe2\x80\x90", "\xe2\x80\x8a\\u200b\xe2\x80\x90"},     /* and its neighbours */
        {"\xf3\xa0\x81\x81", "\\udb40\\udc41", "\\udb40\\udc41", "\\udb40\\udc41"}, /* a tag */
        {"\xff\xe2\x80", "\xff\xe2\x80", "\xff\xe2\x80", "???"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char quoted[64];
        cleanup_free char *escaped = utf8_escape(rows[i].text, "");
        cleanup_free char *lines = utf8_escape(rows[i].text, "\n\t");
        utf8_quote(quoted, sizeof(quoted), rows[i].text);
        assert_string_equal(escaped, rows[i].escaped);
        assert_string_equal(lines, rows[i].lines);
        assert_string_equal(quoted, rows[i].quoted);
    }
}

static void a_quote_is_cut_at_a_character_and_an_escape(void **state)
{
    (void)state;
    static const char text[] = "a\xe2\x82\xac\xe2\x80\xaez";
    static const char *const expected[] = {"", "a", "a", "a", "a\xe2\x82\xac"};
    char quoted[32];

    for (size_t max = 0; max < 10; max++) {
        utf8_quote(quoted, max + 1, text);
        assert_string_equal(quoted, expected[max < ARRAY_SIZE(expected) ? max : ARRAY_SIZE(expected) - 1]);
    }
    utf8_quote(quoted, 11, text);
    assert_string_equal(quoted, "a\xe2\x82\xac\\u202e");
    utf8_quote(quoted, 12, text);
    assert_string_equal(quoted, "a\xe2\x82\xac\\u202ez");
    utf8_quote(quoted, sizeof(quoted), NULL);
    assert_string_equal(quoted, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_and_ill_formed_texts_are_distinguished),
        cmocka_unit_test(the_c_library_agrees_about_every_short_sequence),
        cmocka_unit_test(a_repaired_text_is_valid_and_as_long_as_before),
        cmocka_unit_test(a_cut_never_splits_a_character),
        cmocka_unit_test(what_cannot_be_seen_is_written_as_its_number),
        cmocka_unit_test(hidden_characters_are_shown_as_escapes),
        cmocka_unit_test(a_quote_is_cut_at_a_character_and_an_escape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
