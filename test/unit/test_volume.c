/*
 * test_volume.c - real mounts: publish, update, inspect, unpublish, by every method of this kernel.
 *
 * Everything happens in a mount namespace of its own, below a tmpfs on /mnt: nothing is left behind, even by
 * a crash. /run, where volumes are staged, is another one, so that what is counted there is our own and not
 * that of a test or a driver that runs beside this one.
 */
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

#define OTHER_TARGET "/mnt/pods/other/volumes/kubernetes.io~csi/web/mount"

#define NO_GID  ((gid_t)-1)
#define TARGET  "/mnt/pods/uid/volumes/kubernetes.io~csi/web/mount"
#define OPTIONS ((struct volume_options){.gid = NO_GID, .last_checked_unix = 1700000000})

static const enum mount_method methods[] = {MOUNT_METHOD_DETACHED, MOUNT_METHOD_STAGED, MOUNT_METHOD_DIRECT};

static struct mount_methods only(enum mount_method method)
{
    return (struct mount_methods){method, method};
}

static bool may_mount;

static int group_set_up(void **state)
{
    (void)state;
    may_mount = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
                mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                mount("test", "/run", "tmpfs", 0, "mode=0755") == 0;
    if (!may_mount)
        (void)fprintf(stderr, "not root, or no mount namespaces here: the volume tests are skipped\n");
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    return !may_mount || mount("test", "/mnt", "tmpfs", 0, "mode=0755") == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    return !may_mount || umount2("/mnt", MNT_DETACH) == 0 ? 0 : -1;
}

#define NEED_ROOT()                                                                                          \
    do {                                                                                                     \
        if (!may_mount)                                                                                      \
            skip();                                                                                          \
    } while (0)

static struct payload one_file(const char *path, const char *text)
{
    struct payload payload = {0};
    assert_int_equal(payload_add(&payload, path, 0644, secret_from_bytes(text, strlen(text)), NULL), 0);
    assert_int_equal(payload_seal(&payload, NULL), 0);
    return payload;
}

static struct payload big_file(const char *path, size_t size, int fill)
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

static void publish(enum mount_method method, const char *target, const char *path, const char *text)
{
    cleanup_payload struct payload payload = one_file(path, text);
    struct volume_options options = OPTIONS;
    MUST(volume_publish_with(only(method), target, &payload, &options, &err));
}

static bool update(const char *target, const char *path, const char *text)
{
    cleanup_payload struct payload payload = one_file(path, text);
    struct volume_options options = OPTIONS;
    bool changed = false;
    MUST(volume_update(target, &payload, &options, &changed, &err));
    return changed;
}

static enum volume_condition state_at(const char *target)
{
    enum volume_condition state = VOLUME_ABSENT;
    MUST(volume_inspect(target, &state, &err));
    return state;
}

static void assert_text(const char *path, const char *text)
{
    char buffer[64] = "";
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail_msg("cannot open %s", path);
    assert_int_equal(read(fd, buffer, sizeof(buffer)), strlen(text));
    assert_memory_equal(buffer, text, strlen(text));
}

static void write_text(const char *path, const char *text)
{
    cleanup_close int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        fail_msg("cannot write %s", path);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void make_directories(const char *path)
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

static void make_target(void)
{
    make_directories(TARGET);
}

/* With its file "f" that contains "one". */
static void mount_of_the_go_driver(const char *target)
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

static bool exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

/* How often `needle` occurs in the lines of mountinfo for this mount point. */
static int mounts_at(const char *path, const char *needle)
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

static int leftover_staging(void)
{
    int n = 0;
    cleanup_dir DIR *dir = opendir("/run");
    assert_non_null(dir);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        n += strncmp(e->d_name, "secrets-store.", 14) == 0;
    return n;
}

static int open_fds(void)
{
    cleanup_dir DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    int n = 0;
    while (readdir(dir) != NULL)
        n++;
    return n;
}

static void the_life_of_a_volume_by_every_method(void **state)
{
    (void)state;
    NEED_ROOT();
    int staging = leftover_staging();
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        int fds = open_fds();
        assert_int_equal(state_at(TARGET), VOLUME_ABSENT);
        publish(methods[i], TARGET, "sub/name", "one");
        assert_int_equal(state_at(TARGET), VOLUME_PUBLISHED);
        assert_text(TARGET "/sub/name", "one");
        assert_int_equal(mounts_at(TARGET, " - tmpfs " VOLUME_SOURCE " "), 1);
        assert_int_equal(mounts_at(TARGET, " ro,nosuid,nodev,noexec"), 1);
        assert_int_equal(open(TARGET "/x", O_CREAT | O_WRONLY | O_CLOEXEC, 0600), -1);
        assert_int_equal(errno, EROFS);
        struct stat info;
        assert_int_equal(stat(TARGET, &info), 0);
        assert_int_equal(info.st_mode & 07777, 0755);

        cleanup_payload struct payload next = one_file("sub/name", "two");
        struct volume_options options = OPTIONS;
        bool changed = false;
        MUST(volume_update_with(only(methods[i]), TARGET, &next, &options, &changed, &err));
        assert_true(changed);
        MUST(volume_update_with(only(methods[i]), TARGET, &next, &options, &changed, &err));
        assert_false(changed);
        assert_text(TARGET "/sub/name", "two");
        assert_int_equal(mounts_at(TARGET, " ro,nosuid,nodev,noexec"), 1);

        MUST(volume_unpublish(TARGET, &err));
        assert_false(exists(TARGET));
        assert_true(exists("/mnt/pods/uid/volumes/kubernetes.io~csi/web"));
        MUST(volume_unpublish(TARGET, &err));
        assert_int_equal(open_fds(), fds);
        assert_int_equal(leftover_staging(), staging);
    }
}

