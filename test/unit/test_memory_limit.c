/*
 * test_memory_limit.c - what the cgroups of a process leave to it, read from files as the kernel writes them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "driver/base/memory_limit.h"
#include "test/unit/scratch.h"

#define MIB UINT64_C(1048576)

static struct scratch scratch;

static int set_up(void **state)
{
    (void)state;
    return scratch_make(&scratch);
}

static int tear_down(void **state)
{
    (void)state;
    return scratch_remove(&scratch);
}

/* `own`: /proc/PID/cgroup; `mount`: of the cgroups, at the directory cg. */
static struct memory_limit *limit_of(const char *own, const char *root, const char *type, const char *options)
{
    char process[128];

    assert_int_equal(
        scratch_run(
            &scratch,
            "mkdir -p proc && printf '%s' >proc/cgroup && printf '22 1 0:21 / / rw - overlay none rw\\n"
            "30 22 0:26 / %s/cpu rw,nosuid shared:9 - cgroup cgroup rw,cpu\\n"
            "31 22 0:27 %s %s/cg rw,nosuid shared:10 master:2 - %s cgroup rw%s\\n' >proc/mountinfo",
            own, scratch.dir, root, scratch.dir, type, options),
        0);
    (void)snprintf(process, sizeof(process), "%s/proc", scratch.dir);
    struct memory_limit *limit = memory_limit_create(process, NULL);
    assert_non_null(limit);
    return limit;
}

/* A cgroup of version 2 below cg; numbers in MiB, "" for no limit. */
static void make_cgroup(const char *path, const char *max, unsigned used, unsigned files)
{
    assert_int_equal(
        scratch_run(
            &scratch,
            "mkdir -p cg%s && cd cg%s && expr %s \\* 1048576 >memory.max || echo max >memory.max; "
            "expr %u \\* 1048576 >memory.current; printf 'anon 5\\nfile 900000000\\nshmem 900000000\\n"
            "inactive_anon 7\\ninactive_file %u\\nactive_file %u\\n' >memory.stat",
            path, path, *max != '\0' ? max : "x", used, (unsigned)(files * MIB), (unsigned)(files * MIB)),
        0);
}

static void the_limit_of_the_own_cgroup_counts_without_what_can_be_dropped(void **state)
{
    (void)state;
    make_cgroup("/kubepods/pod1/driver", "100", 60, 5);
    struct memory_limit *limit = limit_of("0::/kubepods/pod1/driver\\n", "/", "cgroup2", "");
    assert_int_equal(memory_limit_left(limit), 50 * MIB);
    memory_limit_destroy(limit);
}

static void the_nearest_limit_of_all_above_counts(void **state)
{
    (void)state;
    make_cgroup("", "", 5000, 0);
    make_cgroup("/kubepods", "9000", 5000, 0);
    make_cgroup("/kubepods/pod1", "100", 90, 0); /* what containers before this one have left */
    make_cgroup("/kubepods/pod1/driver", "100", 3, 0);
    struct memory_limit *limit = limit_of("0::/kubepods/pod1/driver\\n", "/", "cgroup2", "");
    assert_int_equal(memory_limit_left(limit), 10 * MIB);
    memory_limit_destroy(limit);
    make_cgroup("/kubepods/pod1", "", 90, 0);
    limit = limit_of("0::/kubepods/pod1/driver\\n", "/", "cgroup2", "");
    assert_int_equal(memory_limit_left(limit), 97 * MIB);
    memory_limit_destroy(limit);
}

static void a_container_sees_its_own_cgroup_as_the_root(void **state)
{
    (void)state;
    make_cgroup("", "64", 14, 0);
    struct memory_limit *limit = limit_of("0::/\\n", "/", "cgroup2", ""); /* a namespace of its own */
    assert_int_equal(memory_limit_left(limit), 50 * MIB);
    memory_limit_destroy(limit);
    limit =
        limit_of("0::/kubepods/pod1/driver\\n", "/kubepods/pod1/driver", "cgroup2", ""); /* mounted alone */
    assert_int_equal(memory_limit_left(limit), 50 * MIB);
    memory_limit_destroy(limit);
}

static uint64_t five_mib(void *arg)
{
    ++*(int *)arg;
    return 5 * MIB;
}

