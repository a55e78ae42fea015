/*
 * test_secret_cache.c - blocks of the wiping allocator that come back, and what they hold then.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/secret.h"
#include "common/base/secret_cache.h"

enum { KEPT_BYTES = 256 * 1024 };

static int enable(void **state)
{
    (void)state;
    secret_cache_enable(KEPT_BYTES);
    return 0;
}

static int disable(void **state)
{
    (void)state;
    secret_cache_disable();
    return 0;
}

/* Not in sanitized programs: nothing is kept there, and what these tests expect does not happen. */
static bool keeps_blocks(void)
{
    return secret_cache_round(1) != 1;
}

static void a_block_comes_back_with_zeros(void **state)
{
    static const size_t sizes[] = {0, 1, 12, 13, 16, 28, 29, 100, 1000, 4079, 4080, 8175, 8176};
    (void)state;
    if (!keeps_blocks())
        return;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        char *first = secret_malloc(sizes[i]);
        assert_non_null(first);
        memset(first, 'x', sizes[i]);
        secret_free(first);
        char *again = i % 2 == 0 ? secret_malloc(sizes[i]) : secret_calloc(1, sizes[i]);
        assert_ptr_equal(again, first);
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(again[k], 0);
        memset(again, 'y', sizes[i]);
        secret_free(again);
    }
}

/* Those that were made before the cache, or by another thread, have any size. */
static void a_block_serves_what_it_has_space_for(void **state)
{
    (void)state;
    if (!keeps_blocks())
        return;
    for (size_t made = 1; made < 200; made++) {
        char *block = malloc(made);
        assert_non_null(block);
        secret_free(block);
        for (size_t size = 1; size < 250; size++) {
            char *taken = secret_cache_take(size);
            if (taken != NULL)
                memset(taken, 'x', size); /* valgrind and the C library see what is too long */
            secret_free(taken);
        }
    }
}

static void blocks_in_use_are_different(void **state)
{
    char *blocks[100];
    (void)state;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
            blocks[i] = secret_malloc(40);
            assert_non_null(blocks[i]);
            memset(blocks[i], (int)i, 40);
        }
        for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
            for (size_t k = 0; k < 40; k++)
                assert_int_equal(blocks[i][k], i);
            secret_free(blocks[i]);
        }
    }
}

static void no_more_than_the_limit_is_kept(void **state)
{
    enum { SIZE = 1004, N = 2 * KEPT_BYTES / SIZE };
    void *blocks[N];
    size_t kept = 0;
    (void)state;
    if (!keeps_blocks())
        return;
    for (size_t i = 0; i < N; i++) {
        blocks[i] = secret_malloc(SIZE);
        assert_non_null(blocks[i]);
    }
    for (size_t i = 0; i < N; i++)
        secret_free(blocks[i]);
    for (; (blocks[kept] = secret_cache_take(SIZE)) != NULL; kept++)
        ;
    assert_int_equal(kept, KEPT_BYTES / SIZE);
    for (size_t i = 0; i < kept; i++)
        secret_free(blocks[i]);
}

static void trimmed_blocks_go_to_the_c_library(void **state)
{
    (void)state;
    if (!keeps_blocks())
        return;
    secret_free(secret_malloc(40));
    secret_cache_trim();
    assert_null(secret_cache_take(40));
    secret_free(secret_malloc(40));
    void *block = secret_cache_take(40);
    assert_non_null(block);
    secret_free(block);
}

static void large_blocks_go_to_the_c_library(void **state)
{
    (void)state;
    void *large = calloc(1, SECRET_CACHE_BLOCK_MAX + 1);
    assert_non_null(large);
    assert_false(secret_cache_put(large, SECRET_CACHE_BLOCK_MAX + 1));
    free(large);
    assert_null(secret_cache_take(SECRET_CACHE_BLOCK_MAX + 1));
    assert_null(secret_cache_take(SIZE_MAX));
    assert_int_equal(secret_cache_round(SIZE_MAX), SIZE_MAX);
}

static void *use_blocks(void *arg)
{
    secret_free(arg);
    assert_null(secret_cache_take(40));
    secret_free(secret_malloc(40));
    assert_null(secret_cache_take(40));
    return NULL;
}

static void other_threads_have_none(void **state)
{
    pthread_t thread;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, use_blocks, secret_malloc(40)), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_null(secret_cache_take(40));
}

static void a_thread_that_keeps_none_works_as_before(void **state)
{
    (void)state;
    secret_cache_disable();
    secret_free(secret_malloc(40));
    assert_null(secret_cache_take(40));
    assert_int_equal(secret_cache_round(41), 41);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, enable, disable)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_block_comes_back_with_zeros),
        TEST(a_block_serves_what_it_has_space_for),
        TEST(blocks_in_use_are_different),
        TEST(no_more_than_the_limit_is_kept),
        TEST(trimmed_blocks_go_to_the_c_library),
        TEST(large_blocks_go_to_the_c_library),
        TEST(other_threads_have_none),
        TEST(a_thread_that_keeps_none_works_as_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
