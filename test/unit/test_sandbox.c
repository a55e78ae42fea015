/*
 * test_sandbox.c - the sandbox of both programs, each time in a child process, since nobody leaves it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants those first */
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/sanitized.h"
#include "common/process/capabilities.h"
#include "common/process/sandbox.h"
#include "driver/sandbox_needs.h"
#include "test/unit/scratch.h"
#include "test/unit/skip.h"

#define NO_FILTER "a build without sanitizers: with them programs have no filter of system calls"

/* A child has no cmocka: it leaves with the line of what went wrong. */
#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            (void)fprintf(stderr, "line %d: %s (errno %d)\n", __LINE__, #condition, errno);                  \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

struct child {
    uv_loop_t loop;
    uv_timer_t alive; /* a loop without work does not look for events */
    struct log *log;
    struct metrics *metrics;
    int log_fd;
};

static void on_never(uv_timer_t *timer)
{
    (void)timer;
}

static void run_in_child(void (*run)(struct child *child), int *ret_status)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        struct child child = {.log_fd = memfd_create("log", MFD_CLOEXEC)};

        enum sandbox_mode mode = SANDBOX_OFF;

        CHECK(sandbox_create_loop("on", &child.loop, &mode, NULL) == 0 && mode == SANDBOX_ON);
        CHECK(uv_timer_init(&child.loop, &child.alive) == 0);
        CHECK(uv_timer_start(&child.alive, on_never, UINT32_MAX, 0) == 0);
        child.log = log_create(child.log_fd, LOG_FORMAT_TEXT, 0);
        child.metrics = metrics_create();
        run(&child);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, ret_status, 0), pid);
}

