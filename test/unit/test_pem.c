/*
 * test_pem.c - which blocks are found in a text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <string.h>

#include "common/crypto/pem.h"

#define BLOCK(label, body) "-----BEGIN " label "-----\n" body "\n-----END " label "-----\n"

/* All blocks of a text: "label:body ..." with the line breaks taken out. */
static void find(const char *text, struct buffer *ret)
{
    const char *at = text;
    struct pem_block block;

    buffer_init(ret, 4096);
    while (pem_next(&at, text + strlen(text), &block)) {
        assert_int_equal(buffer_append(ret, block.label, block.label_len, NULL), 0);
        assert_int_equal(buffer_append_str(ret, ":", NULL), 0);
        for (size_t i = 0; i < block.body_len; i++)
            if (block.body[i] != '\n')
                assert_int_equal(buffer_append(ret, &block.body[i], 1, NULL), 0);
        assert_int_equal(buffer_append_str(ret, " ", NULL), 0);
    }
}

static void blocks_are_found_between_anything(void **state)
{
    (void)state;
    static const struct {
        const char *text, *found;
    } rows[] = {
        {"", ""},
        {"text\n" BLOCK("A", "aaaa") "text\n" BLOCK("B B", "bbbb"), "A:aaaa B B:bbbb "},
        {"-----BEGIN A-----aaaa-----END A----------BEGIN A-----bbbb-----END A-----", "A:aaaa A:bbbb "},
        {"-----BEGIN A-----\naaaa", ""},
        {"-----BEGIN A-----\naaaa\n-----END B-----\n" BLOCK("C", "cccc"), "C:cccc "},
        {"-----BEGIN A\nB-----\n" BLOCK("C", "cccc"), "C:cccc "},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buffer struct buffer found;
        find(rows[i].text, &found);
        assert_string_equal(buffer_str(&found), rows[i].found);
    }
}

static void a_block_that_is_cut_off_takes_no_other_with_it(void **state)
{
    (void)state;
    static const struct {
        const char *text, *found;
    } rows[] = {
        {"-----BEGIN A-----\naa\n" BLOCK("A", "bbbb"), "A:bbbb "},
        {"-----BEGIN A-----\naa\n" BLOCK("B", "bbbb"), "B:bbbb "},
        {"-----BEGIN A-----\naa\n-----BEGIN A-----\nbb\n" BLOCK("A", "cccc") BLOCK("A", "dddd"),
         "A:cccc A:dddd "},
        {BLOCK("A", "aaaa") "-----BEGIN A-----\nbb\n", "A:aaaa "},
        {"-----BEGIN A-----\naa\n-----END B-----\n" BLOCK("A", "cccc"), "A:cccc "},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buffer struct buffer found;
        find(rows[i].text, &found);
        assert_string_equal(buffer_str(&found), rows[i].found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_found_between_anything),
        cmocka_unit_test(a_block_that_is_cut_off_takes_no_other_with_it),
    };
    return cmocka_run_group_tests_name("PEM", tests, NULL, NULL);
}
