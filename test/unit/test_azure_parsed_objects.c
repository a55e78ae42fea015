/*
 * test_azure_parsed_objects.c - which `objects` texts are parsed again, and which are not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/lint/findings.h"
#include "provider-azure/objects/parsed_objects.h"

#define SECRET1 "array:\n  - |\n    objectName: secret1\n    objectType: secret\n"
#define SECRET2 "array:\n  - |\n    objectName: secret2\n    objectType: secret\n"

static struct parsed_objects_cache *cache;

static int make_cache(void **state)
{
    (void)state;
    cache = parsed_objects_cache_create(NULL);
    return cache != NULL ? 0 : -1;
}

static int destroy_cache(void **state)
{
    (void)state;
    parsed_objects_cache_destroy(cache);
    return 0;
}

static struct parsed_objects *get(const char *text, mode_t mode, enum history_count history)
{
    struct parsed_objects *parsed =
        parsed_objects_get(cache, text, &(struct object_defaults){.mode = mode, .history = history}, NULL);
    assert_non_null(parsed);
    return parsed;
}

/* Not to be compared with what comes later: its memory may be used again. */
static struct parsed_objects *get_once(const char *text)
{
    struct parsed_objects *parsed = get(text, 0644, HISTORY_ONE_MORE);
    parsed_objects_unref(parsed);
    return parsed;
}

static void the_same_text_is_parsed_once(void **state)
{
    (void)state;
    struct parsed_objects *first = get(SECRET1, 0644, HISTORY_ONE_MORE);

    assert_ptr_equal(get_once(SECRET1), first);
    assert_ptr_not_equal(get_once(SECRET2), first);
    assert_ptr_equal(get_once(SECRET1), first);
    assert_int_equal(parsed_objects_list(first)->n, 1);
    assert_string_equal(parsed_objects_list(first)->items[0].name, "secret1");
    parsed_objects_unref(first);
}

static void other_defaults_parse_it_again(void **state)
{
    (void)state;
    struct parsed_objects *first = get(SECRET1, 0644, HISTORY_ONE_MORE);
    struct parsed_objects *mode = get(SECRET1, 0600, HISTORY_ONE_MORE);
    struct parsed_objects *history = get(SECRET1, 0644, HISTORY_EXACT);

    assert_ptr_not_equal(mode, first);
    assert_ptr_not_equal(history, first);
    assert_int_equal(parsed_objects_list(first)->items[0].mode, 0644);
    assert_int_equal(parsed_objects_list(mode)->items[0].mode, 0600);
    parsed_objects_unref(first);
    parsed_objects_unref(mode);
    parsed_objects_unref(history);
}

static void each_mount_gets_the_findings(void **state)
{
    static const char text[] =
        "array:\n  - |\n    objectName: a\n    objectType: secret\n    objectAlais: b\n";
    (void)state;

    for (int i = 0; i < 2; i++) {
        cleanup_findings struct findings findings = {0};
        const struct object_defaults defaults = {.mode = 0644, .findings = &findings};
        struct parsed_objects *parsed = parsed_objects_get(cache, text, &defaults, NULL);
        assert_non_null(parsed);
        assert_int_equal(findings.n, 1);
        parsed_objects_unref(parsed);
    }
}

static void a_mistake_is_an_error_each_time(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        cleanup_error struct error *error = NULL;
        assert_null(parsed_objects_get(cache, "array: x", &(struct object_defaults){0}, &error));
        assert_int_equal(error_code(error), GRPC_STATUS_INVALID_ARGUMENT);
    }
}

static void the_text_used_longest_ago_goes_first(void **state)
{
    enum { N = 1000 };
    (void)state;
    struct parsed_objects *often = get(SECRET1, 0644, HISTORY_ONE_MORE);
    struct parsed_objects *once = get(SECRET2, 0644, HISTORY_ONE_MORE);

    for (int i = 0; i < N; i++) {
        char text[128];
        (void)snprintf(text, sizeof(text), "array:\n  - |\n    objectName: n%d\n    objectType: secret\n", i);
        (void)get_once(text);
        assert_ptr_equal(get_once(SECRET1), often);
    }
    assert_ptr_not_equal(get_once(SECRET2), once); /* it is still referred to, and not kept any more */
    parsed_objects_unref(often);
    parsed_objects_unref(once);
}

static void a_text_that_is_too_large_is_not_kept(void **state)
{
    enum { COMMENT = PARSED_OBJECTS_BYTES };
    (void)state;
    char *text = malloc(COMMENT + sizeof(SECRET1) + 2);
    assert_non_null(text);
    (void)sprintf(text, "%s#%0*d\n", SECRET1, COMMENT, 0);
    struct parsed_objects *first = get(text, 0644, HISTORY_ONE_MORE);

    assert_ptr_not_equal(get_once(text), first);
    parsed_objects_unref(first);
    free(text);
}

static void references_outlive_the_cache(void **state)
{
    (void)state;
    struct parsed_objects *parsed = get(SECRET1, 0644, HISTORY_ONE_MORE);

    parsed_objects_cache_destroy(cache);
    cache = NULL;
    assert_string_equal(parsed_objects_list(parsed)->items[0].name, "secret1");
    parsed_objects_unref(parsed);
}

static void without_a_cache_each_text_is_parsed(void **state)
{
    (void)state;
    const struct object_defaults defaults = {.mode = 0644};
    struct parsed_objects *first = parsed_objects_get(NULL, SECRET1, &defaults, NULL);
    struct parsed_objects *second = parsed_objects_get(NULL, SECRET1, &defaults, NULL);

    assert_non_null(first);
    assert_non_null(second);
    assert_ptr_not_equal(first, second);
    parsed_objects_unref(first);
    parsed_objects_unref(second);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_cache, destroy_cache)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_same_text_is_parsed_once),         TEST(other_defaults_parse_it_again),
        TEST(each_mount_gets_the_findings),         TEST(a_mistake_is_an_error_each_time),
        TEST(the_text_used_longest_ago_goes_first), TEST(a_text_that_is_too_large_is_not_kept),
        TEST(references_outlive_the_cache),         TEST(without_a_cache_each_text_is_parsed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
