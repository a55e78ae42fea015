/*
 * test_volume.c - real mounts: publish, update, inspect, unpublish, by every method of this kernel. Whose a
 * mount is: test_volume_owner.c.
 */
#include "test/unit/volume_fixture.h"

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

/* It makes the mount writable, and then removes what marks a complete volume. */
static void a_volume_whose_removal_was_cut_short_is_read_only_when_it_is_used_again(void **state)
{
    static const char *const removed[] = {NULL, TARGET "/f", TARGET "/..data"};
    (void)state;
    NEED_ROOT();
    for (size_t i = 0; i < ARRAY_SIZE(removed); i++) {
        publish(MOUNT_METHOD_DETACHED, TARGET, "f", "one");
        assert_int_equal(mount(NULL, TARGET, NULL, MS_REMOUNT | MS_BIND, NULL), 0);
        assert_int_equal(mounts_at(TARGET, " ro,"), 0);
        if (removed[i] == NULL) {
            assert_int_equal(state_at(TARGET), VOLUME_PUBLISHED);
        } else {
            assert_int_equal(unlink(removed[i]), 0);
            publish(MOUNT_METHOD_DETACHED, TARGET, "f", "one");
        }
        assert_text(TARGET "/f", "one");
        assert_int_equal(mounts_at(TARGET, " ro,"), 1);
        MUST(volume_unpublish(TARGET, &err));
    }
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
    const uint64_t files = UINT64_C(40) * 4096, kib = 1024;
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
    const struct CMUnitTest tests[] = {
        TEST(the_life_of_a_volume_by_every_method),
        TEST(every_method_can_take_over_from_every_other),
        TEST(a_published_volume_is_not_published_over),
        TEST(an_update_does_not_replace_the_mount_or_disturb_open_files),
        TEST(an_empty_tmpfs_is_incomplete_and_replaced),
        TEST(a_volume_whose_update_was_cut_short_keeps_its_mount),
        TEST(a_volume_whose_removal_was_cut_short_is_read_only_when_it_is_used_again),
        TEST(unpublish_removes_all_stacked_volumes),
        TEST(volumes_that_were_there_count_until_they_go),
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
