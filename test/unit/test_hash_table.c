/*
 * test_hash_table.c - members found, walked and taken out, and a table that grows with them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/hash_table.h"
#include "common/base/list.h"

enum { MANY = 20000 };

struct member {
    uint32_t number;
    bool seen;
    struct hash_link link;
};

static struct member members[MANY];

static struct member *member_of(struct hash_link *link)
{
    return link != NULL ? container_of(link, struct member, link) : NULL;
}

/* Spreads well (D. Knuth, The Art of Computer Programming, volume 3, 6.4). */
static uint32_t spread(uint32_t number)
{
    return (number * 2654435769U) >> 7;
}

static uint32_t hash_of(const struct hash_link *link)
{
    return spread(const_container_of(link, struct member, link)->number);
}

static uint32_t hash_of_none(const struct hash_link *link)
{
    (void)link;
    return 7;
}

static bool matches(const struct hash_link *link, const void *key)
{
    return const_container_of(link, struct member, link)->number == *(const uint32_t *)key;
}

static void fill(struct hash_table *table, hash_table_hash *hash, uint32_t n)
{
    hash_table_init(table, hash);
    for (uint32_t i = 0; i < n; i++) {
        members[i] = (struct member){.number = i};
        assert_int_equal(hash_table_add(table, &members[i].link), 0);
    }
    assert_int_equal(table->n, n);
}

static void an_empty_table_has_nothing(void **state)
{
    struct hash_table table;
    uint32_t key = 1;

    (void)state;
    hash_table_init(&table, hash_of);
    assert_null(hash_table_find(&table, spread(key), matches, &key));
    assert_null(hash_table_next(&table, NULL));
    hash_table_finish(&table);
}

static void a_member_is_found_in_few_steps_among_any_number(void **state)
{
    struct hash_table table;

    (void)state;
    fill(&table, hash_of, MANY);
    for (uint32_t key = 0; key < MANY; key++)
        assert_ptr_equal(member_of(hash_table_find(&table, spread(key), matches, &key)), &members[key]);
    assert_true(table.visits <= 2 * (uint64_t)MANY);
    assert_true(table.n_buckets <= MANY); /* and the table itself stays small */
    for (uint32_t key = MANY; key < 2 * MANY; key++)
        assert_null(hash_table_find(&table, spread(key), matches, &key));
    hash_table_finish(&table);
}

static void a_member_that_is_taken_out_is_found_no_more(void **state)
{
    struct hash_table table;

    (void)state;
    fill(&table, hash_of, MANY);
    for (uint32_t i = 0; i < MANY; i += 2)
        hash_table_remove(&table, &members[i].link);
    assert_int_equal(table.n, MANY / 2);
    for (uint32_t key = 0; key < MANY; key++)
        assert_ptr_equal(member_of(hash_table_find(&table, spread(key), matches, &key)),
                         key % 2 == 0 ? NULL : &members[key]);
    hash_table_finish(&table);
}

static void a_walk_comes_to_all_and_may_take_them_out(void **state)
{
    struct hash_table table;
    struct hash_link *next;
    unsigned n = 0;

    (void)state;
    fill(&table, hash_of, MANY);
    for (struct hash_link *at = hash_table_next(&table, NULL); at != NULL; at = next) {
        next = hash_table_next(&table, at);
        assert_false(member_of(at)->seen);
        member_of(at)->seen = true;
        hash_table_remove(&table, at);
        n++;
    }
    assert_int_equal(n, MANY);
    assert_int_equal(table.n, 0);
    hash_table_finish(&table);
}

static void members_of_one_hash_are_told_apart(void **state)
{
    enum { FEW = 100 };
    struct hash_table table;

    (void)state;
    fill(&table, hash_of_none, FEW);
    for (uint32_t key = 0; key < FEW; key++)
        assert_ptr_equal(member_of(hash_table_find(&table, 7, matches, &key)), &members[key]);
    hash_table_finish(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_table_has_nothing),
        cmocka_unit_test(a_member_is_found_in_few_steps_among_any_number),
        cmocka_unit_test(a_member_that_is_taken_out_is_found_no_more),
        cmocka_unit_test(a_walk_comes_to_all_and_may_take_them_out),
        cmocka_unit_test(members_of_one_hash_are_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
