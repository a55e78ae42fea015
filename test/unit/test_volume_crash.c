/*
 * test_volume_crash.c - the driver killed at any time, and the next driver on its leftovers.
 *
 * A child does the work and is killed by SIGKILL after a random number of microseconds. Each round then does
 * what a restarted driver does (inspect, publish or update again, unpublish) and checks the outcome.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>

#include "driver/volume/volume.h"
#include "driver/volume/volume_mount.h"
#include "test/unit/skip.h"

#define TARGET "/mnt/target"

enum { ROUNDS = 200, FILES = 20, SPIN_US = 200 };

static int group_set_up(void **state)
{
    static bool may_mount;
    may_mount = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
                mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                mount("test", "/mnt", "tmpfs", 0, "mode=0755") == 0 &&
                mount("test", "/run", "tmpfs", 0, NULL) == 0;
    *state = &may_mount;
    return 0;
}

/* FILES files "d<i % 3>/f<i>", all holding `text`. */
static struct payload make_payload(const char *text)
{
    struct payload payload = {0};
    for (int i = 0; i < FILES; i++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "%s%d/f%d", text, i % 3, i);
        assert_int_equal(payload_add(&payload, path, 0644, secret_from_bytes(text, strlen(text)), NULL), 0);
    }
    assert_int_equal(payload_seal(&payload, NULL), 0);
    return payload;
}

static bool shows(const char *text)
{
    for (int i = 0; i < FILES; i++) {
        char path[64], content[16];
        (void)snprintf(path, sizeof(path), TARGET "/%s%d/f%d", text, i % 3, i);
        cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, content, sizeof(content));
        if (n != (ssize_t)strlen(text) || memcmp(content, text, (size_t)n) != 0)
            return false;
    }
    return true;
}

static int mounts_below(const char *path)
{
    char line[4096];
    cleanup_file FILE *file = fopen("/proc/self/mountinfo", "re");
    assert_non_null(file);
    int n = 0;
    while (fgets(line, sizeof(line), file) != NULL)
        n += strstr(line, path) != NULL;
    return n;
}

typedef void task(enum mount_method method);

static uint64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Sleeps, but for the end of the time: a timer is not that exact. */
static void wait_us(uint64_t us)
{
    uint64_t end = now_us() + us;
    if (us > SPIN_US)
        (void)nanosleep(&(struct timespec){.tv_sec = (time_t)((us - SPIN_US) / 1000000),
                                           .tv_nsec = (long)((us - SPIN_US) % 1000000 * 1000)},
                        NULL);
    while (now_us() < end) {
    }
}

/* Spreads the kills; the first round is killed before it begins and the last is let through, so that a busy
 * machine does not make the test meaningless. */
static uint64_t delay(int round, uint64_t range)
{
    return round < ROUNDS - 1 ? range * (uint64_t)round / ROUNDS : UINT64_MAX;
}

/* Runs `work` in a child and kills it after `us` (0: before it begins, UINT64_MAX: never); true when it had
 * ended before. */
static bool run_and_kill(task *work, enum mount_method method, uint64_t us)
{
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)!write(pipe_fds[1], "", 1); /* the clock starts now */
        if (us == 0)
            (void)pause();
        work(method);
        _exit(0);
    }
    char go;
    assert_int_equal(read(pipe_fds[0], &go, 1), 1);
    if (us != UINT64_MAX) {
        wait_us(us);
        assert_int_equal(kill(child, SIGKILL), 0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
    if (WIFEXITED(status))
        assert_int_equal(WEXITSTATUS(status), 0);
    return WIFEXITED(status);
}

static const struct volume_options options = {.gid = (gid_t)-1, .last_checked_unix = 1};

static struct mount_methods only(enum mount_method method)
{
    return (struct mount_methods){method, method};
}

/* Both finish the payload. */
static void publish(enum mount_method method, struct payload payload, const struct volume_options *how)
{
    if (volume_publish_with(only(method), TARGET, &payload, how, NULL) < 0)
        _exit(1);
    payload_finish(&payload);
}

static void update(enum mount_method method, struct payload payload, const struct volume_options *how)
{
    bool changed = false;
    if (volume_update_with(only(method), TARGET, &payload, how, &changed, NULL) < 0)
        _exit(1);
    payload_finish(&payload);
}

static void publish_old(enum mount_method method)
{
    publish(method, make_payload("old"), &options);
}

static void update_to_new(enum mount_method method)
{
    update(method, make_payload("new"), &options);
}

static void unpublish(enum mount_method method)
{
    (void)method;
    if (volume_unpublish(TARGET, NULL) < 0)
        _exit(1);
}

static const struct volume_options in_place = {.gid = (gid_t)-1, .in_place = true, .last_checked_unix = 1};

/* Every file is changed, and the directories of the new names are new. */
static struct payload make_payload_in_place(const char *text)
{
    struct payload payload = make_payload(text);
    for (int i = 0; i < FILES; i++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "same%d/f%d", i % 3, i);
        assert_int_equal(payload_add(&payload, path, 0644, secret_from_bytes(text, strlen(text)), NULL), 0);
    }
    assert_int_equal(payload_seal(&payload, NULL), 0);
    return payload;
}