static void every_method_can_take_over_from_every_other(void **state)
{
    (void)state;
    NEED_ROOT();
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(methods); j++) {
            publish(methods[i], TARGET, "f", "one");
            cleanup_payload struct payload next = big_file("f", 3 << 20, 'x');
            struct volume_options options = OPTIONS;
            bool changed = false;
            MUST(volume_update_with(only(methods[j]), TARGET, &next, &options, &changed, &err));
            assert_true(changed);
            assert_int_equal(mounts_at(TARGET, " ro,nosuid,nodev,noexec"), 1);
            MUST(volume_unpublish(TARGET, &err));
        }
    }
}

static void a_published_volume_is_not_published_over(void **state)
{
    (void)state;
    NEED_ROOT();
    publish(MOUNT_METHOD_DETACHED, TARGET, "f", "one");
    cleanup_payload struct payload payload = one_file("f", "two");
    struct volume_options options = OPTIONS;
    MUST_FAIL(volume_publish(TARGET, &payload, &options, &err), GRPC_STATUS_ALREADY_EXISTS);
    assert_text(TARGET "/f", "one");
    assert_int_equal(mounts_at(TARGET, "tmpfs"), 1);
}

static void an_update_does_not_replace_the_mount_or_disturb_open_files(void **state)
{
    (void)state;
    NEED_ROOT();
    publish(MOUNT_METHOD_DETACHED, TARGET, "f", "one");
    cleanup_close int held = open(TARGET, O_PATH | O_CLOEXEC);
    cleanup_close int reader = open(TARGET "/f", O_RDONLY | O_CLOEXEC);
    assert_true(update(TARGET, "f", "two"));
    char text[8] = "";
    assert_int_equal(read(reader, text, sizeof(text)), 3);
    assert_string_equal(text, "one");
    cleanup_close int through_old = openat(held, "f", O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(through_old, text, sizeof(text)), 3);
    assert_string_equal(text, "two");
}

static void an_empty_tmpfs_is_incomplete_and_replaced(void **state)
{
    (void)state;
    NEED_ROOT();
    for (int i = 0; i < 3; i++) { /* several stacked: races of an earlier life */
        make_target();
        assert_int_equal(mount("tmpfs", TARGET, "tmpfs", 0, NULL), 0);
    }
    assert_int_equal(state_at(TARGET), VOLUME_INCOMPLETE);
    publish(MOUNT_METHOD_DETACHED, TARGET, "f", "one");
    assert_int_equal(state_at(TARGET), VOLUME_PUBLISHED);
    assert_int_equal(mounts_at(TARGET, "tmpfs"), 1);
    MUST(volume_unpublish(TARGET, &err));
}

static void a_volume_whose_update_was_cut_short_keeps_its_mount(void **state)
{
    (void)state;
    NEED_ROOT();
    publish(MOUNT_METHOD_DETACHED, TARGET, "f", "one");
    assert_int_equal(mount(NULL, TARGET, NULL, MS_REMOUNT | MS_BIND, NULL), 0);
    assert_int_equal(unlink(TARGET "/f"), 0); /* the switch was made, the link not yet placed */
    assert_int_equal(state_at(TARGET), VOLUME_INCOMPLETE);
    cleanup_close int held = open(TARGET, O_PATH | O_CLOEXEC);
    publish(MOUNT_METHOD_DETACHED, TARGET, "f", "two");
    cleanup_close int file = openat(held, "f", O_RDONLY | O_CLOEXEC);
    char text[8] = "";
    assert_int_equal(read(file, text, sizeof(text)), 3);
    assert_string_equal(text, "two");
    assert_int_equal(mounts_at(TARGET, "tmpfs"), 1);
}

static void unpublish_removes_all_stacked_volumes(void **state)
{
    (void)state;
    NEED_ROOT();
    make_target();
    for (int i = 0; i < 3; i++) /* of the Go driver, when it was called twice at once */
        assert_int_equal(mount("tmpfs", TARGET, "tmpfs", 0, NULL), 0);
    assert_int_equal(mount(VOLUME_SOURCE, TARGET, "tmpfs", 0, NULL), 0);
    MUST(volume_unpublish(TARGET, &err));
    assert_false(exists(TARGET));
    assert_int_equal(mounts_at(TARGET, ""), 0);
}

