/*
 * test_payload_write.c - publishing into a directory: what is there afterwards, and after interruptions.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "test/unit/payload_entries.h"
#include "test/unit/skip.h"

#define NO_GID ((gid_t)-1)

struct fixture {
    char path[64];
    int fd;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    (void)snprintf(fixture->path, sizeof(fixture->path), "/tmp/test_payload_write.XXXXXX");
    assert_non_null(mkdtemp(fixture->path));
    fixture->fd = open(fixture->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(fixture->fd >= 0);
    *state = fixture;
    return 0;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    (void)close(fixture->fd);
    (void)nftw(fixture->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(fixture);
    return 0;
}

static bool publish_gid(int fd, const struct entry *entries, gid_t gid)
{
    cleanup_payload struct payload payload = make_payload(entries);
    cleanup_error struct error *err = NULL;
    struct payload_write_options options = {.gid = gid};
    bool changed = false;
    if (payload_write(fd, &payload, &options, &changed, &err) < 0)
        fail_msg("%s", error_message(err));
    return changed;
}

static bool publish(int fd, const struct entry *entries)
{
    return publish_gid(fd, entries, NO_GID);
}

static void assert_text(int fd, const char *path, const char *text)
{
    char buffer[256];
    cleanup_close int file = openat(fd, path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        fail_msg("cannot open %s", path);
    ssize_t n = read(file, buffer, sizeof(buffer));
    assert_int_equal(n, strlen(text));
    assert_memory_equal(buffer, text, strlen(text));
}

static void assert_link(int fd, const char *path, const char *target)
{
    char buffer[300];
    ssize_t n = readlinkat(fd, path, buffer, sizeof(buffer) - 1);
    assert_true(n >= 0);
    buffer[n] = '\0';
    assert_string_equal(buffer, target);
}

static bool exists(int fd, const char *path)
{
    struct stat info;
    return fstatat(fd, path, &info, AT_SYMLINK_NOFOLLOW) == 0;
}

static mode_t mode_of(int fd, const char *path)
{
    struct stat info;
    assert_int_equal(fstatat(fd, path, &info, 0), 0);
    return info.st_mode & 07777;
}

static void version_of(int fd, char name[64])
{
    ssize_t n = readlinkat(fd, "..data", name, 63);
    assert_true(n > 0);
    name[n] = '\0';
}

static size_t count_entries(int fd)
{
    cleanup_dir DIR *dir = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    assert_non_null(dir);
    size_t n = 0;
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    return n;
}

static const struct entry two_files[] = {{"name1", 0640, "one"}, {"sub/name2", 0400, "two"}, {0}};

static void the_layout_is_the_one_of_kubernetes(void **state)
{
    const struct fixture *f = *state;
    mode_t old_umask = umask(0077);
    assert_true(publish(f->fd, two_files));
    (void)umask(old_umask);
    assert_link(f->fd, "name1", "..data/name1");
    assert_link(f->fd, "sub", "..data/sub");
    assert_text(f->fd, "name1", "one");
    assert_text(f->fd, "sub/name2", "two");
    assert_int_equal(mode_of(f->fd, "name1"), 0640);
    assert_int_equal(mode_of(f->fd, "sub/name2"), 0400);
    assert_int_equal(mode_of(f->fd, "sub"), 0755);
    assert_int_equal(mode_of(f->fd, "..data"), 0755);
    char version[64];
    version_of(f->fd, version);
    int y, mo, d, h, mi, s, used = 0;
    unsigned long long random;
    assert_int_equal(
        sscanf(version, "..%4d_%2d_%2d_%2d_%2d_%2d.%llu%n", &y, &mo, &d, &h, &mi, &s, &random, &used), 7);
    assert_int_equal((size_t)used, strlen(version));
    assert_int_equal(count_entries(f->fd), 4);
    assert_true(payload_is_complete(f->fd));
}

static void an_empty_directory_is_not_complete(void **state)
{
    const struct fixture *f = *state;
    assert_false(payload_is_complete(f->fd));
    assert_int_equal(symlinkat("..2020_gone", f->fd, "..data"), 0);
    assert_false(payload_is_complete(f->fd));
}

static void a_missing_link_makes_it_incomplete_and_the_next_write_repairs_it(void **state)
{
    const struct fixture *f = *state;
    assert_true(publish(f->fd, two_files));
    assert_int_equal(unlinkat(f->fd, "sub", 0), 0);
    assert_false(payload_is_complete(f->fd));
    assert_true(publish(f->fd, two_files));
    assert_true(payload_is_complete(f->fd));
}

static void the_same_payload_writes_nothing(void **state)
{
    const struct fixture *f = *state;
    char before[64], after[64];
    struct stat info_before, info_after;
    assert_true(publish(f->fd, two_files));
    version_of(f->fd, before);
    assert_int_equal(fstat(f->fd, &info_before), 0);
    assert_false(publish(f->fd, two_files));
    version_of(f->fd, after);
    assert_int_equal(fstat(f->fd, &info_after), 0);
    assert_string_equal(before, after);
    assert_memory_equal(&info_before.st_mtim, &info_after.st_mtim, sizeof(info_before.st_mtim));
}

static void every_kind_of_difference_is_a_change(void **state)
{
    const struct fixture *f = *state;
    static const struct entry bytes[] = {{"name1", 0640, "ONE"}, {"sub/name2", 0400, "two"}, {0}};
    static const struct entry longer[] = {{"name1", 0640, "one more"}, {"sub/name2", 0400, "two"}, {0}};
    static const struct entry mode[] = {{"name1", 0600, "one"}, {"sub/name2", 0400, "two"}, {0}};
    static const struct entry more[] = {
        {"name1", 0640, "one"}, {"sub/name2", 0400, "two"}, {"sub/name3", 0400, ""}, {0}};
    static const struct entry fewer[] = {{"name1", 0640, "one"}, {0}};
    static const struct entry moved[] = {{"name1", 0640, "one"}, {"sub/name3", 0400, "two"}, {0}};
    static const struct entry *const variants[] = {bytes, longer, mode, more, fewer, moved};
    for (size_t i = 0; i < ARRAY_SIZE(variants); i++) {
        (void)publish(f->fd, two_files);
        assert_true(publish(f->fd, variants[i]));
        assert_false(publish(f->fd, variants[i]));
        for (const struct entry *e = variants[i]; e->path != NULL; e++) {
            assert_text(f->fd, e->path, e->text);
            assert_int_equal(mode_of(f->fd, e->path), e->mode);
        }
        assert_true(payload_is_complete(f->fd));
    }
}

static void an_update_removes_the_old_version_and_stale_links(void **state)
{
    const struct fixture *f = *state;
    static const struct entry next[] = {{"other", 0644, "3"}, {0}};
    char old[64];
    assert_true(publish(f->fd, two_files));
    version_of(f->fd, old);
    assert_true(publish(f->fd, next));
    assert_false(exists(f->fd, old));
    assert_false(exists(f->fd, "name1"));
    assert_false(exists(f->fd, "sub"));
    assert_text(f->fd, "other", "3");
    assert_int_equal(count_entries(f->fd), 3);
}

static void a_path_may_change_between_file_and_directory(void **state)
{
    const struct fixture *f = *state;
    static const struct entry file[] = {{"x", 0644, "file"}, {0}};
    static const struct entry directory[] = {{"x/y", 0644, "below"}, {0}};
    assert_true(publish(f->fd, file));
    assert_true(publish(f->fd, directory));
    assert_text(f->fd, "x/y", "below");
    assert_true(publish(f->fd, file));
    assert_text(f->fd, "x", "file");
}

static void leftovers_of_interrupted_writes_are_swept_even_without_a_change(void **state)
{
    const struct fixture *f = *state;
    assert_true(publish(f->fd, two_files));
    assert_int_equal(symlinkat("..2020_01_01_00_00_00.1", f->fd, "..data_tmp"), 0);
    assert_int_equal(mkdirat(f->fd, "..2020_01_01_00_00_00.1", 0755), 0);
    (void)close(openat(f->fd, "..2020_01_01_00_00_00.1/secret", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(mkdirat(f->fd, "..links_tmp", 0755), 0);
    assert_int_equal(symlinkat("..data/x", f->fd, "..links_tmp/x"), 0);
    (void)close(openat(f->fd, "stray", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_false(publish(f->fd, two_files));
    assert_int_equal(count_entries(f->fd), 4);
    assert_true(payload_is_complete(f->fd));
}

static void plain_files_where_links_belong_are_replaced(void **state)
{
    const struct fixture *f = *state;
    (void)close(openat(f->fd, "name1", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(mkdirat(f->fd, "sub", 0755), 0);
    assert_int_equal(mkdirat(f->fd, "sub/deeper", 0755), 0);
    (void)close(openat(f->fd, "sub/deeper/name2", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(mkdirat(f->fd, "..data", 0755), 0);
    assert_true(publish(f->fd, two_files));
    assert_link(f->fd, "name1", "..data/name1");
    assert_link(f->fd, "sub", "..data/sub");
    assert_text(f->fd, "sub/name2", "two");
}

static void links_that_lead_outside_are_replaced_not_followed(void **state)
{
    const struct fixture *f = *state;
    char outside[] = "/tmp/test_payload_outside.XXXXXX";
    assert_non_null(mkdtemp(outside));
    cleanup_close int outside_fd = open(outside, O_PATH | O_CLOEXEC);
    (void)close(openat(outside_fd, "keep", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(symlinkat(outside, f->fd, "sub"), 0);
    assert_int_equal(symlinkat(outside, f->fd, "..data"), 0);
    assert_int_equal(symlinkat(outside, f->fd, "..data_tmp"), 0);
    assert_int_equal(symlinkat(outside, f->fd, "..links_tmp"), 0);
    assert_int_equal(symlinkat(outside, f->fd, "..2020_01_01_00_00_00.1"), 0);
    assert_false(payload_is_complete(f->fd));
    assert_true(publish(f->fd, two_files));
    assert_link(f->fd, "sub", "..data/sub");
    assert_true(exists(outside_fd, "keep"));
    assert_int_equal(count_entries(outside_fd), 1);
    assert_int_equal(count_entries(f->fd), 4);
    assert_int_equal(unlinkat(outside_fd, "keep", 0), 0);
    assert_int_equal(rmdir(outside), 0);
}

static void a_volume_of_the_go_driver_is_taken_over(void **state)
{
    const struct fixture *f = *state;
    static const char old[] = "..2026_04_29_10_11_12.1234567890";
    assert_int_equal(mkdirat(f->fd, old, 0755), 0);
    cleanup_close int version = openat(f->fd, old, O_PATH | O_CLOEXEC);
    cleanup_close int file = openat(version, "name1", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    assert_int_equal(write(file, "one", 3), 3);
    assert_int_equal(fchmod(file, 0644), 0);
    assert_int_equal(symlinkat("..data/name1", f->fd, "name1"), 0);
    assert_int_equal(symlinkat(old, f->fd, "..data"), 0);
    assert_true(payload_is_complete(f->fd));
    static const struct entry same[] = {{"name1", 0644, "one"}, {0}};
    static const struct entry next[] = {{"name1", 0644, "two"}, {0}};
    assert_false(publish(f->fd, same));
    assert_true(publish(f->fd, next));
    assert_text(f->fd, "name1", "two");
    assert_false(exists(f->fd, old));
}

static void a_group_gets_files_and_may_read_what_the_owner_may_read(void **state)
{
    const struct fixture *f = *state;
    if (geteuid() != 0)
        skip_without("root: chown");
    static const struct entry entries[] = {{"a", 0400, "1"}, {"d/b", 0200, "2"}, {"none", 0, "3"}, {0}};
    assert_true(publish_gid(f->fd, entries, 4711));
    assert_int_equal(mode_of(f->fd, "a"), 0440);
    assert_int_equal(mode_of(f->fd, "d/b"), 0200);
    assert_int_equal(mode_of(f->fd, "none"), 0);
    static const char *const paths[] = {"a", "d", "d/b", "none", "..data"};
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct stat info;
        assert_int_equal(fstatat(f->fd, paths[i], &info, 0), 0);
        assert_int_equal(info.st_gid, 4711);
    }
    assert_false(publish_gid(f->fd, entries, 4711));
    assert_true(publish_gid(f->fd, entries, 4712));
}

static void written_files_are_read_back(void **state)
{
    const struct fixture *f = *state;
    static const struct entry entries[] = {{"a", 0644, "1"}, {"d/b", 0600, "22"}, {"d/e/c", 0600, ""}, {0}};
    assert_true(publish(f->fd, entries));
    cleanup_payload struct payload read = {0};
    assert_int_equal(payload_read(f->fd, 3, &read, NULL), 0);
    assert_int_equal(read.n, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct payload_file *file = &read.files[i];
        const struct entry *expected = strcmp(file->path, "a") == 0     ? &entries[0]
                                       : strcmp(file->path, "d/b") == 0 ? &entries[1]
                                                                        : &entries[2];
        assert_string_equal(file->path, expected->path);
        assert_int_equal(file->mode, expected->mode);
        assert_int_equal(secret_len(file->contents), strlen(expected->text));
        assert_memory_equal(secret_bytes(file->contents), expected->text, strlen(expected->text));
    }
    cleanup_error struct error *err = NULL;
    assert_int_equal(payload_read(f->fd, 2, &read, &err), -1);
    assert_int_equal(error_code(err), GRPC_STATUS_RESOURCE_EXHAUSTED);
}

static void reading_an_empty_directory_finds_nothing(void **state)
{
    const struct fixture *f = *state;
    cleanup_payload struct payload read = {0};
    cleanup_error struct error *err = NULL;
    assert_int_equal(payload_read(f->fd, 100, &read, &err), -1);
    assert_int_equal(error_code(err), GRPC_STATUS_NOT_FOUND);
}

static void many_large_files_survive_rewriting(void **state)
{
    const struct fixture *f = *state;
    for (int round = 0; round < 2; round++) {
        cleanup_payload struct payload payload = {0};
        for (int i = 0; i < 300; i++) {
            char path[64];
            (void)snprintf(path, sizeof(path), "d%d/e/f%d", i % 7, i);
            struct secret *contents = secret_create((size_t)i * 131);
            memset(secret_data(contents), round + i, secret_len(contents));
            assert_int_equal(payload_add(&payload, path, 0644, contents, NULL), 0);
        }
        assert_int_equal(payload_seal(&payload, NULL), 0);
        struct payload_write_options options = {.gid = NO_GID};
        bool changed = false;
        assert_int_equal(payload_write(f->fd, &payload, &options, &changed, NULL), 0);
        assert_true(changed);
        assert_int_equal(payload_write(f->fd, &payload, &options, &changed, NULL), 0);
        assert_false(changed);
        cleanup_payload struct payload read = {0};
        assert_int_equal(payload_read(f->fd, 100 << 20, &read, NULL), 0);
        assert_int_equal(read.n, payload.n);
        for (size_t i = 0; i < read.n; i++) {
            assert_string_equal(read.files[i].path, payload.files[i].path);
            assert_true(secret_equal(read.files[i].contents, payload.files[i].contents));
        }
    }
}

/* attempt() writes into the root of a tmpfs of every number of inodes and of pages below `limits`, and
 * returns whether all was written: there have to be enough of both kinds. Needs root. */