static void publish_old_in_place(enum mount_method method)
{
    publish(method, make_payload_in_place("old"), &in_place);
}

static void update_to_new_in_place(enum mount_method method)
{
    update(method, make_payload_in_place("newer"), &in_place);
}

/* How long the work takes undisturbed, so that the kills spread over all of it. */
static uint64_t measure(task *prepare, task *work, enum mount_method method)
{
    uint64_t longest = 0;
    for (int i = 0; i < 5; i++) {
        if (prepare != NULL)
            prepare(method);
        uint64_t start = now_us();
        work(method);
        uint64_t took = now_us() - start;
        longest = took > longest ? took : longest;
        (void)volume_unpublish(TARGET, NULL);
    }
    return 2 * longest + 50; /* a fresh child is slower: copy on write */
}

static enum volume_condition state_now(void)
{
    enum volume_condition found = VOLUME_ABSENT;
    assert_int_equal(volume_inspect(TARGET, &found, NULL), 0);
    return found;
}

static void assert_nothing_is_left(void)
{
    struct stat info;
    if (volume_unpublish(TARGET, NULL) < 0)
        fail_msg("unpublish failed");
    assert_int_equal(lstat(TARGET, &info), -1);
    assert_int_equal(mounts_below(TARGET), 0);
}

static const enum mount_method methods[] = {MOUNT_METHOD_DETACHED, MOUNT_METHOD_STAGED, MOUNT_METHOD_DIRECT};

static void a_publish_killed_at_any_time_is_whole_or_not_there(void **state)
{
    if (!*(bool *)*state)
        skip_without("root, and a mount namespace of its own");
    for (size_t w = 0; w < ARRAY_SIZE(methods); w++) {
        uint64_t range = measure(NULL, publish_old, methods[w]);
        int killed = 0, seen[VOLUME_CORRUPT + 1] = {0};
        for (int i = 0; i < ROUNDS; i++) {
            killed += !run_and_kill(publish_old, methods[w], delay(i, range));
            enum volume_condition found = state_now();
            seen[found]++;
            if (found == VOLUME_PUBLISHED) {
                assert_true(shows("old"));
            } else {
                assert_true(found == VOLUME_ABSENT || found == VOLUME_UNMOUNTED ||
                            (found == VOLUME_INCOMPLETE && methods[w] == MOUNT_METHOD_DIRECT));
                cleanup_payload struct payload payload = make_payload("old");
                assert_int_equal(volume_publish(TARGET, &payload, &options, NULL), 0);
                assert_int_equal(state_now(), VOLUME_PUBLISHED);
                assert_true(shows("old"));
            }
            assert_nothing_is_left();
        }
        (void)printf("method %zu: %d of %d killed; absent %d, unmounted %d, incomplete %d, published %d\n", w,
                     killed, ROUNDS, seen[VOLUME_ABSENT], seen[VOLUME_UNMOUNTED], seen[VOLUME_INCOMPLETE],
                     seen[VOLUME_PUBLISHED]);
        assert_true(killed > 0);
        assert_true(seen[VOLUME_PUBLISHED] > 0);
    }
}

static void an_update_killed_at_any_time_shows_old_or_new(void **state)
{
    if (!*(bool *)*state)
        skip_without("root, and a mount namespace of its own");
    for (size_t w = 0; w < ARRAY_SIZE(methods); w++) {
        uint64_t range = measure(publish_old, update_to_new, methods[w]);
        int killed = 0, old = 0, new = 0, between = 0;
        for (int i = 0; i < ROUNDS; i++) {
            publish_old(methods[w]);
            killed += !run_and_kill(update_to_new, methods[w], delay(i, range));
            if (state_now() == VOLUME_INCOMPLETE) { /* after the switch, before all new links were placed */
                between++;
            } else {
                assert_int_equal(state_now(), VOLUME_PUBLISHED);
                assert_true(shows("old") != shows("new"));
                old += shows("old");
                new += shows("new");
            }
            cleanup_payload struct payload payload = make_payload("new");
            bool changed = false;
            if (state_now() == VOLUME_INCOMPLETE) /* what the driver does then; see the mount-keeping test */
                assert_int_equal(volume_publish(TARGET, &payload, &options, NULL), 0);
            assert_int_equal(volume_update(TARGET, &payload, &options, &changed, NULL), 0);
            assert_int_equal(state_now(), VOLUME_PUBLISHED);
            assert_true(shows("new"));
            cleanup_close int fd = open(TARGET, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            struct payload_write_options write_options = {.gid = (gid_t)-1};
            assert_int_equal(payload_write(fd, &payload, &write_options, &changed, NULL),
                             0); /* writes nothing */
            assert_false(changed);
            (void)close(steal_fd(&fd));
            assert_nothing_is_left();
        }
        (void)printf("method %zu: %d of %d killed; old %d, between %d, new %d\n", w, killed, ROUNDS, old,
                     between, new);
        assert_true(killed > 0);
        assert_true(old > 0);
        assert_true(new > 0);
    }
}

static ino_t inode_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? info.st_ino : 0;
}