static void volumes_that_were_there_count_until_they_go(void **state)
{
    static const char other[] = "/mnt/pods/uid2/volumes/kubernetes.io~csi/web/mount";
    const uint64_t files = 40 * 4096, kib = 1024;
    cleanup_payload struct payload payload = big_file("big", files, 'x');
    struct volume_options options = OPTIONS;
    (void)state;
    NEED_ROOT();
    assert_null(inherited_volumes_find());
    MUST(volume_publish(TARGET, &payload, &options, &err));
    struct inherited_volumes *inherited = inherited_volumes_find();
    assert_non_null(inherited);
    publish(MOUNT_METHOD_DETACHED, other, "later", "counts elsewhere");
    assert_in_range(inherited_volumes_memory(inherited), files + 8 * kib, files + 20 * kib);
    MUST(volume_unpublish(TARGET, &err));
    assert_int_equal(inherited_volumes_memory(inherited), 0);
    MUST(volume_unpublish(other, &err));
    inherited_volumes_destroy(inherited);
}

static void a_volume_of_the_go_driver_is_ours(void **state)
{
    (void)state;
    NEED_ROOT();
    mount_of_the_go_driver(TARGET);
    assert_int_equal(state_at(TARGET), VOLUME_PUBLISHED);
    uint64_t checked = 1;
    MUST(volume_last_checked(TARGET, &checked, &err));
    assert_int_equal(checked, 0);
    assert_false(update(TARGET, "f", "one"));
    assert_true(update(TARGET, "f", "two"));
    assert_text(TARGET "/f", "two");
    MUST(volume_unpublish(TARGET, &err));
    assert_false(exists(TARGET));
}

/* Other programs' mounts, as mount(2) makes them at a target. */
static const struct {
    const char *name, *source, *type;
    unsigned long flags;
    const char *options;
} others[] = {
    {"a tmpfs with a name", "scratch", "tmpfs", 0, NULL},
    {"a small tmpfs", "tmpfs", "tmpfs", 0, "size=1m"},
    {"a tmpfs with a mode", "tmpfs", "tmpfs", 0, "mode=0700"},
    {"a tmpfs with flags", "tmpfs", "tmpfs", MS_NOSUID | MS_NODEV, NULL},
    {"a directory of another tmpfs", "/mnt/other/sub", NULL, MS_BIND, NULL},
    {"another tmpfs as a whole", "/mnt/other", NULL, MS_BIND, NULL},
    {"another pod's volume", OTHER_TARGET, NULL, MS_BIND, NULL},
    {"the host's files", "/usr", NULL, MS_BIND, NULL},
    {"proc", "proc", "proc", 0, NULL},
};

static void mount_other(size_t i)
{
    assert_int_equal(mount(others[i].source, TARGET, others[i].type, others[i].flags, others[i].options), 0);
    if (others[i].flags != MS_BIND && strcmp(others[i].type, "tmpfs") == 0)
        write_text(TARGET "/keep", "theirs");
}

static void set_up_others(void)
{
    assert_int_equal(mkdir("/mnt/other", 0755), 0);
    assert_int_equal(mount("tmpfs", "/mnt/other", "tmpfs", 0, NULL), 0);
    assert_int_equal(mkdir("/mnt/other/sub", 0755), 0);
    write_text("/mnt/other/keep", "theirs");
    write_text("/mnt/other/sub/keep", "theirs");
    publish(MOUNT_METHOD_DETACHED, OTHER_TARGET, "keep", "theirs");
}

static void assert_others_are_whole(size_t i)
{
    assert_text("/mnt/other/keep", "theirs");
    assert_text("/mnt/other/sub/keep", "theirs");
    assert_text(OTHER_TARGET "/keep", "theirs");
    if (others[i].type == NULL ? strcmp(others[i].source, "/usr") != 0 : strcmp(others[i].type, "tmpfs") == 0)
        assert_text(TARGET "/keep", "theirs");
}

static void mounts_of_others_are_left_alone(void **state)
{
    (void)state;
    NEED_ROOT();
    cleanup_payload struct payload payload = one_file("f", "x");
    struct volume_options options = OPTIONS;
    bool changed = false;
    set_up_others();
    make_target();
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        mount_other(i);
        if (state_at(TARGET) != VOLUME_FOREIGN)
            fail_msg("%s counts as a volume", others[i].name);
        MUST_FAIL(volume_publish(TARGET, &payload, &options, &err), GRPC_STATUS_FAILED_PRECONDITION);
        MUST_FAIL(volume_update(TARGET, &payload, &options, &changed, &err), GRPC_STATUS_FAILED_PRECONDITION);
        MUST_FAIL(volume_unpublish(TARGET, &err), GRPC_STATUS_FAILED_PRECONDITION);
        assert_int_equal(mounts_at(TARGET, ""), 1);
        assert_others_are_whole(i);
        assert_int_equal(umount2(TARGET, 0), 0);
    }
    MUST(volume_unpublish(OTHER_TARGET, &err));
}