static void fill_up(int limits, bool (*attempt)(int fd))
{
    unsigned failures = 0, successes = 0;
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0)
        skip_without("root, and a mount namespace of its own");
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    for (int i = 2; i < 2 * limits; i++) {
        char options[64];
        (void)snprintf(options, sizeof(options), i % 2 == 0 ? "nr_inodes=%d" : "size=%dk",
                       i % 2 == 0 ? i / 2 : 4 * (i / 2));
        assert_int_equal(mount("t", "/mnt", "tmpfs", 0, options), 0);
        cleanup_close int fd = open("/mnt", O_PATH | O_CLOEXEC);
        bool whole = attempt(fd);
        successes += whole;
        failures += !whole;
        (void)close(steal_fd(&fd));
        assert_int_equal(umount("/mnt"), 0);
    }
    assert_true(failures > 10);
    assert_true(successes > 10);
}

static const struct entry three_files[] = {{"b", 0644, "bbb"}, {"c/d", 0644, "ddd"}, {"e", 0644, "eee"}, {0}};

static bool update_in(int fd)
{
    static const struct entry old[] = {{"a", 0644, "old"}, {0}};
    cleanup_payload struct payload first = make_payload(old), second = make_payload(three_files);
    const struct payload_write_options options = {.gid = NO_GID};
    bool changed = false;
    cleanup_error struct error *err = NULL;
    if (payload_write(fd, &first, &options, &changed, &err) < 0) {
        assert_int_equal(error_code(err), GRPC_STATUS_RESOURCE_EXHAUSTED);
        assert_int_equal(count_entries(fd), 0);
        return false;
    }
    if (payload_write(fd, &second, &options, &changed, &err) < 0) {
        assert_int_equal(error_code(err), GRPC_STATUS_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(error_message(err), "12288 bytes"));
        assert_text(fd, "a", "old");
        assert_true(payload_is_complete(fd));
        assert_int_equal(count_entries(fd), 3);
        return false;
    }
    assert_text(fd, "c/d", "ddd");
    assert_int_equal(count_entries(fd), 5);
    return true;
}

