/*
 * test_secret.c - secret bytes are gone before their memory is returned.
 *
 * This program has a free() of its own (under the address sanitizer: the sanitizer's hook) that looks for a
 * canary in each block right before the block goes back to the C library: memory that is still ours. A first
 * test shows that the trap catches a careless program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <curl/curl.h>
#include <dlfcn.h>
#include <malloc.h>
#include <protobuf-c/protobuf-c.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "common/base/buffer.h"
#include "common/base/json.h"
#include "common/base/secret.h"
#include "common/base/string_map.h"

static const char CANARY[] = "canary-7f3a91c2";
enum { CANARY_LEN = sizeof(CANARY) - 1 };

static bool watching;
static unsigned found;

/* Sees each block right before it is freed. */
static void inspect(const volatile void *ptr)
{
    void *block = (void *)(uintptr_t)ptr;
    if (watching && block != NULL && memmem(block, malloc_usable_size(block), CANARY, CANARY_LEN) != NULL)
        found++;
}

#ifdef __SANITIZE_ADDRESS__
/* The address sanitizer owns free() and offers a hook of its own in front of it. */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));

static void ignore_malloc(const volatile void *ptr, size_t size)
{
    (void)ptr;
    (void)size;
}

static void install_trap(void)
{
    (void)__sanitizer_install_malloc_and_free_hooks(ignore_malloc, inspect);
}
#else
void free(void *ptr)
{
    static void (*real_free)(void *);
    static bool resolving;
    if (real_free == NULL) {
        if (resolving)
            return; /* what dlsym() itself frees is lost */
        resolving = true;
        void *symbol = dlsym(RTLD_NEXT, "free");
        memcpy(&real_free, &symbol, sizeof(symbol));
        resolving = false;
    }
    inspect(ptr);
    real_free(ptr);
}

static void install_trap(void)
{
}
#endif

static int watch(void **state)
{
    (void)state;
    found = 0;
    watching = true;
    return 0;
}

static int stop_watching(void **state)
{
    (void)state;
    watching = false;
    return 0;
}

static void the_trap_catches_a_careless_program(void **state)
{
    (void)state;
    char *volatile copy = strdup(CANARY);
    free(copy);
    assert_int_equal(found, 1);
}

static void a_destroyed_secret_leaves_nothing(void **state)
{
    (void)state;
    struct secret *secret = secret_from_bytes(CANARY, CANARY_LEN);
    assert_memory_equal(secret_bytes(secret), CANARY, CANARY_LEN + 1); /* with the NUL behind */
    secret_destroy(secret);
    secret_destroy(NULL);
    assert_int_equal(found, 0);
}

static void a_truncated_secret_leaves_no_tail(void **state)
{
    (void)state;
    cleanup_secret struct secret *secret = secret_from_bytes(CANARY, CANARY_LEN);
    secret_truncate(secret, 3);
    assert_int_equal(secret_len(secret), 3);
    const uint8_t *bytes = secret_bytes(secret);
    assert_memory_equal(bytes, CANARY, 3);
    for (size_t i = 3; i <= CANARY_LEN; i++)
        assert_int_equal(bytes[i], 0);
}

static void a_fresh_secret_is_zero_and_no_secret_is_empty(void **state)
{
    (void)state;
    cleanup_secret struct secret *secret = secret_create(100);
    for (size_t i = 0; i <= 100; i++)
        assert_int_equal(secret_bytes(secret)[i], 0);
    memset(secret_data(secret), 7, 100);
    assert_int_equal(secret_len(NULL), 0);
    assert_non_null(secret_bytes(NULL));
    assert_null(secret_create(SIZE_MAX));
    assert_null(secret_create(SIZE_MAX - 8));
}

static void secrets_compare_by_content(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool equal;
    } rows[] = {{"abc", "abc", true}, {"abc", "abd", false}, {"abc", "ab", false},
                {"", "", true},       {"xbc", "abc", false}, {"\x01", "\x81", false}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_secret struct secret *a = secret_from_bytes(rows[i].a, strlen(rows[i].a));
        cleanup_secret struct secret *b = secret_from_bytes(rows[i].b, strlen(rows[i].b));
        assert_int_equal(secret_equal(a, b), rows[i].equal);
    }
    cleanup_secret struct secret *empty = secret_create(0);
    assert_true(secret_equal(NULL, empty));
}