/* `prepare` makes the volume with its first contents, in place or with `..data`. */
static void kill_updates_in_place(task *prepare, int *ret_killed, int *ret_between)
{
    uint64_t range = measure(prepare, update_to_new_in_place, MOUNT_METHOD_DETACHED);
    for (int i = 0; i < ROUNDS; i++) {
        prepare(MOUNT_METHOD_DETACHED);
        ino_t before = inode_of(TARGET "/same0/f0");
        *ret_killed += !run_and_kill(update_to_new_in_place, MOUNT_METHOD_DETACHED, delay(i, range));
        cleanup_payload struct payload payload = make_payload_in_place("newer");
        bool changed = false;
        if (state_now() == VOLUME_INCOMPLETE) { /* what the driver does then */
            ++*ret_between;
            assert_true(volume_may_be_in_use(TARGET));
            assert_int_equal(volume_publish(TARGET, &payload, &in_place, NULL), 0);
        } else {
            assert_true(shows("old") != shows("newer"));
        }
        assert_int_equal(volume_update(TARGET, &payload, &in_place, &changed, NULL), 0);
        assert_int_equal(state_now(), VOLUME_PUBLISHED);
        assert_true(shows("newer") && !shows("old"));
        if (prepare == publish_old_in_place)
            assert_int_equal(inode_of(TARGET "/same0/f0"), before);
        assert_int_equal(volume_update(TARGET, &payload, &in_place, &changed, NULL), 0);
        assert_false(changed);
        assert_nothing_is_left();
    }
}

static void an_update_in_place_killed_at_any_time_is_healed(void **state)
{
    task *const kinds[] = {publish_old_in_place, publish_old};
    if (!*(bool *)*state)
        skip_without("root, and a mount namespace of its own");
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        int killed = 0, between = 0;
        kill_updates_in_place(kinds[i], &killed, &between);
        (void)printf("%d of %d killed, between %d\n", killed, ROUNDS, between);
        assert_true(killed > 0);
    }
}

/* What the driver does when the volume is wanted after all. */
static void publish_again(enum volume_condition found)
{
    cleanup_payload struct payload payload = make_payload("old");
    struct statvfs fs;
    if (found != VOLUME_PUBLISHED)
        assert_int_equal(volume_publish(TARGET, &payload, &options, NULL), 0);
    assert_int_equal(state_now(), VOLUME_PUBLISHED);
    assert_true(shows("old"));
    assert_int_equal(statvfs(TARGET, &fs), 0);
    assert_true((fs.f_flag & ST_RDONLY) != 0);
}

static void an_unpublish_killed_at_any_time_can_be_repeated(void **state)
{
    if (!*(bool *)*state)
        skip_without("root, and a mount namespace of its own");
    uint64_t range = measure(publish_old, unpublish, MOUNT_METHOD_DETACHED);
    int killed = 0;
    for (int i = 0; i < ROUNDS; i++) {
        publish_old(MOUNT_METHOD_DETACHED);
        killed += !run_and_kill(unpublish, MOUNT_METHOD_DETACHED, delay(i, range));
        enum volume_condition found = state_now();
        if (found == VOLUME_PUBLISHED)
            assert_true(shows("old")); /* never a published volume with files missing */
        if (i % 2 == 0)
            publish_again(found);
        assert_nothing_is_left();
    }
    assert_true(killed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publish_killed_at_any_time_is_whole_or_not_there),
        cmocka_unit_test(an_update_killed_at_any_time_shows_old_or_new),
        cmocka_unit_test(an_update_in_place_killed_at_any_time_is_healed),
        cmocka_unit_test(an_unpublish_killed_at_any_time_can_be_repeated),
    };
    return cmocka_run_group_tests(tests, group_set_up, NULL);
}