static void assert_child(void (*run)(struct child *child))
{
    int status = 0;

    run_in_child(run, &status);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void enter(struct child *child, const struct sandbox_needs *needs, enum sandbox_mode mode)
{
    CHECK(sandbox_enter(needs, mode, &child->loop, child->log, child->metrics, NULL) == 0);
}

static bool is_logged(struct child *child, const char *text)
{
    static char content[65536];
    ssize_t len;

    (void)uv_run(&child->loop, UV_RUN_NOWAIT);
    len = pread(child->log_fd, content, sizeof(content) - 1, 0);
    CHECK(len >= 0);
    content[len] = '\0';
    return strstr(content, text) != NULL;
}

static unsigned times_logged(struct child *child, const char *text)
{
    static char content[65536];
    unsigned n = 0;
    ssize_t len;

    (void)uv_run(&child->loop, UV_RUN_NOWAIT);
    len = pread(child->log_fd, content, sizeof(content) - 1, 0);
    CHECK(len >= 0);
    content[len] = '\0';
    for (const char *at = content; (at = strstr(at, text)) != NULL; at++)
        n++;
    return n;
}

static bool is_in_metrics(struct child *child, const char *text)
{
    struct buffer page;
    bool found;

    buffer_init(&page, 1024 * 1024);
    CHECK(metrics_render(child->metrics, &page, NULL) == 0);
    found = strstr(buffer_str(&page), text) != NULL;
    buffer_finish(&page);
    return found;
}

/* --- system calls --- */

static void refuse_and_log(struct child *child)
{
    enter(child, &driver_sandbox_needs, SANDBOX_ON);
    for (int i = 0; i < 3; i++) {
        errno = 0;
        CHECK(syscall(SYS_chroot, "/") == -1 && errno == EPERM);
    }
    CHECK(is_logged(child, "\"system call refused by the sandbox\" call=\"chroot\""));
    CHECK(syscall(SYS_chroot, "/") == -1 && errno == EPERM);
    /* at most one line in a minute, and all are counted */
    CHECK(times_logged(child, "refused by the sandbox") == 1);
    CHECK(is_in_metrics(child, "\nsandbox_refused_calls_total 4"));
}

static void a_refused_call_fails_and_is_logged_and_counted(void **state)
{
    (void)state;
    if (SANITIZED)
        skip_without(NO_FILTER);
    assert_child(refuse_and_log);
}

static void *call_in_thread(void *arg)
{
    (void)arg;
    errno = 0;
    CHECK(syscall(SYS_chroot, "/") == -1 && errno == EPERM);
    return NULL;
}

static void refuse_in_thread(struct child *child)
{
    pthread_t thread;

    enter(child, &driver_sandbox_needs, SANDBOX_ON);
    CHECK(pthread_create(&thread, NULL, call_in_thread, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(is_logged(child, "call=\"chroot\""));
}

static void threads_start_and_are_in_the_sandbox(void **state)
{
    (void)state;
    if (SANITIZED)
        skip_without(NO_FILTER);
    assert_child(refuse_in_thread);
}

static void kill_on_call(struct child *child)
{
    enter(child, &driver_sandbox_needs, SANDBOX_KILL);
    (void)syscall(SYS_chroot, "/");
}

static void with_kill_a_refused_call_ends_the_process(void **state)
{
    int status = 0;

    (void)state;
    if (SANITIZED)
        skip_without(NO_FILTER);
    run_in_child(kill_on_call, &status);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* What an attacker who runs code in the process wants. */
static void try_what_attackers_want(struct child *child)
{
    char name[] = "sh";
    char *const arguments[] = {name, NULL};
    char stack[64];

    enter(child, &driver_sandbox_needs, SANDBOX_ON);
    CHECK(execve("/bin/sh", arguments, NULL) == -1 && errno == EPERM);
    CHECK(syscall(SYS_unshare, CLONE_NEWUSER) == -1 && errno == EPERM);
    CHECK(syscall(SYS_setns, -1, 0) == -1 && errno == EPERM);
    CHECK(syscall(SYS_bpf, 0, NULL, 0) == -1 && errno == EPERM);
    CHECK(syscall(SYS_pivot_root, "/", "/") == -1 && errno == EPERM);
    CHECK(syscall(SYS_init_module, NULL, 0, "") == -1 && errno == EPERM);
    CHECK(syscall(SYS_open_by_handle_at, -1, NULL, 0) == -1 && errno == EPERM);
    CHECK(syscall(SYS_keyctl, 0) == -1 && errno == EPERM);
    CHECK(syscall(SYS_userfaultfd, 0) == -1 && errno == EPERM);
    CHECK(socket(AF_PACKET, SOCK_RAW, 0) == -1 && errno == EPERM);
    CHECK(socket(AF_VSOCK, SOCK_STREAM, 0) == -1 && errno == EPERM);
    CHECK(syscall(SYS_tgkill, getppid(), getppid(), 0) == -1 && errno == EPERM);
    CHECK(syscall(SYS_prlimit64, 0, 0, stack, NULL) == -1 && errno == EPERM);
    if (SANITIZED)
        return;
    /* not fork(): musl blocks all signals for it, and the kernel ends a process that blocks SIGSYS */
    CHECK(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) == -1 && errno == EPERM);
    CHECK(syscall(SYS_ptrace, 0, 0, 0, 0) == -1 && errno == EPERM);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    CHECK(is_logged(child, "call=\"execve\""));
}

static void nothing_can_be_executed_or_escaped_to(void **state)
{
    (void)state;
    if (SANITIZED)
        skip_without(NO_FILTER);
    assert_child(try_what_attackers_want);
}

static void try_absent_calls(struct child *child)
{
    enter(child, &driver_sandbox_needs, SANDBOX_KILL);
    CHECK(syscall(/* io_uring_setup */ 425, 8, NULL) == -1 && errno == ENOSYS);
    CHECK(syscall(/* clone3 */ 435, NULL, 0) == -1 && errno == ENOSYS);
}

static void calls_that_libraries_only_try_are_absent_not_refused(void **state)
{
    (void)state;
    if (SANITIZED)
        skip_without(NO_FILTER);
    assert_child(try_absent_calls);
}

static void check_names(struct child *child)
{
    cleanup_free char *known = seccomp_call_name(SYS_chroot);
    cleanup_free char *unknown = seccomp_call_name(99999);

    (void)child;
    CHECK(strcmp(known, "chroot") == 0 && strcmp(unknown, "?") == 0);
}

static void a_call_without_a_name_has_its_number(void **state)
{
    (void)state;
    assert_child(check_names);
}

/* --- capabilities --- */

static uint64_t status_field(const char *name)
{
    cleanup_file FILE *file = fopen("/proc/thread-self/status", "re");
    char line[256];

    CHECK(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, strlen(name)) == 0)
            return strtoull(line + strlen(name), NULL, 16);
    }
    CHECK(!"no such field");
    return 0;
}

static void check_capabilities(struct child *child)
{
    uint64_t had = status_field("CapPrm:");
    uint64_t wanted =
        UINT64_C(1) << CAP_SYS_ADMIN | UINT64_C(1) << CAP_CHOWN | UINT64_C(1) << CAP_DAC_OVERRIDE;

    enter(child, &driver_sandbox_needs, SANDBOX_KILL);
    CHECK(status_field("CapEff:") == (had & wanted));
    CHECK(status_field("CapPrm:") == (had & wanted));
    CHECK(status_field("CapInh:") == 0 && status_field("CapAmb:") == 0);
    CHECK((status_field("CapBnd:") & ~wanted) == 0);
    CHECK(status_field("NoNewPrivs:") == 1 && status_field("Seccomp:") == 2);
    CHECK(is_in_metrics(child, "sandbox_active{part=\"capabilities\"} 1"));
}

static void the_driver_keeps_three_capabilities(void **state)
{
    (void)state;
    if (SANITIZED)
        skip_without(NO_FILTER);
    if (geteuid() != 0)
        skip_without("root");
    assert_child(check_capabilities);
}

static void enter_without_setpcap(struct child *child)
{
    static const int some[] = {CAP_SYS_ADMIN, CAP_CHOWN};

    CHECK(capabilities_keep(some, ARRAY_SIZE(some), NULL) == 0);
    enter(child, &driver_sandbox_needs, SANDBOX_ON);
    CHECK(is_logged(child, "the sandbox is incomplete, continuing"));
    CHECK(is_logged(child, "missing=\"bounding_set: reduce the capability bounding set"));
    CHECK(status_field("Seccomp:") == 2);
    CHECK(is_in_metrics(child, "sandbox_active{part=\"bounding_set\"} 0"));
    CHECK(is_in_metrics(child, "sandbox_active{part=\"seccomp\"} 1"));
}

static void a_part_that_is_refused_is_named_and_left_out(void **state)
{
    (void)state;
    if (SANITIZED)
        skip_without(NO_FILTER);
    if (geteuid() != 0)
        skip_without("root");
    assert_child(enter_without_setpcap);
}

/* --- files and ports --- */

/* "in" is allowed, "out" is not. */
static struct scratch scratch;

static int try_connect(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    return connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
}

static int try_bind(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
    return bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
}

static int try_open(const char *name, int flags)
{
    cleanup_close int fd = open(name, flags | O_CLOEXEC, 0600);

    return fd >= 0 ? 0 : errno;
}

static void check_landlock(struct child *child)
{
    const struct landlock_path paths[] = {{"in", LANDLOCK_READ},
                                          {"sockets", LANDLOCK_SOCKETS},
                                          {"missing", LANDLOCK_READ},
                                          {NULL, LANDLOCK_READ}};
    const uint16_t ports[] = {9};
    const struct landlock_rules rules = {
        .paths = paths, .n_paths = ARRAY_SIZE(paths), .connect_ports = ports, .n_connect_ports = 1};
    const struct sandbox_needs needs = {.landlock = &rules};
    int bounds_ports = landlock_bounds_ports(landlock_version());

    CHECK(chdir(scratch.dir) == 0);
    enter(child, &needs, SANDBOX_KILL);
    CHECK(try_open("in/file", O_RDONLY) == 0);
    CHECK(try_open("in/file", O_WRONLY) == EACCES);
    CHECK(try_open("in/new", O_WRONLY | O_CREAT) == EACCES);
    CHECK(try_open("out/file", O_RDONLY) == EACCES);
    CHECK(try_open("in/link", O_RDONLY) == EACCES); /* which leads out */
    CHECK(try_bind("in/socket") == EACCES);
    CHECK(try_bind("sockets/socket") == 0);
    CHECK(rename("sockets/socket", "sockets/renamed") == 0);
    CHECK(unlink("sockets/renamed") == 0);
    if (bounds_ports) {
        CHECK(try_connect(9) == ECONNREFUSED);
        CHECK(try_connect(10) == EACCES);
    }
    CHECK(is_in_metrics(child, "sandbox_active{part=\"landlock\"} 1"));
}

static void files_and_ports_are_those_of_the_rules(void **state)
{
    (void)state;
    if (landlock_version() == 0)
        skip_without("a kernel with Landlock");
    assert_int_equal(scratch_make(&scratch), 0);
    assert_int_equal(
        scratch_run(&scratch, "mkdir in out sockets && touch in/file out/file && ln -s ../out/file in/link"),
        0);
    assert_child(check_landlock);
    (void)scratch_remove(&scratch);
}

/* --- the flag --- */

static void the_modes_are_on_kill_and_off(void **state)
{
    enum sandbox_mode mode = SANDBOX_OFF;
    struct error *error = NULL;

    (void)state;
    assert_int_equal(sandbox_mode_parse("on", &mode, NULL), 0);
    assert_int_equal(mode, SANDBOX_ON);
    assert_int_equal(sandbox_mode_parse("kill", &mode, NULL), 0);
    assert_int_equal(mode, SANDBOX_KILL);
    assert_int_equal(sandbox_mode_parse("off", &mode, NULL), 0);
    assert_int_equal(mode, SANDBOX_OFF);
    assert_int_equal(sandbox_mode_parse("ON", &mode, &error), -1);
    assert_string_equal(error_message(error), "--sandbox ON is not one of on, kill, off");
    error_free(error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_call_fails_and_is_logged_and_counted),
        cmocka_unit_test(threads_start_and_are_in_the_sandbox),
        cmocka_unit_test(with_kill_a_refused_call_ends_the_process),
        cmocka_unit_test(nothing_can_be_executed_or_escaped_to),
        cmocka_unit_test(calls_that_libraries_only_try_are_absent_not_refused),
        cmocka_unit_test(a_call_without_a_name_has_its_number),
        cmocka_unit_test(the_driver_keeps_three_capabilities),
        cmocka_unit_test(a_part_that_is_refused_is_named_and_left_out),
        cmocka_unit_test(files_and_ports_are_those_of_the_rules),
        cmocka_unit_test(the_modes_are_on_kill_and_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