static void mounts_of_others_over_a_volume_are_left_alone_with_it(void **state)
{
    (void)state;
    NEED_ROOT();
    cleanup_payload struct payload payload = one_file("f", "x");
    struct volume_options options = OPTIONS;
    bool changed = false;
    set_up_others();
    for (int of_go = 0; of_go < 2; of_go++) {
        if (of_go)
            mount_of_the_go_driver(TARGET);
        else
            publish(MOUNT_METHOD_DETACHED, TARGET, "f", "one");
        for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
            mount_other(i);
            if (state_at(TARGET) != VOLUME_COVERED)
                fail_msg("%s over a volume: %d", others[i].name, state_at(TARGET));
            MUST_FAIL(volume_publish(TARGET, &payload, &options, &err), GRPC_STATUS_FAILED_PRECONDITION);
            MUST_FAIL(volume_update(TARGET, &payload, &options, &changed, &err),
                      GRPC_STATUS_FAILED_PRECONDITION);
            MUST_FAIL(volume_unpublish(TARGET, &err), GRPC_STATUS_FAILED_PRECONDITION);
            assert_int_equal(mounts_at(TARGET, ""), 2);
            assert_others_are_whole(i);
            assert_int_equal(umount2(TARGET, 0), 0);
            assert_int_equal(state_at(TARGET), VOLUME_PUBLISHED);
            assert_text(TARGET "/f", "one");
        }
        MUST(volume_unpublish(TARGET, &err));
    }
    MUST(volume_unpublish(OTHER_TARGET, &err));
}

static void a_plain_tmpfs_over_a_marked_volume_is_not_the_go_drivers(void **state)
{
    (void)state;
    NEED_ROOT();
    publish(MOUNT_METHOD_DETACHED, TARGET, "f", "one");
    assert_int_equal(mount("tmpfs", TARGET, "tmpfs", 0, NULL), 0);
    assert_int_equal(state_at(TARGET), VOLUME_COVERED);
    MUST_FAIL(volume_unpublish(TARGET, &err), GRPC_STATUS_FAILED_PRECONDITION);
    assert_int_equal(mounts_at(TARGET, "tmpfs"), 2);
    assert_int_equal(umount2(TARGET, 0), 0);
    assert_text(TARGET "/f", "one");
}

static void a_volume_without_the_newest_mark_is_ours(void **state)
{
    (void)state;
    NEED_ROOT();
    static const char *const attributes[] = {VOLUME_TARGET_ATTRIBUTE, VOLUME_CHECKED_ATTRIBUTE};
    publish(MOUNT_METHOD_DETACHED, TARGET, "f", "one");
    assert_int_equal(mount(NULL, TARGET, NULL, MS_REMOUNT | MS_BIND, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(attributes); i++) {
        assert_int_equal(removexattr(TARGET, attributes[i]), 0);
        assert_int_equal(state_at(TARGET), VOLUME_PUBLISHED);
    }
    MUST(volume_unpublish(TARGET, &err));
}

static void at_other_paths_only_marks_count(void **state)
{
    (void)state;
    NEED_ROOT();
    static const char *const paths[] = {"/mnt/target", "/mnt/pods/uid/volumes/kubernetes.io~csi/web/mounts",
                                        "/mnt/pods/uid/volumes/kubernetes.io~secret/web/mount"};
    cleanup_payload struct payload payload = one_file("f", "x");
    struct volume_options options = OPTIONS;
    make_target();
    assert_int_equal(mkdir("/mnt/pods/uid/volumes/kubernetes.io~secret", 0755), 0);
    assert_int_equal(mkdir("/mnt/pods/uid/volumes/kubernetes.io~secret/web", 0755), 0);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        char kept[256];
        (void)snprintf(kept, sizeof(kept), "%s/f", paths[i]);
        mount_of_the_go_driver(paths[i]);
        assert_int_equal(state_at(paths[i]), VOLUME_FOREIGN);
        MUST_FAIL(volume_publish(paths[i], &payload, &options, &err), GRPC_STATUS_FAILED_PRECONDITION);
        MUST_FAIL(volume_unpublish(paths[i], &err), GRPC_STATUS_FAILED_PRECONDITION);
        assert_text(kept, "one");
        assert_int_equal(umount2(paths[i], 0), 0);
        publish(MOUNT_METHOD_DETACHED, paths[i], "f", "two");
        MUST(volume_unpublish(paths[i], &err));
        assert_false(exists(paths[i]));
        assert_int_equal(mkdir(paths[i], 0700), 0);
        MUST(volume_unpublish(paths[i], &err));
        assert_false(exists(paths[i]));
    }
}

