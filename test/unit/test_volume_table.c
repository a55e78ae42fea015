/*
 * test_volume_table.c - volumes found by path, walked and taken out, and their names, which tables share.
 */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/hash.h"
#include "driver/volume/volume_table.h"

enum {
    MANY = 10000, /* volumes of a large node */
    STEPS = 16,   /* of a search, at most: chains are short, some are longer than most */
};

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

#define NAMES(path) (&(const struct volume_names){.target_path = (path)})

static int fill(void **state)
{
    static struct volume_table table;

    volume_table_init(&table, /* pool= */ NULL);
    for (size_t i = 0; i < MANY; i++) {
        char path[64];

        path_of(i, path);
        things[i] = (struct thing){.number = i};
        assert_int_equal(volume_table_add(&table, &things[i].entry, NAMES(path)), 0);
        memset(path, 'x', sizeof(path)); /* the table has a copy */
    }
    *state = &table;
    return 0;
}

static void remove_all(struct volume_table *table)
{
    struct volume_entry *next;

    for (struct volume_entry *at = volume_table_next(table, NULL); at != NULL; at = next) {
        next = volume_table_next(table, at);
        volume_table_remove(table, at);
    }
    assert_int_equal(volume_table_count(table), 0);
    assert_null(volume_table_next(table, NULL));
    volume_table_finish(table);
}

static int empty(void **state)
{
    remove_all(*state);
    return 0;
}

static void every_path_finds_its_own_entry(void **state)
{
    struct volume_table *table = *state;

    assert_int_equal(volume_table_count(table), MANY);
    for (size_t i = 0; i < MANY; i++) {
        char path[64], own[TARGET_PATH_MAX + 1];

        path_of(i, path);
        assert_ptr_equal(thing_of(volume_table_find(table, path)), &things[i]);
        assert_string_equal(volume_entry_path(&things[i].entry, own), path);
    }
}

static void other_paths_find_nothing(void **state)
{
    struct volume_table *table = *state;
    static const char *const others[] = {"", "/", "/var/lib/kubelet/pods/1", "/var/lib/kubelet/pods/1/mount/",
                                         "/var/lib/kubelet/pods/10000/mount"};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_null(volume_table_find(table, others[i]));
}

static void a_walk_comes_to_every_entry_once(void **state)
{
    static bool seen[MANY];
    struct volume_table *table = *state;
    size_t n = 0;

    memset(seen, 0, sizeof(seen));
    for (struct volume_entry *at = NULL; (at = volume_table_next(table, at)) != NULL; n++) {
        assert_false(seen[thing_of(at)->number]);
        seen[thing_of(at)->number] = true;
    }
    assert_int_equal(n, MANY);
}

/* Counted, not timed: a search visits a few entries, however many there are. */
static void a_search_takes_the_same_steps_among_many_as_among_few(void **state)
{
    struct volume_table *table = *state;
    uint64_t all = table->table.visits;

    for (size_t i = 0; i < MANY; i++) {
        uint64_t before = table->table.visits;
        char path[64];

        path_of(i, path);
        assert_non_null(volume_table_find(table, path));
        assert_true(table->table.visits - before <= STEPS);
    }
    assert_true(table->table.visits - all <= 3 * (uint64_t)MANY);
}

static void a_removed_entry_is_found_no_more(void **state)
{
    struct volume_table *table = *state;

    for (size_t i = 0; i < MANY; i += 3) {
        volume_table_remove(table, &things[i].entry);
        volume_table_remove(table, &things[i].entry); /* again: harmless */
    }
    assert_int_equal(volume_table_count(table), MANY - (MANY + 2) / 3);
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
    assert_int_equal(volume_table_add(table, &things[7].entry, NAMES("/elsewhere")), 0);
    assert_null(volume_table_find(table, path));
    assert_ptr_equal(thing_of(volume_table_find(table, "/elsewhere")), &things[7]);
    assert_int_equal(volume_table_count(table), MANY);
}

static void an_entry_that_is_nowhere_may_be_removed(void **state)
{
    struct volume_table *table = *state;
    struct volume_entry entry = {0};

    volume_table_remove(table, &entry);
    assert_int_equal(volume_table_count(table), MANY);
}

/* --- names --- */

static const struct volume_names web = {
    .target_path = "/t", .ns = "shop", .pod_name = "web-0", .pod_uid = "u", .class_name = "db"};

static void assert_names(const struct volume_names *names)
{
    assert_string_equal(names->target_path, "/t");
    assert_string_equal(names->ns, "shop");
    assert_string_equal(names->pod_name, "web-0");
    assert_string_equal(names->pod_uid, "u");
    assert_string_equal(names->class_name, "db");
}

static void names_are_copied_whole(void **state)
{
    struct volume_names names = web;
    struct volume_names *copy = volume_names_copy(&names);

    (void)state;
    names = (struct volume_names){0};
    assert_names(copy);
    free(copy);
    copy = volume_names_copy(&names);
    assert_string_equal(copy->target_path, "");
    assert_string_equal(copy->class_name, "");
    free(copy);
}

/* Three components remember a volume: its names are there once, until the last one forgets it. */
static void tables_of_one_pool_keep_the_names_of_a_volume_once(void **state)
{
    struct volume_names_pool pool;
    struct volume_table tables[3];
    struct volume_entry entries[3];
    struct volume_names read;
    char path[TARGET_PATH_MAX + 1];

    (void)state;
    volume_names_pool_init(&pool);
    for (size_t i = 0; i < 3; i++) {
        volume_table_init(&tables[i], &pool);
        assert_int_equal(volume_table_add(&tables[i], &entries[i], &web), 0);
        assert_ptr_equal(entries[i].names, entries[0].names);
    }
    assert_int_equal(pool.table.n, 1);
    volume_table_remove(&tables[0], &entries[0]);
    read = shared_names_read(volume_table_find(&tables[1], "/t")->names, path);
    assert_names(&read);
    for (size_t i = 0; i < 3; i++)
        remove_all(&tables[i]);
    assert_int_equal(pool.table.n, 0);
    volume_names_pool_finish(&pool);
}