static void a_full_file_system_keeps_the_old_content(void **state)
{
    (void)state;
    fill_up(40, update_in);
}

/* An update that compares everything finds nothing to do. */
static void a_new_directory_is_filled_as_an_update_fills_it(void **state)
{
    const struct fixture *f = *state;
    static const struct entry entries[] = {
        {"a", 0644, "one"}, {"b", 0400, ""}, {"dir/x", 0600, "two"}, {"dir/sub/y", 0640, "three"}, {0}};
    const gid_t gid = getegid();
    cleanup_payload struct payload payload = make_payload(entries);
    const struct payload_write_options options = {.gid = gid};
    assert_int_equal(payload_write_new(f->fd, &payload, &options, NULL), 0);
    assert_true(payload_is_complete(f->fd));
    assert_text(f->fd, "a", "one");
    assert_text(f->fd, "dir/sub/y", "three");
    assert_link(f->fd, "dir", "..data/dir");
    assert_int_equal(count_entries(f->fd), 5); /* three links, ..data, the version */
    assert_false(publish_gid(f->fd, entries, gid));
    static const struct entry next[] = {{"a", 0644, "newer"}, {0}};
    assert_true(publish_gid(f->fd, next, gid));
    assert_int_equal(count_entries(f->fd), 3);
}

