/*
 * test_file.c - small files, whole and bounded.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"

enum { NOBODY = 65534 };

static char directory[] = "/tmp/test_file.XXXXXX";
static int directory_fd = -1;

static int make_directory(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return directory_fd < 0 ? -1 : 0;
}

static int remove_directory(void **state)
{
    (void)state;
    static const char *const names[] = {"file", "link", "dangling", "fifo", "secret"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        (void)unlinkat(directory_fd, names[i], 0);
    (void)unlinkat(directory_fd, "dir", AT_REMOVEDIR);
    (void)close(directory_fd);
    return rmdir(directory);
}

static void write_file(const char *name, const void *bytes, size_t len)
{
    cleanup_close int fd = openat(directory_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
}

/* Around the size of one chunk and around the limit, NUL bytes included. */
static void a_file_up_to_the_limit_is_read_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 255, 256, 16383, 16384, 16385, 40000};
    static uint8_t content[40000];
    for (size_t i = 0; i < sizeof(content); i++)
        content[i] = (uint8_t)(i * 31 % 251);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        write_file("file", content, sizes[i]);
        cleanup_buffer struct buffer out;
        buffer_init(&out, 3);
        assert_int_equal(buffer_append(&out, "old", 3, NULL), 0);
        assert_int_equal(file_read_at(directory_fd, "file", sizes[i], &out, NULL), 0);
        assert_int_equal(out.len, sizes[i]);
        if (sizes[i] > 0)
            assert_memory_equal(out.data, content, sizes[i]);
        assert_int_equal(buffer_str(&out)[out.len], '\0');
        if (sizes[i] == 0)
            continue;

        cleanup_error struct error *err = NULL;
        assert_int_equal(file_read_at(directory_fd, "file", sizes[i] - 1, &out, &err), -1);
        assert_int_equal(error_code(err), GRPC_STATUS_RESOURCE_EXHAUSTED);
        assert_int_equal(out.len, 0);
    }
}

static void links_are_followed_as_projected_volumes_need(void **state)
{
    (void)state;
    write_file("file", "token", 5);
    (void)unlinkat(directory_fd, "link", 0);
    assert_int_equal(symlinkat("file", directory_fd, "link"), 0);
    char path[100];
    (void)snprintf(path, sizeof(path), "%s/link", directory);
    cleanup_buffer struct buffer out;
    buffer_init(&out, 0);
    assert_int_equal(file_read(path, 100, &out, NULL), 0);
    assert_string_equal(buffer_str(&out), "token");
}

/* /proc files claim to be empty. */
static void a_file_that_hides_its_size_is_bounded_too(void **state)
{
    (void)state;
    cleanup_buffer struct buffer out;
    cleanup_error struct error *err = NULL;
    buffer_init(&out, 0);
    assert_int_equal(file_read("/proc/self/status", 100000, &out, NULL), 0);
    assert_memory_equal(out.data, "Name:", 5);
    assert_int_equal(file_read("/proc/self/status", 100, &out, &err), -1);
    assert_int_equal(error_code(err), GRPC_STATUS_RESOURCE_EXHAUSTED);
}

static void an_unreadable_file_is_an_error_with_its_kind_and_path(void **state)
{
    (void)state;
    write_file("file", "x", 1);
    (void)mkdirat(directory_fd, "dir", 0700);
    (void)mkfifoat(directory_fd, "fifo", 0600); /* nobody writes: a plain open would wait for ever */
    assert_int_equal(symlinkat("nowhere", directory_fd, "dangling"), 0);
    static const struct {
        const char *name;
        enum grpc_status code;
    } rows[] = {
        {"missing", GRPC_STATUS_NOT_FOUND},    {"dangling", GRPC_STATUS_NOT_FOUND},
        {"file/below", GRPC_STATUS_NOT_FOUND}, {"dir", GRPC_STATUS_INTERNAL},
        {"fifo", GRPC_STATUS_INTERNAL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buffer struct buffer out;
        cleanup_error struct error *err = NULL;
        buffer_init(&out, 0);
        assert_int_equal(file_read_at(directory_fd, rows[i].name, 100, &out, &err), -1);
        assert_int_equal(error_code(err), rows[i].code);
        assert_non_null(strstr(error_message(err), rows[i].name));
    }
}

static void a_file_that_is_not_ours_is_denied(void **state)
{
    (void)state;
    bool is_root = geteuid() == 0; /* who may read everything */
    write_file("secret", "x", 1);
    assert_int_equal(fchmodat(directory_fd, "secret", 0, 0), 0);
    cleanup_buffer struct buffer out;
    cleanup_error struct error *err = NULL;
    buffer_init(&out, 0);
    assert_int_equal(is_root ? seteuid(NOBODY) : 0, 0);
    int result = file_read_at(directory_fd, "secret", 100, &out, &err);
    assert_int_equal(is_root ? seteuid(0) : 0, 0);
    assert_int_equal(result, -1);
    assert_int_equal(error_code(err), GRPC_STATUS_PERMISSION_DENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_up_to_the_limit_is_read_whole),
        cmocka_unit_test(links_are_followed_as_projected_volumes_need),
        cmocka_unit_test(a_file_that_hides_its_size_is_bounded_too),
        cmocka_unit_test(an_unreadable_file_is_an_error_with_its_kind_and_path),
        cmocka_unit_test(a_file_that_is_not_ours_is_denied),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