static void what_counts_for_a_limit_that_cannot_be_seen_is_taken_off(void **state)
{
    int asked = 0;
    (void)state;
    make_cgroup("", "64", 44, 0);
    make_cgroup("/pod", "64", 44, 0);
    struct memory_limit *limit = limit_of("0::/pod\\n", "/", "cgroup2", "");
    assert_true(memory_limit_sees_parent(limit));
    memory_limit_destroy(limit);
    limit = limit_of("0::/\\n", "/", "cgroup2", "");
    assert_false(memory_limit_sees_parent(limit));
    assert_int_equal(memory_limit_left(limit), 20 * MIB);
    memory_limit_count_others(limit, five_mib, &asked);
    assert_int_equal(memory_limit_left(limit), 15 * MIB);
    assert_int_equal(memory_limit_left(limit), 15 * MIB);
    assert_int_equal(asked, 1);
    assert_false(memory_limit_take(limit, 8 * MIB)); /* asked again before it refuses */
    assert_int_equal(asked, 2);
    assert_true(memory_limit_take(limit, 7 * MIB));
    memory_limit_destroy(limit);
}

static void cgroups_of_version_1_are_read(void **state)
{
    (void)state;
    assert_int_equal(
        scratch_run(
            &scratch,
            "mkdir -p cg/pod/driver && cd cg && echo 9223372036854771712 >memory.limit_in_bytes && cd pod && "
            "echo 104857600 >memory.limit_in_bytes && echo 52428800 >memory.usage_in_bytes && cd driver && "
            "echo 104857600 >memory.limit_in_bytes && echo 83886080 >memory.usage_in_bytes && "
            "printf 'inactive_file 1\\ntotal_inactive_file 1048576\\ntotal_active_file 2097152\\n' >memory.stat"),
        0);
    struct memory_limit *limit =
        limit_of("12:cpu,cpuacct:/x\\n7:memory:/pod/driver\\n0::/y\\n", "/", "cgroup", ",memory");
    assert_int_equal(memory_limit_left(limit), 23 * MIB);
    memory_limit_destroy(limit);
}

static void without_cgroups_there_is_no_limit(void **state)
{
    (void)state;
    static const char *const own[] = {"", "0::/\\n", "garbage", "::\\n", "1:memory:/not/there\\n", ":\\n"};
    for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
        struct memory_limit *limit = limit_of(own[i], "/", "cgroup2", "");
        assert_true(memory_limit_left(limit) == MEMORY_LIMIT_NONE);
        assert_true(memory_limit_take(limit, UINT64_MAX - MEMORY_LIMIT_RESERVE));
        memory_limit_destroy(limit);
    }
    struct memory_limit *limit = memory_limit_create("/nowhere", NULL);
    assert_true(memory_limit_left(limit) == MEMORY_LIMIT_NONE);
    memory_limit_destroy(limit);
}

static void volumes_leave_a_reserve_and_what_goes_is_seen_at_once(void **state)
{
    (void)state;
    make_cgroup("", "64", 44, 0);
    struct memory_limit *limit = limit_of("0::/\\n", "/", "cgroup2", "");
    assert_true(memory_limit_take(limit, 5 * MIB));
    assert_true(memory_limit_take(limit, 7 * MIB));
    assert_int_equal(memory_limit_left(limit), MEMORY_LIMIT_RESERVE);
    make_cgroup("", "64", 56, 0); /* both volumes are there now */
    assert_false(memory_limit_take(limit, 1));
    make_cgroup("", "64", 51, 0); /* one has gone */
    assert_true(memory_limit_take(limit, 5 * MIB));
    assert_false(memory_limit_take(limit, 5 * MIB + 1));
    memory_limit_destroy(limit);
    make_cgroup("", "64", 70, 0); /* as after a limit that was lowered */
    limit = limit_of("0::/\\n", "/", "cgroup2", "");
    assert_false(memory_limit_take(limit, 1));
    assert_int_equal(memory_limit_left(limit), 0);
    memory_limit_destroy(limit);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_limit_of_the_own_cgroup_counts_without_what_can_be_dropped),
        TEST(the_nearest_limit_of_all_above_counts),
        TEST(a_container_sees_its_own_cgroup_as_the_root),
        TEST(what_counts_for_a_limit_that_cannot_be_seen_is_taken_off),
        TEST(cgroups_of_version_1_are_read),
        TEST(without_cgroups_there_is_no_limit),
        TEST(volumes_leave_a_reserve_and_what_goes_is_seen_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