static void at_other_paths_files_are_left_alone(void **state)
{
    (void)state;
    NEED_ROOT();
    cleanup_payload struct payload payload = one_file("f", "x");
    struct volume_options options = OPTIONS;
    assert_int_equal(mkdir("/mnt/home", 0755), 0);
    assert_int_equal(mkdir("/mnt/home/sub", 0755), 0);
    write_text("/mnt/home/sub/.precious", "kept");
    static const char *const paths[] = {"/mnt/home", "/mnt/home/sub"};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        MUST_FAIL(volume_unpublish(paths[i], &err), GRPC_STATUS_FAILED_PRECONDITION);
        MUST_FAIL(volume_publish(paths[i], &payload, &options, &err), GRPC_STATUS_FAILED_PRECONDITION);
        assert_text("/mnt/home/sub/.precious", "kept");
        assert_int_equal(mounts_at(paths[i], ""), 0);
    }
}

static void no_link_below_the_directory_of_the_pods_is_followed(void **state)
{
    (void)state;
    NEED_ROOT();
    static const char *const links[] = {"/mnt/pods/uid", "/mnt/pods/uid/volumes",
                                        "/mnt/pods/uid/volumes/kubernetes.io~csi",
                                        "/mnt/pods/uid/volumes/kubernetes.io~csi/web"};
    cleanup_payload struct payload payload = one_file("f", "x");
    struct volume_options options = OPTIONS;
    enum volume_condition found = VOLUME_ABSENT;
    make_target();
    write_text(TARGET "/keep", "kept");
    for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
        assert_int_equal(rename(links[i], "/mnt/aside"), 0);
        assert_int_equal(symlink("/mnt/aside", links[i]), 0);
        assert_text(TARGET "/keep", "kept");
        MUST_FAIL(volume_inspect(TARGET, &found, &err), GRPC_STATUS_FAILED_PRECONDITION);
        MUST_FAIL(volume_publish(TARGET, &payload, &options, &err), GRPC_STATUS_FAILED_PRECONDITION);
        MUST_FAIL(volume_unpublish(TARGET, &err), GRPC_STATUS_FAILED_PRECONDITION);
        assert_text(TARGET "/keep", "kept");
        assert_int_equal(unlink(links[i]), 0);
        assert_int_equal(rename("/mnt/aside", links[i]), 0);
    }
    assert_int_equal(rename("/mnt/pods", "/mnt/aside"), 0);
    assert_int_equal(symlink("aside", "/mnt/pods"), 0);
    MUST(volume_unpublish(TARGET, &err));
    assert_false(exists(TARGET));
    publish(MOUNT_METHOD_DETACHED, TARGET, "f", "one");
    assert_text("/mnt/aside/uid/volumes/kubernetes.io~csi/web/mount/f", "one");
    MUST(volume_unpublish(TARGET, &err));
}

static void other_mounts_links_and_files_are_foreign_and_left_alone(void **state)
{
    (void)state;
    NEED_ROOT();
    assert_int_equal(mkdir("/mnt/elsewhere", 0755), 0);
    assert_int_equal(mkdir("/mnt/proc", 0755), 0);
    assert_int_equal(mount("proc", "/mnt/proc", "proc", 0, NULL), 0);
    assert_int_equal(mkdir("/mnt/root", 0755), 0);
    assert_int_equal(mount("/usr", "/mnt/root", NULL, MS_BIND, NULL), 0);
    assert_int_equal(symlink("/mnt/elsewhere", "/mnt/link"), 0);
    assert_int_equal(close(open("/mnt/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    static const char *const targets[] = {"/mnt/proc", "/mnt/root", "/mnt/link", "/mnt/file"};
    cleanup_payload struct payload payload = one_file("f", "x");
    struct volume_options options = OPTIONS;
    bool changed = false;
    uint64_t checked = 0;
    struct volume_stats stats;
    for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
        assert_int_equal(state_at(targets[i]), VOLUME_FOREIGN);
        MUST_FAIL(volume_publish(targets[i], &payload, &options, &err), GRPC_STATUS_FAILED_PRECONDITION);
        MUST_FAIL(volume_update(targets[i], &payload, &options, &changed, &err),
                  GRPC_STATUS_FAILED_PRECONDITION);
        MUST_FAIL(volume_last_checked(targets[i], &checked, &err), GRPC_STATUS_NOT_FOUND);
        MUST_FAIL(volume_stats(targets[i], &stats, &err), GRPC_STATUS_NOT_FOUND);
        MUST_FAIL(volume_unpublish(targets[i], &err), GRPC_STATUS_FAILED_PRECONDITION);
        assert_true(exists(targets[i]));
    }
    assert_int_equal(mounts_at("/mnt/proc", " - proc "), 1);
    assert_int_equal(mounts_at("/mnt/root", "/usr"), 1);
    assert_true(exists("/mnt/elsewhere"));
    assert_int_equal(mounts_at("/mnt/elsewhere", ""), 0);
}

static void a_directory_bound_from_the_same_file_system_is_foreign_when_that_is_no_tmpfs(void **state)
{
    (void)state;
    NEED_ROOT();
    char base[] = "/var/tmp/test_volume.XXXXXX";
    assert_non_null(mkdtemp(base));
    assert_int_equal(mount(base, base, NULL, MS_BIND, NULL), 0);
    struct statvfs fs;
    assert_int_equal(statvfs(base, &fs), 0);
    enum volume_condition found = state_at(base);
    assert_int_equal(umount(base), 0);
    assert_int_equal(rmdir(base), 0);
    assert_int_equal(found, VOLUME_FOREIGN);
}

static void bad_target_paths_are_refused(void **state)
{
    (void)state;
    static const char *const paths[] = {"",        "relative",    "/",        "//",
                                        "/mnt/..", "/mnt/../etc", "/mnt/./x", "/mnt/x/."};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        enum volume_condition found;
        MUST_FAIL(volume_inspect(paths[i], &found, &err), GRPC_STATUS_INVALID_ARGUMENT);
        MUST_FAIL(volume_unpublish(paths[i], &err), GRPC_STATUS_INVALID_ARGUMENT);
    }
}

static void a_failed_publish_leaves_the_target_as_it_was(void **state)
{
    (void)state;
    NEED_ROOT();
    cleanup_payload struct payload payload = big_file("f", 1 << 20, 'x');
    struct volume_options options = {.gid = NO_GID, .size_limit = 64 << 10};
    int fds = open_fds(), staging = leftover_staging();
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        MUST_FAIL(volume_publish_with(only(methods[i]), TARGET, &payload, &options, &err),
                  GRPC_STATUS_RESOURCE_EXHAUSTED);
        assert_int_equal(state_at(TARGET), VOLUME_ABSENT);
    }
    assert_int_equal(mkdir(TARGET, 0700), 0);
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        MUST_FAIL(volume_publish_with(only(methods[i]), TARGET, &payload, &options, &err),
                  GRPC_STATUS_RESOURCE_EXHAUSTED);
        assert_int_equal(state_at(TARGET), VOLUME_UNMOUNTED);
    }
    assert_int_equal(mounts_at(TARGET, ""), 0);
    assert_int_equal(open_fds(), fds);
    assert_int_equal(leftover_staging(), staging);
}

