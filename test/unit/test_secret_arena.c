/*
 * test_secret_arena.c - locked memory for secrets: blocks do not overlap, come back whole, and are wiped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka.h wants those first */
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/secret.h"
#include "common/base/secret_arena.h"
#include "common/base/secret_cache.h"

enum { ARENA = 256 * 1024, BLOCKS = 200, ROUNDS = 20000 };

static int make_arena(void **state)
{
    (void)state;
    /* the largest power of two */
    return secret_arena_create(ARENA + 100000, SECRET_ARENA_REST_NOT_LOCKED, NULL) == ARENA ? 0 : -1;
}

static void only_one_arena_of_a_sensible_size_can_be_made(void **state)
{
    (void)state;
    assert_int_equal(secret_arena_create(ARENA, SECRET_ARENA_REST_NOT_LOCKED, NULL), 0);
}

/* The kernel's own view of a page: "lo" among the VmFlags of its mapping. */
static bool is_locked(const void *ptr)
{
    cleanup_file FILE *file = fopen("/proc/self/smaps", "re");
    char line[512];
    bool inside = false;

    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        unsigned long long begin = 0, end = 0;

        if (sscanf(line, "%llx-%llx ", &begin, &end) == 2)
            inside = (uintptr_t)ptr >= begin && (uintptr_t)ptr < end;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            return strstr(line, " lo ") != NULL;
    }
    return false;
}

static void secrets_are_in_locked_memory(void **state)
{
    struct secret *secret = secret_from_bytes("value", 5);

    (void)state;
    assert_true(secret_arena_owns(secret));
    assert_true(is_locked(secret_bytes(secret)));
    assert_false(is_locked(&secret)); /* the stack */
    secret_destroy(secret);
}

/* The whole region is one block again, which only merging gives back. */
static void assert_all_is_free(void)
{
    void *whole = secret_arena_alloc(ARENA);

    assert_non_null(whole);
    assert_null(secret_arena_alloc(1));
    secret_arena_free(whole);
}

static void blocks_never_overlap_and_merge_again(void **state)
{
    static struct {
        uint8_t *ptr;
        size_t size;
        uint8_t fill;
    } blocks[BLOCKS];
    unsigned seed = 1;

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t i = (size_t)rand_r(&seed) % BLOCKS;

        if (blocks[i].ptr != NULL) {
            for (size_t k = 0; k < blocks[i].size; k++)
                assert_int_equal(blocks[i].ptr[k], blocks[i].fill);
            secret_arena_free(blocks[i].ptr);
            blocks[i].ptr = NULL;
            continue;
        }
        blocks[i].size = (size_t)1 << (rand_r(&seed) % 14);
        blocks[i].size += (size_t)rand_r(&seed) % blocks[i].size;
        blocks[i].fill = (uint8_t)round;
        blocks[i].ptr = secret_arena_alloc(blocks[i].size);
        if (blocks[i].ptr == NULL)
            continue; /* full */
        assert_true(secret_arena_owns(blocks[i].ptr));
        assert_true(secret_arena_block_size(blocks[i].ptr) >= blocks[i].size);
        assert_int_equal((uintptr_t)blocks[i].ptr % 16, 0);
        memset(blocks[i].ptr, blocks[i].fill, blocks[i].size);
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        if (blocks[i].ptr != NULL)
            secret_arena_free(blocks[i].ptr);
    }
    assert_all_is_free();
}

static void what_does_not_fit_comes_from_malloc_and_is_counted(void **state)
{
    void *whole = secret_arena_alloc(ARENA);
    uint64_t before = secret_arena_overflows();
    char *outside = secret_strdup("text");
    char *grown;

    (void)state;
    assert_non_null(whole);
    assert_false(secret_arena_owns(outside));
    assert_int_equal(secret_arena_overflows(), before + 1);
    secret_arena_free(whole);
    grown = secret_realloc(outside, 5000);
    assert_true(secret_arena_owns(grown));
    assert_string_equal(grown, "text");
    secret_free(grown);
    assert_null(secret_arena_alloc(SIZE_MAX));
    assert_null(secret_calloc(SIZE_MAX / 2, 4));
    assert_all_is_free();
}

