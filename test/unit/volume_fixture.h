/*
 * volume_fixture.h - for tests: a place for real mounts, and what the tests of volumes do and see there.
 *
 * Everything happens in a mount namespace of its own, below a tmpfs on /mnt: nothing is left behind, even by
 * a crash. /run, where volumes are staged, is another one, so that what is counted there is our own and not
 * that of a test or a driver that runs beside this one. `group_set_up` belongs to the group of tests,
 * `set_up` and `tear_down` to each test; a test that mounts begins with NEED_ROOT().
 */
#ifndef TEST_UNIT_VOLUME_FIXTURE_H
#define TEST_UNIT_VOLUME_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include "driver/volume/inherited_volumes.h"
#include "driver/volume/volume.h"
#include "driver/volume/volume_mount.h"
#include "driver/volume/volume_owner.h"

#define NO_GID  ((gid_t)-1)
#define TARGET  "/mnt/pods/uid/volumes/kubernetes.io~csi/web/mount"
#define OPTIONS ((struct volume_options){.gid = NO_GID, .last_checked_unix = 1700000000})

static const enum mount_method methods[] = {MOUNT_METHOD_DETACHED, MOUNT_METHOD_STAGED, MOUNT_METHOD_DIRECT};

static inline struct mount_methods only(enum mount_method method)
{
    return (struct mount_methods){method, method};
}

static bool may_mount;

static inline int group_set_up(void **state)
{
    (void)state;
    may_mount = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
                mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                mount("test", "/run", "tmpfs", 0, "mode=0755") == 0;
    if (!may_mount)
        (void)fprintf(stderr, "not root, or no mount namespaces here: the volume tests are skipped\n");
    return 0;
}

static inline int set_up(void **state)
{
    (void)state;
    return !may_mount || mount("test", "/mnt", "tmpfs", 0, "mode=0755") == 0 ? 0 : -1;
}

static inline int tear_down(void **state)
{
    (void)state;
    return !may_mount || umount2("/mnt", MNT_DETACH) == 0 ? 0 : -1;
}

#define NEED_ROOT()                                                                                          \
    do {                                                                                                     \
        if (!may_mount)                                                                                      \
            skip();                                                                                          \
    } while (0)

static inline struct payload one_file(const char *path, const char *text)
{
    struct payload payload = {0};
    assert_int_equal(payload_add(&payload, path, 0644, secret_from_bytes(text, strlen(text)), NULL), 0);
    assert_int_equal(payload_seal(&payload, NULL), 0);
    return payload;
}

static inline struct payload big_file(const char *path, size_t size, int fill)
{
    struct payload payload = {0};
    struct secret *contents = secret_create(size);
    assert_non_null(contents);
    memset(secret_data(contents), fill, size);
    assert_int_equal(payload_add(&payload, path, 0644, contents, NULL), 0);
    assert_int_equal(payload_seal(&payload, NULL), 0);
    return payload;
}

#define MUST(call)                                                                                           \
    do {                                                                                                     \
        cleanup_error struct error *err = NULL;                                                              \
        if ((call) < 0)                                                                                      \
            fail_msg("%s: %s", #call, error_message(err));                                                   \
    } while (0)

#define MUST_FAIL(call, expected)                                                                            \
    do {                                                                                                     \
        cleanup_error struct error *err = NULL;                                                              \
        assert_int_equal((call), -1);                                                                        \
        if (error_code(err) != (expected))                                                                   \
            fail_msg("%s: code %d: %s", #call, (int)error_code(err), error_message(err));                    \
    } while (0)

static inline void publish(enum mount_method method, const char *target, const char *path, const char *text)
{
    cleanup_payload struct payload payload = one_file(path, text);
    struct volume_options options = OPTIONS;
    MUST(volume_publish_with(only(method), target, &payload, &options, &err));
}

static inline bool update(const char *target, const char *path, const char *text)
{
    cleanup_payload struct payload payload = one_file(path, text);
    struct volume_options options = OPTIONS;
    bool changed = false;
    MUST(volume_update(target, &payload, &options, &changed, &err));
    return changed;
}

static inline enum volume_condition state_at(const char *target)
{
    enum volume_condition state = VOLUME_ABSENT;
    MUST(volume_inspect(target, &state, &err));
    return state;
}

static inline void assert_text(const char *path, const char *text)
{
    char buffer[64] = "";
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail_msg("cannot open %s", path);
    assert_int_equal(read(fd, buffer, sizeof(buffer)), strlen(text));
    assert_memory_equal(buffer, text, strlen(text));
}

static inline void write_text(const char *path, const char *text)
{
    cleanup_close int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        fail_msg("cannot write %s", path);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static inline void make_directories(const char *path)
{
    char copy[256];
    (void)snprintf(copy, sizeof(copy), "%s", path);
    for (char *slash = strchr(copy + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_true(mkdir(copy, 0755) == 0 || errno == EEXIST);
        *slash = '/';
    }
    assert_true(mkdir(copy, 0750) == 0 || errno == EEXIST);
}

static inline void make_target(void)
{
    make_directories(TARGET);
}

/* With its file "f" that contains "one". */
static inline void mount_of_the_go_driver(const char *target)
{
    char path[256];
    make_directories(target);
    assert_int_equal(mount("tmpfs", target, "tmpfs", 0, NULL), 0);
    (void)snprintf(path, sizeof(path), "%s/..2026_04_29_10_11_12.1234567890", target);
    assert_int_equal(mkdir(path, 0755), 0);
    (void)snprintf(path, sizeof(path), "%s/..data", target);
    assert_int_equal(symlink("..2026_04_29_10_11_12.1234567890", path), 0);
    (void)snprintf(path, sizeof(path), "%s/..data/f", target);
    write_text(path, "one");
    (void)snprintf(path, sizeof(path), "%s/f", target);
    assert_int_equal(symlink("..data/f", path), 0);
}

static inline bool exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

/* How often `needle` occurs in the lines of mountinfo for this mount point. */
static inline int mounts_at(const char *path, const char *needle)
{
    char line[4096], wanted[256];
    (void)snprintf(wanted, sizeof(wanted), " %s ", path);
    cleanup_file FILE *file = fopen("/proc/self/mountinfo", "re");
    assert_non_null(file);
    int n = 0;
    while (fgets(line, sizeof(line), file) != NULL)
        n += strstr(line, wanted) != NULL && strstr(line, needle) != NULL;
    return n;
}

static inline int leftover_staging(void)
{
    int n = 0;
    cleanup_dir DIR *dir = opendir("/run");
    assert_non_null(dir);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        n += strncmp(e->d_name, "secrets-store.", 14) == 0;
    return n;
}

static inline int open_fds(void)
{
    cleanup_dir DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    int n = 0;
    while (readdir(dir) != NULL)
        n++;
    return n;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