static void the_volume_grows_for_a_larger_payload_but_not_past_a_ceiling(void **state)
{
    (void)state;
    NEED_ROOT();
    struct volume_stats before, after;
    publish(MOUNT_METHOD_DETACHED, TARGET, "f", "small");
    MUST(volume_stats(TARGET, &before, &err));
    assert_int_equal(before.total_bytes, VOLUME_MIN_SIZE);
    assert_true(before.used_bytes > 0 && before.used_bytes < 64 << 10);
    assert_true(before.used_inodes >= 5 && before.total_inodes >= 1024);
    struct volume_options options = OPTIONS;
    bool changed = false;
    for (size_t size = 1 << 20; size <= 16 << 20; size *= 2) {
        cleanup_payload struct payload payload = big_file("f", size, 'x');
        MUST(volume_update(TARGET, &payload, &options, &changed, &err));
        assert_true(changed);
        cleanup_payload struct payload same_size = big_file("f", size, 'y');
        MUST(volume_update(TARGET, &same_size, &options, &changed, &err));
    }
    MUST(volume_stats(TARGET, &after, &err));
    assert_true(after.used_bytes >= 16 << 20 && after.used_bytes < 17 << 20);

    cleanup_payload struct payload huge = big_file("f", 60 << 20, 'z');
    options.size_limit = 40 << 20;
    MUST_FAIL(volume_update(TARGET, &huge, &options, &changed, &err), GRPC_STATUS_RESOURCE_EXHAUSTED);
    MUST(volume_stats(TARGET, &after, &err));
    assert_int_equal(after.total_bytes, 40 << 20);
    assert_int_equal(state_at(TARGET), VOLUME_PUBLISHED);
}

static void the_volume_grows_for_more_files(void **state)
{
    (void)state;
    NEED_ROOT();
    publish(MOUNT_METHOD_DETACHED, TARGET, "f", "small");
    cleanup_payload struct payload payload = {0};
    for (int i = 0; i < 5000; i++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "d%d/f", i);
        assert_int_equal(payload_add(&payload, path, 0644, secret_from_bytes("x", 1), NULL), 0);
    }
    assert_int_equal(payload_seal(&payload, NULL), 0);
    struct volume_options options = OPTIONS;
    bool changed = false;
    MUST(volume_update(TARGET, &payload, &options, &changed, &err));
    assert_text(TARGET "/d4999/f", "x");
}

static void the_time_of_the_last_check_is_remembered_in_the_volume(void **state)
{
    (void)state;
    NEED_ROOT();
    uint64_t checked = 0;
    cleanup_free char *metadata = NULL;
    publish(MOUNT_METHOD_DETACHED, TARGET, "f", "one");
    MUST(volume_read_metadata(TARGET, &metadata, &err));
    assert_null(metadata);
    MUST(volume_last_checked(TARGET, &checked, &err));
    assert_int_equal(checked, 1700000000);
    MUST(volume_write_metadata(
        TARGET, &(struct volume_options){.gid = NO_GID, .last_checked_unix = 1800000000, .metadata = "{}"},
        &err));
    MUST(volume_read_metadata(TARGET, &metadata, &err));
    assert_string_equal(metadata, "{}");
    MUST(volume_last_checked(TARGET, &checked, &err));
    assert_int_equal(checked, 1800000000);
    assert_false(update(TARGET, "f", "one"));
    MUST(volume_last_checked(TARGET, &checked, &err));
    assert_int_equal(checked, 1700000000);
    assert_int_equal(mounts_at(TARGET, " ro,nosuid"), 1);
}

