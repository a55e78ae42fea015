/*
 * test_volume_owner.c - which mounts, links and files at a target path are volumes. Those of others are left
 * alone.
 */
#include "test/unit/volume_fixture.h"

#define OTHER_TARGET "/mnt/pods/other/volumes/kubernetes.io~csi/web/mount"

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
    for (size_t i = 0; i < ARRAY_SIZE(attributes); i++) {
        assert_int_equal(mount(NULL, TARGET, NULL, MS_REMOUNT | MS_BIND, NULL), 0);
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

/* What the event loop may find out by itself; everything else is for a worker. */
static void only_a_free_name_in_a_directory_of_the_kubelet_is_surely_absent(void **state)
{
    (void)state;
    NEED_ROOT();
    assert_false(volume_is_surely_absent(TARGET)); /* nor is its directory there */
    publish(MOUNT_METHOD_DETACHED, TARGET, "f", "one");
    assert_false(volume_is_surely_absent(TARGET));
    MUST(volume_unpublish(TARGET, &err));
    assert_true(volume_is_surely_absent(TARGET));
    assert_int_equal(mkdir(TARGET, 0755), 0);
    assert_false(volume_is_surely_absent(TARGET));
    assert_int_equal(rmdir(TARGET), 0);
    assert_int_equal(symlink("nowhere", TARGET), 0);
    assert_false(volume_is_surely_absent(TARGET));
    assert_int_equal(unlink(TARGET), 0);
    assert_true(volume_is_surely_absent(TARGET));
    assert_int_equal(symlink("uid", "/mnt/pods/link"), 0);
    assert_false(volume_is_surely_absent("/mnt/pods/link/volumes/kubernetes.io~csi/web/mount"));
    assert_false(volume_is_surely_absent("/mnt/of-another-shape"));
    assert_false(volume_is_surely_absent("/mnt/pods/uid/volumes/kubernetes.io~csi/web/../web/mount"));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        TEST(only_a_free_name_in_a_directory_of_the_kubelet_is_surely_absent),
        TEST(bad_target_paths_are_refused),
    };
    return cmocka_run_group_tests(tests, group_set_up, NULL);
}