/* Another pod at a path that some component has not forgotten yet. */
static void other_names_at_the_same_path_are_kept_apart(void **state)
{
    struct volume_names other = web;
    struct volume_names_pool pool;
    struct volume_table first, second;
    struct volume_entry a, b;

    (void)state;
    other.pod_name = "web-1";
    volume_names_pool_init(&pool);
    volume_table_init(&first, &pool);
    volume_table_init(&second, &pool);
    assert_int_equal(volume_table_add(&first, &a, &web), 0);
    assert_int_equal(volume_table_add(&second, &b, &other), 0);
    assert_string_equal(shared_names_read(a.names, /* path= */ NULL).pod_name, "web-0");
    assert_string_equal(shared_names_read(b.names, /* path= */ NULL).pod_name, "web-1");
    volume_table_rename(&first, &a, &other);
    assert_ptr_equal(a.names, b.names);
    assert_ptr_equal(volume_table_find(&first, "/t"), &a);
    assert_int_equal(pool.table.n, 1);
    remove_all(&first);
    remove_all(&second);
    volume_names_pool_finish(&pool);
}

/* Of the kubelet's paths only what differs is kept; what comes back is the path as it was. */
static void paths_of_every_shape_come_back_as_they_were(void **state)
{
    static const struct {
        const char *path, *uid;
        bool has_root;
    } rows[] = {
        {"/var/lib/kubelet/pods/u1/volumes/kubernetes.io~csi/secrets/mount", "u1", true},
        {"/var/lib/kubelet/pods/u2/volumes/kubernetes.io~csi/other/mount", "u2", true},
        {"/pods/u1/volumes/kubernetes.io~csi/secrets/mount", "u1", true},
        {"/var/lib/kubelet/pods/u1/volumes/kubernetes.io~csi/secrets/mount", "u2", false}, /* another pod's */
        {"/var/lib/kubelet/pods/u1/volumes/kubernetes.io~csi/secrets/mount", NULL, false},
        {"/var/lib/kubelet/pods//u1/volumes/kubernetes.io~csi/secrets/mount", "u1", false},
        {"/var/lib/kubelet/pods/u1/volumes/kubernetes.io~csi/secrets/mount/", "u1", false},
        {"/var/lib/kubelet/pods/u1/volumes/kubernetes.io~csi//secrets/mount", "u1", false},
        {"/secrets", "u1", false},
        {NULL, NULL, false},
    };
    enum { N = sizeof(rows) / sizeof(rows[0]) };
    struct shared_names *shared[N];
    struct volume_names_pool pool;

    (void)state;
    volume_names_pool_init(&pool);
    for (size_t i = 0; i < N; i++) {
        struct volume_names names = web;

        names.target_path = rows[i].path;
        names.pod_uid = rows[i].uid;
        shared[i] = shared_names_get(&pool, &names);
        assert_true(shared_names_are(shared[i], &names));
    }
    assert_int_equal(pool.table.n, N);
    for (size_t i = 0; i < N; i++) {
        const char *path = rows[i].path != NULL ? rows[i].path : "";
        char own[TARGET_PATH_MAX + 1];
        struct volume_names read = shared_names_read(shared[i], own);

        assert_ptr_equal(read.target_path, own);
        assert_string_equal(own, path);
        assert_string_equal(read.pod_uid, rows[i].uid != NULL ? rows[i].uid : "");
        assert_string_equal(read.class_name, "db");
        assert_null(shared_names_read(shared[i], /* path= */ NULL).target_path);
        assert_int_equal(shared_names_hash(shared[i]), hash_text(HASH_START, path));
        for (size_t k = 0; k < N; k++)
            assert_int_equal(shared_names_have_path(shared[i], rows[k].path != NULL ? rows[k].path : ""),
                             strcmp(path, rows[k].path != NULL ? rows[k].path : "") == 0);
        assert_true(!rows[i].has_root || malloc_usable_size(shared[i]) < 80); /* less than with the path */
    }
    for (size_t i = 0; i < N; i++)
        shared_names_unref(&pool, shared[i]);
    volume_names_pool_finish(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_path_finds_its_own_entry, fill, empty),
        cmocka_unit_test_setup_teardown(other_paths_find_nothing, fill, empty),
        cmocka_unit_test_setup_teardown(a_walk_comes_to_every_entry_once, fill, empty),
        cmocka_unit_test_setup_teardown(a_search_takes_the_same_steps_among_many_as_among_few, fill, empty),
        cmocka_unit_test_setup_teardown(a_removed_entry_is_found_no_more, fill, empty),
        cmocka_unit_test_setup_teardown(an_entry_goes_in_again_under_another_path, fill, empty),
        cmocka_unit_test_setup_teardown(an_entry_that_is_nowhere_may_be_removed, fill, empty),
        cmocka_unit_test(names_are_copied_whole),
        cmocka_unit_test(paths_of_every_shape_come_back_as_they_were),
        cmocka_unit_test(tables_of_one_pool_keep_the_names_of_a_volume_once),
        cmocka_unit_test(other_names_at_the_same_path_are_kept_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
