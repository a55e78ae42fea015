/*
 * test_socket_file.c - what killed processes have left next to the path of a socket, and what another process
 * does there at the same time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/grpc/socket_file.h"

enum { NAMES = 100 }; /* temporary names of one process */

static char directory[] = "/tmp/test_socket_file.XXXXXX";

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) != NULL ? 0 : -1;
}

/* How many files there are, and then none. */
static int empty_directory(void)
{
    int n = 0;
    DIR *dir = opendir(directory);
    assert_non_null(dir);
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        assert_int_equal(unlinkat(dirfd(dir), entry->d_name, 0), 0);
        n++;
    }
    assert_int_equal(closedir(dir), 0);
    return n;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

/* A bound socket at a temporary name of this process, made `age_s` seconds ago. Returns its descriptor. */
static int leave(int number, int age_s)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timespec times[2] = {{.tv_sec = time(NULL) - age_s}, {.tv_sec = time(NULL) - age_s}};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/.%x.%x", directory, (unsigned)getpid(),
                   (unsigned)number);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(utimensat(AT_FDCWD, address.sun_path, times, 0), 0);
    return fd;
}

/* Another process finds the first temporary name to be a leftover, and takes it: in the middle of a call. */
static int replaces_in_socket, replaces_in_listen; /* in which call from now on; 0: in none */
static int replacement = -1;

static void replace_now(void)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/.%x.0", directory, (unsigned)getpid());
    assert_int_equal(unlink(path), 0);
    replacement = leave(0, 0);
}

/* Takes the place of the C library's. */
int socket(int domain, int type, int protocol)
{
    if (replaces_in_socket > 0 && --replaces_in_socket == 0)
        replace_now();
    return (int)syscall(SYS_socket, domain, type, protocol);
}

/* Likewise. */
int listen(int fd, int backlog)
{
    if (replaces_in_listen > 0 && --replaces_in_listen == 0)
        replace_now();
    return (int)syscall(SYS_listen, fd, backlog);
}

static int listen_there(void)
{
    cleanup_error struct error *error = NULL;
    struct socket_file file;
    char path[64];
    (void)snprintf(path, sizeof(path), "%s/it.sock", directory);
    assert_int_equal(socket_file_init(&file, path, 0600, &error), 0);
    int fd = socket_file_listen(&file, SOCKET_FILE_REPLACE, &error);
    socket_file_finish(&file);
    return fd;
}

static void what_a_killed_process_has_left_is_replaced(void **state)
{
    (void)state;
    for (int i = 0; i < NAMES; i++)
        (void)close(leave(i, 3600));
    cleanup_close int fd = listen_there();
    assert_true(fd >= 0);
    assert_int_equal(empty_directory(), NAMES); /* one name is free again, and the socket is there */
}

static void a_name_that_another_process_may_use_stays(void **state)
{
    (void)state;
    int bound = leave(0, 1), listening = leave(1, 3600);
    assert_int_equal(listen(listening, 1), 0);
    cleanup_close int fd = listen_there();
    assert_true(fd >= 0);
    assert_int_equal(empty_directory(), 3);
    (void)close(bound);
    (void)close(listening);
}

static void a_name_that_another_process_takes_before_the_rename_stays(void **state)
{
    (void)state;
    replaces_in_listen = 1;
    assert_int_equal(listen_there(), -1);
    assert_int_equal(empty_directory(), 1);
    (void)close(replacement);
}

static void a_leftover_that_another_process_replaces_stays(void **state)
{
    (void)state;
    (void)close(leave(0, 3600));
    replaces_in_socket = 2; /* the one that connects to the leftover */
    cleanup_close int fd = listen_there();
    assert_true(fd >= 0);
    assert_int_equal(empty_directory(), 2);
    (void)close(replacement);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_killed_process_has_left_is_replaced),
        cmocka_unit_test(a_name_that_another_process_may_use_stays),
        cmocka_unit_test(a_name_that_another_process_takes_before_the_rename_stays),
        cmocka_unit_test(a_leftover_that_another_process_replaces_stays),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