static bool write_first_in(int fd)
{
    cleanup_payload struct payload payload = make_payload(three_files);
    const struct payload_write_options options = {.gid = NO_GID};
    cleanup_error struct error *err = NULL;
    bool whole = payload_write_new(fd, &payload, &options, &err) == 0;
    assert_int_equal(whole, payload_is_complete(fd) && exists(fd, "e"));
    assert_true(whole || error_code(err) == GRPC_STATUS_RESOURCE_EXHAUSTED);
    return whole;
}

static void a_full_file_system_fails_a_first_write(void **state)
{
    (void)state;
    fill_up(24, write_first_in);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_layout_is_the_one_of_kubernetes),
        TEST(an_empty_directory_is_not_complete),
        TEST(a_missing_link_makes_it_incomplete_and_the_next_write_repairs_it),
        TEST(the_same_payload_writes_nothing),
        TEST(every_kind_of_difference_is_a_change),
        TEST(an_update_removes_the_old_version_and_stale_links),
        TEST(a_path_may_change_between_file_and_directory),
        TEST(leftovers_of_interrupted_writes_are_swept_even_without_a_change),
        TEST(plain_files_where_links_belong_are_replaced),
        TEST(links_that_lead_outside_are_replaced_not_followed),
        TEST(a_volume_of_the_go_driver_is_taken_over),
        TEST(a_group_gets_files_and_may_read_what_the_owner_may_read),
        TEST(written_files_are_read_back),
        TEST(reading_an_empty_directory_finds_nothing),
        TEST(many_large_files_survive_rewriting),
        TEST(a_full_file_system_keeps_the_old_content),
        TEST(a_new_directory_is_filled_as_an_update_fills_it),
        TEST(a_full_file_system_fails_a_first_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
