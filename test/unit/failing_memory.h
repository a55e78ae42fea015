/*
 * failing_memory.h - for tests: a piece of code is run again and again, and its first allocation fails, then
 * only its second, and so on, until there are none left.
 *
 * The program has a malloc(), calloc() and realloc() of its own in front of those of the C library (or of the
 * address sanitizer), so the allocations of libraries fail as well: cJSON, libyaml, protobuf-c, mbedTLS. A
 * piece of code that makes an error for want of memory can make it: just one allocation fails.
 *
 * To be included by one file of a program. Single-threaded.
 */
#ifndef TEST_UNIT_FAILING_MEMORY_H
#define TEST_UNIT_FAILING_MEMORY_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/error.h"
#include "common/base/json.h"

/* The functions of the sanitizer, or of glibc, by their other names. */
#ifdef __SANITIZE_ADDRESS__
#define REAL(function) __interceptor_##function
enum { count_blocks = false }; /* it hands out some by itself, and looks for leaks at the end */
#else
#define REAL(function) __libc_##function
enum { count_blocks = true };
#endif
void *REAL(malloc)(size_t size);
void *REAL(calloc)(size_t count, size_t size);
void *REAL(realloc)(void *ptr, size_t size);
void REAL(free)(void *ptr);

static size_t allocations_left; /* up to and with the one that fails; 0 = none does */
static bool allocation_failed;
static long blocks; /* allocated and not freed */

static bool fails_now(void)
{
    if (allocations_left == 0 || --allocations_left > 0)
        return false;
    allocation_failed = true;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    void *ptr = fails_now() ? NULL : REAL(malloc)(size);

    blocks += ptr != NULL;
    return ptr;
}

void *calloc(size_t count, size_t size)
{
    void *ptr = fails_now() ? NULL : REAL(calloc)(count, size);

    blocks += ptr != NULL;
    return ptr;
}

void *realloc(void *ptr, size_t size)
{
    void *moved = fails_now() ? NULL : REAL(realloc)(ptr, size);

    blocks += ptr == NULL && moved != NULL;
    return moved;
}

void free(void *ptr)
{
    blocks -= ptr != NULL;
    REAL(free)(ptr);
}

/* The sanitizer's do not call malloc(). */
char *strndup(const char *text, size_t len)
{
    size_t n = strnlen(text, len);
    char *copy = malloc(n + 1);

    if (copy != NULL) {
        memcpy(copy, text, n);
        copy[n] = '\0';
    }
    return copy;
}

char *strdup(const char *text)
{
    return strndup(text, strlen(text));
}

/* A piece of code: returns 0, having checked and freed its result; or -1 with err set. */
typedef int scenario(struct error **err);

enum scenario_flags {
    /* Some allocations are for what nobody depends on, like giving memory back at the end of asprintf(): the
     * result is good without. */
    MAY_DO_WITHOUT = 1,
    /* Arithmetic with large numbers allocates thousands of times in the same few places: after the first
     * hundred allocations every 101st one is tried. */
    SAMPLE = 2,
};

/* Each allocation fails once. Each time the code must report it as lack of memory and lose nothing. */
static void fail_each_allocation(scenario *run, unsigned flags)
{
    struct error *error = NULL;
    size_t n = 0;

    if (run(&error) < 0) /* also: what libraries allocate once and keep */
        fail_msg("with memory: %s", error_message(error));
    do {
        long before = blocks;
        int rc;

        allocation_failed = false;
        n += (flags & SAMPLE) != 0 && n >= 100 ? 101 : 1;
        allocations_left = n;
        rc = run(&error);
        allocations_left = 0;
        if (rc == 0 && allocation_failed && (flags & MAY_DO_WITHOUT) == 0)
            fail_msg("allocation %zu: its failure is not reported", n);
        if (rc < 0 && (!allocation_failed || error_code(error) != GRPC_STATUS_RESOURCE_EXHAUSTED))
            fail_msg("allocation %zu: status %d, %s", n, (int)error_code(error), error_message(error));
        error_free(error);
        error = NULL;
        if (count_blocks && blocks != before)
            fail_msg("allocation %zu: %ld blocks are not freed", n, blocks - before);
    } while (allocation_failed);
    assert_true(n > 1); /* or nothing was tried */
}

/* In a scenario: what it has built is the same whenever it succeeds. */
static inline void assert_always_the_same(const cJSON *json, char **first)
{
    size_t left = allocations_left;
    char *text;

    allocations_left = 0;
    text = cJSON_PrintUnformatted(json);
    assert_non_null(text);
    if (*first == NULL) {
        *first = text;
    } else {
        assert_string_equal(text, *first);
        cJSON_free(text);
    }
    allocations_left = left;
}

#endif
