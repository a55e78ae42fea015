/*
 * test_start_pages.c - pages of constants are given back, also locked ones, and come back unchanged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants those first */
#include <cmocka.h>

#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/process/start_pages.h"
#include "test/unit/skip.h"

enum { PAGE = 64 * 1024 /* the largest of any machine */, SIZE = 16 * PAGE };

static const uint8_t constants[SIZE] __attribute__((aligned(PAGE))) = {[0] = 1, [SIZE - 1] = 2};

static void touch_all(void)
{
    const volatile uint8_t *bytes = constants;

    for (size_t i = 0; i < SIZE; i += 4096)
        (void)bytes[i];
}

/* The resident part, in bytes, of the mapping that holds the constants. */
static size_t resident(void)
{
    cleanup_file FILE *file = fopen("/proc/self/smaps", "re");
    char line[512];
    bool inside = false;
    size_t kib = 0;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        unsigned long long begin = 0, end = 0;

        if (sscanf(line, "%llx-%llx ", &begin, &end) == 2)
            inside = (uintptr_t)constants >= begin && (uintptr_t)constants < end;
        else if (inside && sscanf(line, "Rss: %zu kB", &kib) == 1)
            break;
    }
    return kib * 1024;
}

static void assert_given_back(void)
{
    touch_all();
    assert_true(resident() >= SIZE);
    assert_true(start_pages_give_back() >= SIZE);
    assert_true(resident() < SIZE / 2); /* what was needed to come here */
    assert_int_equal(constants[0], 1);
    assert_int_equal(constants[SIZE - 1], 2);
}

static void pages_of_constants_are_given_back(void **state)
{
    (void)state;
    assert_given_back();
}

static void locked_pages_are_given_back(void **state)
{
    (void)state;
    if (syscall(SYS_mlock2, constants, (size_t)SIZE, MLOCK_ONFAULT) == -1)
        skip_without("a larger RLIMIT_MEMLOCK");
    assert_given_back();
    assert_int_equal(syscall(SYS_munlock, constants, (size_t)SIZE), 0);
}

/* 0, or the number of what went wrong: a child has no cmocka. */
static int give_back_refused(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    if (filter == NULL || seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(madvise), 0) != 0 ||
        seccomp_load(filter) != 0)
        return 1;
    touch_all();
    if (start_pages_give_back() != 0)
        return 2;
    return resident() >= SIZE ? 0 : 3;
}

static void a_kernel_that_refuses_changes_nothing(void **state)
{
    int status = 0;
    pid_t pid = fork();

    (void)state;
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(give_back_refused());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_of_constants_are_given_back),
        cmocka_unit_test(locked_pages_are_given_back),
        cmocka_unit_test(a_kernel_that_refuses_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