/* Grown and shrunk over many sizes: the content moves along, no old block keeps it. */
static void the_wiping_allocator_leaves_nothing_on_the_old_side(void **state)
{
    (void)state;
    char *block = secret_strdup(CANARY);
    static const size_t sizes[] = {16, 24, 100, 5000, 200000, 300, 17, 16};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        block = secret_realloc(block, sizes[i]);
        assert_non_null(block);
        assert_string_equal(block, CANARY);
        if (sizes[i] > 2 * CANARY_LEN + 2)
            memcpy(block + sizes[i] - CANARY_LEN, CANARY, CANARY_LEN);
    }
    assert_null(secret_realloc(block, 0));
    char *fresh = secret_realloc(NULL, 8);
    assert_non_null(fresh);
    secret_free(fresh);
    secret_free(NULL);
    assert_int_equal(found, 0);
}

static void a_growing_buffer_leaves_no_old_blocks(void **state)
{
    (void)state;
    cleanup_buffer struct buffer buffer;
    buffer_init(&buffer, 1 << 20);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(buffer_append(&buffer, CANARY, CANARY_LEN, NULL), 0);
    buffer_finish(&buffer);
    assert_int_equal(found, 0);
}

static void json_and_maps_leave_nothing_once_the_hooks_are_in(void **state)
{
    (void)state;
    cleanup_error struct error *err = NULL;
    secret_install_json_hooks();
    char text[256];
    int len = snprintf(text, sizeof(text), "{\"k\":\"%s\",\"l\":\"\\u0041%s\"}", CANARY, CANARY);

    cleanup_string_map struct string_map map = {0};
    assert_int_equal(string_map_from_json(&map, text, (size_t)len, NULL, &err), 0);
    assert_string_equal(string_map_get(&map, "k"), CANARY);
    char *printed = string_map_to_json(&map, &err);
    assert_non_null(strstr(printed, CANARY));
    secret_free(printed);
    assert_int_equal(string_map_set(&map, "k", "other", &err), 0);
    string_map_finish(&map);
    assert_int_equal(found, 0);
    assert_null(json_parse("[\"canary-7f3a91c2\",", 19, 100, NULL)); /* the half-built tree goes, too */
    assert_int_equal(found, 0);
    cJSON_InitHooks(NULL);
    curl_global_cleanup();
}

static void the_protobuf_allocator_wipes(void **state)
{
    (void)state;
    struct ProtobufCAllocator *allocator = secret_protobuf_allocator();
    char *block = allocator->alloc(allocator->allocator_data, sizeof(CANARY));
    memcpy(block, CANARY, sizeof(CANARY));
    allocator->free(allocator->allocator_data, block);
    allocator->free(allocator->allocator_data, NULL);
    assert_int_equal(found, 0);
}

/* In a child: a process that cannot be traced cannot be searched for leaks either. */
static void a_process_that_forbids_core_dumps_makes_none(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {.rlim_cur = 1, .rlim_max = 1};
        bool ok = secret_forbid_core_dumps(NULL) == 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 &&
                  getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0 && limit.rlim_max == 0;
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#define WATCHED(test) cmocka_unit_test_setup_teardown(test, watch, stop_watching)

int main(void)
{
    install_trap();
    const struct CMUnitTest tests[] = {
        WATCHED(the_trap_catches_a_careless_program),
        WATCHED(a_destroyed_secret_leaves_nothing),
        WATCHED(the_wiping_allocator_leaves_nothing_on_the_old_side),
        WATCHED(a_growing_buffer_leaves_no_old_blocks),
        WATCHED(json_and_maps_leave_nothing_once_the_hooks_are_in),
        WATCHED(the_protobuf_allocator_wipes),
        cmocka_unit_test(a_truncated_secret_leaves_no_tail),
        cmocka_unit_test(a_fresh_secret_is_zero_and_no_secret_is_empty),
        cmocka_unit_test(secrets_compare_by_content),
        cmocka_unit_test(a_process_that_forbids_core_dumps_makes_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