/* A thread keeps blocks of the arena, and no others: what is locked stays so. */
static void kept_blocks_are_of_the_arena(void **state)
{
    static const size_t sizes[] = {0, 1, 64, 65, 100, 128, 1000, 4096, 5000, 8176};
    char *from_before = malloc(40);

    (void)state;
    secret_cache_enable(SIZE_MAX);
    secret_free(from_before);
    assert_null(secret_cache_take(40));
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        char *block = secret_malloc(sizes[i]), *again;

        assert_true(secret_arena_owns(block));
        memset(block, 'x', sizes[i]);
        secret_free(block);
        again = secret_calloc(1, sizes[i]);
        assert_true(secret_arena_owns(again));
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(again[k], 0);
        secret_free(again);
    }
    secret_cache_disable();
    assert_all_is_free();
}

static void kept_blocks_leave_the_arena_to_others(void **state)
{
    enum { SIZE = 1024, N = ARENA / SIZE };
    void *blocks[N], *whole;
    uint64_t before = secret_arena_overflows();
    size_t kept = 0;

    (void)state;
    secret_cache_enable(SIZE_MAX);
    for (size_t i = 0; i < N; i++)
        assert_true(secret_arena_owns(blocks[i] = secret_malloc(SIZE)));
    for (size_t i = 0; i < N; i++)
        secret_free(blocks[i]);
    for (; (blocks[kept] = secret_cache_take(SIZE)) != NULL; kept++)
        ;
    assert_true(kept == 0 || kept == N / 8); /* 0: this program is sanitized, and keeps none */
    for (size_t i = 0; i < kept; i++)
        secret_free(blocks[i]);
    whole = secret_malloc(ARENA);
    assert_true(secret_arena_owns(whole));
    assert_int_equal(secret_arena_overflows(), before);
    secret_free(whole);
    secret_cache_disable();
    assert_all_is_free();
}

static void blocks_are_wiped_when_they_are_freed(void **state)
{
    static const size_t sizes[] = {1, 63, 64, 1000, 100000, 200000};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        uint8_t *block = secret_malloc(sizes[i]);
        size_t size = secret_arena_block_size(block);

        memset(block, 0xa5, sizes[i]);
        secret_free(block);
        /* the first bytes may hold a link of the list of free blocks */
        for (size_t k = 16; k < size; k++)
            assert_int_equal(block[k], 0);
        block = secret_calloc(1, sizes[i]);
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(block[k], 0);
        secret_free(block);
    }
}

static void *hammer(void *arg)
{
    unsigned seed = *(const unsigned *)arg;
    uint8_t *held[16] = {NULL};

    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned i = (unsigned)rand_r(&seed) % ARRAY_SIZE(held);

        if (held[i] != NULL && held[i][0] != i)
            abort();
        secret_free(held[i]);
        held[i] = secret_malloc(1 + (size_t)rand_r(&seed) % 3000);
        held[i][0] = (uint8_t)i;
    }
    for (size_t i = 0; i < ARRAY_SIZE(held); i++)
        secret_free(held[i]);
    return NULL;
}

static void threads_share_the_arena(void **state)
{
    pthread_t threads[4];
    unsigned seeds[4] = {1, 2, 3, 4};

    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &seeds[i]), 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_all_is_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_one_arena_of_a_sensible_size_can_be_made),
        cmocka_unit_test(secrets_are_in_locked_memory),
        cmocka_unit_test(blocks_never_overlap_and_merge_again),
        cmocka_unit_test(what_does_not_fit_comes_from_malloc_and_is_counted),
        cmocka_unit_test(kept_blocks_are_of_the_arena),
        cmocka_unit_test(kept_blocks_leave_the_arena_to_others),
        cmocka_unit_test(blocks_are_wiped_when_they_are_freed),
        cmocka_unit_test(threads_share_the_arena),
    };

    return cmocka_run_group_tests(tests, make_arena, NULL);
}
