/*
 * test_volume_in_place.c - volumes whose updates rewrite their files in place: what bind mounts of them show,
 * as subPath makes them, and what an update that was cut short leaves.
 */
#include "test/unit/payload_entries.h"
#include "test/unit/volume_fixture.h"

#include <sys/inotify.h>

#define MARK       "trusted.secrets-store.in-place"
#define IN_PLACE   ((struct volume_options){.gid = NO_GID, .in_place = true, .last_checked_unix = 1700000000})
#define BOUND_FILE "/mnt/file"
#define BOUND_DIR  "/mnt/directory"

static void publish_files(enum mount_method method, const struct entry *entries)
{
    cleanup_payload struct payload payload = make_payload(entries);
    MUST(volume_publish_with(only(method), TARGET, &payload, &IN_PLACE, &err));
}

static bool update_files(struct volume_options options, const struct entry *entries)
{
    cleanup_payload struct payload payload = make_payload(entries);
    bool changed = false;
    MUST(volume_update(TARGET, &payload, &options, &changed, &err));
    return changed;
}

static struct stat stat_of(const char *path)
{
    struct stat info;
    if (lstat(path, &info) < 0)
        fail_msg("cannot stat %s", path);
    return info;
}

static void bind_mount(const char *from, const char *to, bool directory)
{
    if (directory)
        assert_int_equal(mkdir(to, 0755), 0);
    else
        write_text(to, "");
    assert_int_equal(mount(from, to, NULL, MS_BIND, NULL), 0);
}

static void unbind(const char *path)
{
    assert_int_equal(umount2(path, MNT_DETACH), 0);
    assert_int_equal(remove(path), 0);
}

/* Names in the root of the volume that start with "..". */
static int internal_names(void)
{
    int n = 0;
    cleanup_dir DIR *dir = opendir(TARGET);
    assert_non_null(dir);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
        n += strncmp(e->d_name, "..", 2) == 0 && e->d_name[2] != '\0';
    return n;
}

