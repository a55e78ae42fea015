/*
 * test_volume_table.c - entries found by path, walked in order, taken out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/volume/volume_table.h"

enum { MANY = 1000 }; /* some in every bucket */

struct thing {
    size_t number;
    struct volume_entry entry;
};

static struct thing things[MANY];

static void path_of(size_t i, char path[64])
{
    (void)snprintf(path, 64, "/var/lib/kubelet/pods/%zu/mount", i);
}

static struct thing *thing_of(struct volume_entry *entry)
{
    return entry != NULL ? container_of(entry, struct thing, entry) : NULL;
}

static int fill(void **state)
{
    static struct volume_table table;

    volume_table_init(&table);
    for (size_t i = 0; i < MANY; i++) {
        char path[64];

        path_of(i, path);
        things[i] = (struct thing){.number = i};
        assert_int_equal(volume_table_add(&table, &things[i].entry, path), 0);
        memset(path, 'x', sizeof(path)); /* the table has a copy */
    }
    *state = &table;
    return 0;
}

static int empty(void **state)
{
    struct volume_table *table = *state;

    while (!list_empty(&table->entries))
        volume_table_remove(table, volume_entry_at(table->entries.next));
    assert_int_equal(table->n, 0);
    for (size_t i = 0; i < VOLUME_TABLE_BUCKETS; i++)
        assert_null(table->buckets[i]);
    return 0;
}

static void every_path_finds_its_own_entry(void **state)
{
    const struct volume_table *table = *state;

    assert_int_equal(table->n, MANY);
    for (size_t i = 0; i < MANY; i++) {
        char path[64];

        path_of(i, path);
        assert_ptr_equal(thing_of(volume_table_find(table, path)), &things[i]);
        assert_string_equal(things[i].entry.target_path, path);
    }
}

static void other_paths_find_nothing(void **state)
{
    const struct volume_table *table = *state;
    static const char *const others[] = {"", "/", "/var/lib/kubelet/pods/1", "/var/lib/kubelet/pods/1/mount/",
                                         "/var/lib/kubelet/pods/1000/mount"};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_null(volume_table_find(table, others[i]));
}

static void entries_are_walked_as_they_came(void **state)
{
    struct volume_table *table = *state;
    size_t n = 0;

    for (struct list *at = table->entries.next; at != &table->entries; at = at->next)
        assert_int_equal(thing_of(volume_entry_at(at))->number, n++);
    assert_int_equal(n, MANY);
}

static void a_removed_entry_is_found_no_more(void **state)
{
    struct volume_table *table = *state;

    for (size_t i = 0; i < MANY; i += 3) {
        volume_table_remove(table, &things[i].entry);
        volume_table_remove(table, &things[i].entry); /* again: harmless */
    }
    assert_int_equal(table->n, MANY - (MANY + 2) / 3);
    for (size_t i = 0; i < MANY; i++) {
        char path[64];

        path_of(i, path);
        assert_ptr_equal(thing_of(volume_table_find(table, path)), i % 3 == 0 ? NULL : &things[i]);
    }
}

static void an_entry_goes_in_again_under_another_path(void **state)
{
    struct volume_table *table = *state;
    char path[64];

    path_of(7, path);
    volume_table_remove(table, &things[7].entry);
    assert_int_equal(volume_table_add(table, &things[7].entry, "/elsewhere"), 0);
    assert_null(volume_table_find(table, path));
    assert_ptr_equal(thing_of(volume_table_find(table, "/elsewhere")), &things[7]);
    assert_int_equal(table->n, MANY);
}

static void an_entry_that_is_nowhere_may_be_removed(void **state)
{
    struct volume_table *table = *state;
    struct volume_entry entry = {0};

    volume_table_remove(table, &entry);
    assert_int_equal(table->n, MANY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_path_finds_its_own_entry, fill, empty),
        cmocka_unit_test_setup_teardown(other_paths_find_nothing, fill, empty),
        cmocka_unit_test_setup_teardown(entries_are_walked_as_they_came, fill, empty),
        cmocka_unit_test_setup_teardown(a_removed_entry_is_found_no_more, fill, empty),
        cmocka_unit_test_setup_teardown(an_entry_goes_in_again_under_another_path, fill, empty),
        cmocka_unit_test_setup_teardown(an_entry_that_is_nowhere_may_be_removed, fill, empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
