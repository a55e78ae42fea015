/*
 * test_driver_version_set.c - versions that many volumes share are kept once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/string_map.h"
#include "driver/rotation/version_set.h"

static struct version_set *set_of(struct version_sets *sets, const char *id, const char *version)
{
    cleanup_string_map struct string_map versions = {0};

    assert_int_equal(string_map_set(&versions, id, version, NULL), 0);
    return version_sets_get(sets, &versions);
}

static void equal_versions_are_kept_once_until_the_last_holder_ends(void **state)
{
    struct version_sets sets;
    struct string_map none = {0};
    struct version_set *first, *second, *other;

    (void)state;
    version_sets_init(&sets);
    assert_null(version_sets_get(&sets, &none));
    assert_int_equal(version_set_map(NULL)->n, 0);
    first = set_of(&sets, "secret/a", "1");
    second = set_of(&sets, "secret/a", "1");
    other = set_of(&sets, "secret/a", "2");
    assert_ptr_equal(first, second);
    assert_ptr_not_equal(first, other);
    version_set_unref(&sets, first);
    assert_string_equal(string_map_get(version_set_map(second), "secret/a"), "1");
    assert_string_equal(string_map_get(version_set_map(other), "secret/a"), "2");
    version_set_unref(&sets, second);
    version_set_unref(&sets, other);
    version_set_unref(&sets, NULL);
    assert_int_equal(sets.table.n, 0); /* the sanitizer sees whether memory is left */
    version_sets_finish(&sets);
    first = set_of(/* sets= */ NULL, "secret/a", "1");
    assert_string_equal(string_map_get(version_set_map(first), "secret/a"), "1");
    version_set_unref(/* sets= */ NULL, first);
}

/* Ten thousand volumes with contents of their own: a set is found without a search of all. */
static void a_set_is_found_in_the_same_number_of_steps_however_many_there_are(void **state)
{
    enum { N = 10000, STEPS = 16 };
    static struct version_set *held[N];
    struct version_sets sets;
    char version[16];

    (void)state;
    version_sets_init(&sets);
    for (unsigned i = 0; i < N; i++) {
        uint64_t before = sets.table.visits;

        (void)snprintf(version, sizeof(version), "%u", i);
        held[i] = set_of(&sets, "secret/a", version);
        assert_true(sets.table.visits - before <= STEPS);
    }
    for (unsigned i = 0; i < N; i++)
        version_set_unref(&sets, held[i]);
    version_sets_finish(&sets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_versions_are_kept_once_until_the_last_holder_ends),
        cmocka_unit_test(a_set_is_found_in_the_same_number_of_steps_however_many_there_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