static void set_mark(const char *value)
{
    assert_int_equal(mount(NULL, TARGET, NULL, MS_REMOUNT | MS_BIND, NULL), 0);
    assert_int_equal(setxattr(TARGET, MARK, value, strlen(value), 0), 0);
    assert_int_equal(mount(NULL, TARGET, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
}

static const struct entry first[] = {{"f", 0644, "one"}, {"sub/a", 0600, "two"}, {"gone/x", 0644, "x"}, {0}};
static const struct entry second[] = {
    {"f", 0640, "a longer text"}, {"sub/a", 0600, "2"}, {"sub/b", 0644, "new"}, {0}};

static void bind_mounts_of_files_and_directories_follow(void **state)
{
    (void)state;
    NEED_ROOT();
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        int fds = open_fds();
        publish_files(methods[i], first);
        assert_int_equal(state_at(TARGET), VOLUME_PUBLISHED);
        assert_int_equal(internal_names(), 0);
        struct stat before = stat_of(TARGET "/f"), directory = stat_of(TARGET "/sub");
        assert_true(S_ISREG(before.st_mode) && S_ISDIR(directory.st_mode));
        bind_mount(TARGET "/f", BOUND_FILE, false);
        bind_mount(TARGET "/sub", BOUND_DIR, true);

        assert_true(update_files(IN_PLACE, second));
        assert_text(BOUND_FILE, "a longer text");
        assert_int_equal(stat_of(BOUND_FILE).st_mode & 07777, 0640);
        assert_text(BOUND_DIR "/a", "2");
        assert_text(BOUND_DIR "/b", "new");
        assert_int_equal(stat_of(TARGET "/f").st_ino, before.st_ino);
        assert_int_equal(stat_of(TARGET "/sub").st_ino, directory.st_ino);
        assert_false(exists(TARGET "/gone"));
        assert_int_equal(internal_names(), 0);
        assert_int_equal(state_at(TARGET), VOLUME_PUBLISHED);
        assert_int_equal(mounts_at(TARGET, " ro,nosuid,nodev,noexec"), 1);
        assert_int_equal(open(BOUND_FILE, O_WRONLY | O_CLOEXEC), -1);

        unbind(BOUND_FILE);
        unbind(BOUND_DIR);
        MUST(volume_unpublish(TARGET, &err));
        assert_false(exists(TARGET));
        assert_int_equal(open_fds(), fds);
    }
}

static void what_is_unchanged_is_not_written(void **state)
{
    static const struct entry other[] = {
        {"f", 0644, "one"}, {"sub/a", 0600, "!!!"}, {"gone/x", 0600, "x"}, {0}};
    char events[4096];
    (void)state;
    NEED_ROOT();
    publish_files(MOUNT_METHOD_DETACHED, first);
    cleanup_close int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    int same =
        inotify_add_watch(watch, TARGET "/f", IN_ALL_EVENTS & ~(IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE));
    int mode = inotify_add_watch(watch, TARGET "/gone/x", IN_MODIFY | IN_CLOSE_WRITE);
    assert_true(same >= 0 && mode >= 0);
    struct stat before = stat_of(TARGET "/f"), root = stat_of(TARGET);
    assert_false(update_files(IN_PLACE, first));
    assert_int_equal(stat_of(TARGET).st_mtim.tv_nsec, root.st_mtim.tv_nsec);
    assert_true(update_files(IN_PLACE, other));
    struct stat after = stat_of(TARGET "/f");
    assert_memory_equal(&after.st_ctim, &before.st_ctim, sizeof(before.st_ctim));
    assert_int_equal(stat_of(TARGET "/gone/x").st_mode & 07777, 0600);
    assert_text(TARGET "/sub/a", "!!!");
    assert_int_equal(read(watch, events, sizeof(events)), -1);
    assert_int_equal(errno, EAGAIN);
}

static void a_watcher_of_the_file_learns_when_it_is_complete(void **state)
{
    static const struct entry changed[] = {
        {"f", 0644, "seven"}, {"sub/a", 0600, "two"}, {"gone/x", 0644, "x"}, {0}};
    char events[4096];
    (void)state;
    NEED_ROOT();
    publish_files(MOUNT_METHOD_DETACHED, first);
    bind_mount(TARGET "/f", BOUND_FILE, false);
    cleanup_close int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    assert_true(inotify_add_watch(watch, BOUND_FILE, IN_CLOSE_WRITE) >= 0);
    assert_true(update_files(IN_PLACE, changed));
    assert_int_equal(read(watch, events, sizeof(events)), sizeof(struct inotify_event)); /* one */
    assert_text(BOUND_FILE, "seven");
}

static void a_path_may_change_between_file_and_directory(void **state)
{
    static const struct entry one[] = {{"a", 0644, "file"}, {"b/c/d", 0644, "deep"}, {"b/e", 0644, "e"}, {0}};
    static const struct entry two[] = {{"a/x/y", 0644, "deep now"}, {"b", 0644, "file now"}, {0}};
    (void)state;
    NEED_ROOT();
    publish_files(MOUNT_METHOD_DETACHED, one);
    for (int i = 0; i < 2; i++) {
        assert_true(update_files(IN_PLACE, two));
        assert_text(TARGET "/a/x/y", "deep now");
        assert_text(TARGET "/b", "file now");
        assert_true(update_files(IN_PLACE, one));
        assert_text(TARGET "/a", "file");
        assert_text(TARGET "/b/c/d", "deep");
        assert_text(TARGET "/b/e", "e");
        assert_false(update_files(IN_PLACE, one));
    }
}

/* The class is changed while containers have mounted files of the volume. */
static void the_layout_may_change_both_ways(void **state)
{
    static const struct entry third[] = {{"f", 0644, "three"}, {"sub/a", 0600, "3"}, {0}};
    static const struct entry fourth[] = {{"f", 0644, "four"}, {"sub/a", 0600, "4"}, {0}};
    (void)state;
    NEED_ROOT();
    cleanup_payload struct payload payload = make_payload(first);
    MUST(volume_publish(TARGET, &payload, &OPTIONS, &err));
    bind_mount(TARGET "/f", BOUND_FILE, false);
    bind_mount(TARGET "/sub", BOUND_DIR, true);
    assert_true(S_ISLNK(stat_of(TARGET "/f").st_mode));

    assert_true(update_files(IN_PLACE, second));
    assert_int_equal(internal_names(), 0);
    assert_int_equal(state_at(TARGET), VOLUME_PUBLISHED);
    assert_text(TARGET "/f", "a longer text");
    assert_text(BOUND_FILE, "a longer text");
    assert_text(BOUND_DIR "/b", "new");
    assert_true(update_files(IN_PLACE, third));
    assert_text(BOUND_FILE, "three");

    assert_true(update_files(OPTIONS, fourth));
    assert_true(S_ISLNK(stat_of(TARGET "/f").st_mode) && S_ISLNK(stat_of(TARGET "/sub").st_mode));
    assert_int_equal(state_at(TARGET), VOLUME_PUBLISHED);
    assert_text(TARGET "/f", "four");
    assert_text(TARGET "/sub/a", "4");
    assert_text(BOUND_FILE, "three"); /* what Kubernetes promises for subPath */
    assert_int_equal(getxattr(TARGET, MARK, NULL, 0), -1);

    assert_true(update_files(IN_PLACE, fourth)); /* the same content */
    assert_true(S_ISREG(stat_of(TARGET "/f").st_mode));
    assert_false(update_files(IN_PLACE, fourth));
    MUST(volume_unpublish(TARGET, &err));
}

static void a_volume_of_the_go_driver_is_converted(void **state)
{
    static const struct entry next[] = {{"f", 0644, "two"}, {"g", 0644, "g"}, {0}};
    (void)state;
    NEED_ROOT();
    mount_of_the_go_driver(TARGET);
    bind_mount(TARGET "/f", BOUND_FILE, false);
    assert_true(update_files(IN_PLACE, next));
    assert_text(BOUND_FILE, "two");
    assert_text(TARGET "/g", "g");
    assert_int_equal(state_at(TARGET), VOLUME_PUBLISHED);
    assert_false(update_files(IN_PLACE, next));
    MUST(volume_unpublish(TARGET, &err));
}

/* As after a driver that was killed while it rewrote the second file. */
static void a_torn_volume_is_incomplete_and_healed_in_place(void **state)
{
    cleanup_payload struct payload found = {0};
    enum volume_prepared prepared = VOLUME_PREPARED_NEW;
    struct volume_options options = IN_PLACE;
    (void)state;
    NEED_ROOT();
    publish_files(MOUNT_METHOD_DETACHED, first);
    bind_mount(TARGET "/f", BOUND_FILE, false);
    MUST(volume_read(TARGET, 1000, &found, &err));
    assert_int_equal(found.n, 3);
    set_mark("writing");
    assert_int_equal(mount(NULL, TARGET, NULL, MS_REMOUNT | MS_BIND, NULL), 0);
    write_text(TARGET "/sub/a", "tw");
    assert_int_equal(mkdir(TARGET "/..files_tmp", 0755), 0);
    write_text(TARGET "/..files_tmp/new", "half");
    assert_int_equal(mount(NULL, TARGET, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);

    assert_int_equal(state_at(TARGET), VOLUME_INCOMPLETE);
    assert_true(volume_may_be_in_use(TARGET));
    payload_finish(&found);
    MUST_FAIL(volume_read(TARGET, 1000, &found, &err), GRPC_STATUS_UNAVAILABLE);
    MUST(volume_prepare(TARGET, &options, &prepared, &err)); /* its provider is not let in */
    assert_int_equal(prepared, VOLUME_PREPARED_NOT);
    assert_int_equal(mounts_at(TARGET, " ro,"), 1);

    publish_files(MOUNT_METHOD_DETACHED, second); /* what the driver does with an incomplete volume */
    assert_int_equal(state_at(TARGET), VOLUME_PUBLISHED);
    assert_text(TARGET "/sub/a", "2");
    assert_text(BOUND_FILE, "a longer text");
    assert_int_equal(internal_names(), 0);

    set_mark("writing"); /* of the other layout now */
    assert_true(update_files(OPTIONS, first));
    assert_int_equal(state_at(TARGET), VOLUME_PUBLISHED);
    assert_true(S_ISLNK(stat_of(TARGET "/f").st_mode));
}

static void a_full_volume_keeps_the_old_content(void **state)
{
    struct volume_options options = IN_PLACE;
    (void)state;
    NEED_ROOT();
    options.size_limit = 1 << 20;
    for (int with_new = 0; with_new < 2; with_new++) {
        bool changed = false;
        cleanup_payload struct payload old = big_file("f", 600 << 10, 'o');
        MUST(volume_publish(TARGET, &old, &options, &err));
        bind_mount(TARGET "/f", BOUND_FILE, false);
        cleanup_payload struct payload next = big_file(with_new ? "g" : "f", 2 << 20, 'n');
        MUST_FAIL(volume_update(TARGET, &next, &options, &changed, &err), GRPC_STATUS_RESOURCE_EXHAUSTED);
        assert_false(changed);
        assert_int_equal(state_at(TARGET), VOLUME_PUBLISHED);
        assert_int_equal(internal_names(), 0);
        MUST(volume_update(TARGET, &old, &options, &changed, &err));
        assert_false(changed);

        /* There is no space for both side by side, and none is needed. */
        cleanup_payload struct payload larger = big_file("f", 900 << 10, 'l');
        MUST(volume_update(TARGET, &larger, &options, &changed, &err));
        assert_int_equal(stat_of(BOUND_FILE).st_size, 900 << 10);
        unbind(BOUND_FILE);
        MUST(volume_unpublish(TARGET, &err));
    }
}

static void the_group_of_the_pod_may_read(void **state)
{
    static const struct entry next[] = {{"f", 0400, "1"}, {"new/g", 0440, "2"}, {0}};
    struct volume_options options = IN_PLACE;
    (void)state;
    NEED_ROOT();
    options.gid = 3000;
    cleanup_payload struct payload payload = make_payload(first);
    MUST(volume_publish(TARGET, &payload, &options, &err));
    assert_int_equal(stat_of(TARGET "/sub/a").st_mode & 07777, 0640);
    assert_int_equal(stat_of(TARGET "/sub/a").st_gid, 3000);
    assert_true(update_files(options, next));
    assert_int_equal(stat_of(TARGET "/f").st_mode & 07777, 0440);
    assert_int_equal(stat_of(TARGET "/new").st_gid, 3000);
    assert_false(update_files(options, next));
    assert_true(update_files((struct volume_options){.gid = 4000, .in_place = true}, next));
    assert_int_equal(stat_of(TARGET "/f").st_gid, 4000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bind_mounts_of_files_and_directories_follow),
        TEST(what_is_unchanged_is_not_written),
        TEST(a_watcher_of_the_file_learns_when_it_is_complete),
        TEST(a_path_may_change_between_file_and_directory),
        TEST(the_layout_may_change_both_ways),
        TEST(a_volume_of_the_go_driver_is_converted),
        TEST(a_torn_volume_is_incomplete_and_healed_in_place),
        TEST(a_full_volume_keeps_the_old_content),
        TEST(the_group_of_the_pod_may_read),
    };
    return cmocka_run_group_tests(tests, group_set_up, NULL);
}