static void a_damaged_time_of_the_last_check_is_unknown(void **state)
{
    (void)state;
    NEED_ROOT();
    static const char *const texts[] = {"", "-1", "12x", " 12", "99999999999999999999999", "x"};
    make_target();
    assert_int_equal(mount("tmpfs", TARGET, "tmpfs", 0, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        uint64_t checked = 1;
        assert_int_equal(setxattr(TARGET, VOLUME_CHECKED_ATTRIBUTE, texts[i], strlen(texts[i]), 0), 0);
        MUST(volume_last_checked(TARGET, &checked, &err));
        assert_int_equal(checked, 0);
    }
}

static void the_group_of_the_pod_owns_the_root_directory(void **state)
{
    (void)state;
    NEED_ROOT();
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        cleanup_payload struct payload payload = one_file("f", "x");
        struct volume_options options = {.gid = 4711};
        MUST(volume_publish_with(only(methods[i]), TARGET, &payload, &options, &err));
        struct stat info;
        assert_int_equal(stat(TARGET, &info), 0);
        assert_int_equal(info.st_gid, 4711);
        assert_int_equal(stat(TARGET "/f", &info), 0);
        assert_int_equal(info.st_gid, 4711);
        MUST(volume_unpublish(TARGET, &err));
    }
}

static void a_busy_volume_is_unpublished_and_its_files_are_gone(void **state)
{
    (void)state;
    NEED_ROOT();
    publish(MOUNT_METHOD_DETACHED, TARGET, "f", "one");
    cleanup_close int held = open(TARGET, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int file = open(TARGET "/f", O_RDONLY | O_CLOEXEC);
    assert_true(file >= 0);
    MUST(volume_unpublish(TARGET, &err));
    assert_false(exists(TARGET));
    assert_int_equal(faccessat(held, "f", F_OK, AT_SYMLINK_NOFOLLOW), -1);
    assert_int_equal(faccessat(held, "..data", F_OK, AT_SYMLINK_NOFOLLOW), -1);
}

static void leftovers_in_an_unmounted_directory_do_not_keep_it(void **state)
{
    (void)state;
    NEED_ROOT();
    assert_int_equal(mkdir("/mnt/outside", 0755), 0);
    assert_int_equal(close(open("/mnt/outside/keep", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    make_target();
    assert_int_equal(mkdir(TARGET "/sub", 0755), 0);
    write_text(TARGET "/sub/.old", "old");
    assert_int_equal(symlink("/mnt/outside", TARGET "/link"), 0);
    MUST(volume_unpublish(TARGET, &err));
    assert_false(exists(TARGET));
    assert_true(exists("/mnt/outside/keep"));
}

static void a_mount_inside_an_unmounted_directory_is_not_entered(void **state)
{
    (void)state;
    NEED_ROOT();
    assert_int_equal(mkdir("/mnt/outside", 0755), 0);
    assert_int_equal(close(open("/mnt/outside/keep", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    make_target();
    assert_int_equal(mkdir(TARGET "/sub", 0755), 0);
    assert_int_equal(mount("/mnt/outside", TARGET "/sub", NULL, MS_BIND, NULL), 0);
    MUST_FAIL(volume_unpublish(TARGET, &err), GRPC_STATUS_INTERNAL);
    assert_true(exists("/mnt/outside/keep"));
}

static void below_a_shared_mount_the_volume_reaches_the_peer_read_only(void **state)
{
    (void)state;
    NEED_ROOT();
    assert_int_equal(mkdir("/mnt/shared", 0755), 0);
    assert_int_equal(mkdir("/mnt/peer", 0755), 0);
    assert_int_equal(mount("tmpfs", "/mnt/shared", "tmpfs", 0, NULL), 0);
    assert_int_equal(mount(NULL, "/mnt/shared", NULL, MS_SHARED, NULL), 0);
    assert_int_equal(mount("/mnt/shared", "/mnt/peer", NULL, MS_BIND, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        publish(methods[i], "/mnt/shared/v", "f", "one");
        assert_text("/mnt/peer/v/f", "one");
        if (methods[i] != MOUNT_METHOD_DIRECT) /* its peers stay writable, see volume_mount.h */
            assert_int_equal(mounts_at("/mnt/peer/v", " ro,nosuid,nodev,noexec"), 1);
        assert_true(update("/mnt/shared/v", "f", "two"));
        assert_text("/mnt/peer/v/f", "two");
        assert_int_equal(mounts_at("/mnt/peer/v", ""), 1);
        assert_int_equal(mounts_at("/mnt/shared/v", " ro,nosuid,nodev,noexec"), 1);
        MUST(volume_unpublish("/mnt/shared/v", &err));
        assert_int_equal(mounts_at("/mnt/peer/v", ""), 0);
        assert_false(exists("/mnt/peer/v"));
    }
}

static void where_staging_is_shared_the_direct_method_is_used(void **state)
{
    (void)state;
    NEED_ROOT();
    assert_int_equal(mount("tmpfs", "/run", "tmpfs", 0, NULL), 0);
    assert_int_equal(mount(NULL, "/run", NULL, MS_SHARED, NULL), 0);
    cleanup_payload struct payload payload = one_file("f", "x");
    struct volume_options options = OPTIONS;
    cleanup_error struct error *error = NULL;
    int result = volume_publish_with(only(MOUNT_METHOD_STAGED), TARGET, &payload, &options, &error);
    int staging = leftover_staging();
    assert_int_equal(umount2("/run", MNT_DETACH), 0);
    assert_int_equal(result, -1);
    assert_int_equal(error_code(error), GRPC_STATUS_UNIMPLEMENTED);
    assert_int_equal(state_at(TARGET), VOLUME_ABSENT);
    assert_int_equal(staging, leftover_staging());
}

static void parents_may_be_links_and_are_made_when_missing(void **state)
{
    (void)state;
    NEED_ROOT();
    assert_int_equal(mkdir("/mnt/real", 0755), 0);
    assert_int_equal(symlink("/mnt/real", "/mnt/kubelet"), 0);
    publish(MOUNT_METHOD_DETACHED, "/mnt/kubelet/a/b/mount/", "f", "one");
    assert_text("/mnt/real/a/b/mount/f", "one");
    struct stat info;
    assert_int_equal(stat("/mnt/real/a/b", &info), 0);
    assert_int_equal(info.st_mode & 07777 & ~0750U, 0);
    MUST(volume_unpublish("/mnt/kubelet/a/b/mount", &err));
    assert_int_equal(state_at("/mnt/real/nowhere/at/all"), VOLUME_ABSENT);
    MUST(volume_unpublish("/mnt/real/nowhere/at/all", &err));
}

static void the_kernel_offers_what_it_says(void **state)
{
    (void)state;
    NEED_ROOT();
    struct mount_features features = mount_features_probe();
    cleanup_payload struct payload payload = one_file("f", "x");
    struct volume_options options = OPTIONS;
    bool detached = volume_publish_with(only(MOUNT_METHOD_DETACHED), TARGET, &payload, &options, NULL) == 0;
    assert_int_equal(detached, features.detached_mount && features.mount_setattr);
    if (detached)
        assert_int_equal(mounts_at(TARGET, "noswap"), features.noswap);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_life_of_a_volume_by_every_method),
        TEST(every_method_can_take_over_from_every_other),
        TEST(a_published_volume_is_not_published_over),
        TEST(an_update_does_not_replace_the_mount_or_disturb_open_files),
        TEST(an_empty_tmpfs_is_incomplete_and_replaced),
        TEST(a_volume_whose_update_was_cut_short_keeps_its_mount),
        TEST(unpublish_removes_all_stacked_volumes),
        TEST(volumes_that_were_there_count_until_they_go),
        TEST(a_volume_of_the_go_driver_is_ours),
        TEST(mounts_of_others_are_left_alone),
        TEST(mounts_of_others_over_a_volume_are_left_alone_with_it),
        TEST(a_plain_tmpfs_over_a_marked_volume_is_not_the_go_drivers),
        TEST(a_volume_without_the_newest_mark_is_ours),
        TEST(at_other_paths_only_marks_count),
        TEST(at_other_paths_files_are_left_alone),
        TEST(no_link_below_the_directory_of_the_pods_is_followed),
        TEST(other_mounts_links_and_files_are_foreign_and_left_alone),
        TEST(a_directory_bound_from_the_same_file_system_is_foreign_when_that_is_no_tmpfs),
        TEST(bad_target_paths_are_refused),
        TEST(a_failed_publish_leaves_the_target_as_it_was),
        TEST(the_volume_grows_for_a_larger_payload_but_not_past_a_ceiling),
        TEST(the_volume_grows_for_more_files),
        TEST(the_time_of_the_last_check_is_remembered_in_the_volume),
        TEST(a_damaged_time_of_the_last_check_is_unknown),
        TEST(the_group_of_the_pod_owns_the_root_directory),
        TEST(a_busy_volume_is_unpublished_and_its_files_are_gone),
        TEST(leftovers_in_an_unmounted_directory_do_not_keep_it),
        TEST(a_mount_inside_an_unmounted_directory_is_not_entered),
        TEST(below_a_shared_mount_the_volume_reaches_the_peer_read_only),
        TEST(where_staging_is_shared_the_direct_method_is_used),
        TEST(parents_may_be_links_and_are_made_when_missing),
        TEST(the_kernel_offers_what_it_says),
    };
    return cmocka_run_group_tests(tests, group_set_up, NULL);
}
