/*
 * payload_write.c - publishing a payload into a directory, atomically.
 *
 * Order of a write: sweep leftovers, build a new version directory, prepare the links it needs, switch
 * `..data`, move the prepared links in place, sweep the old version and the links that are not needed any
 * more. A crash at any point leaves the old or the new content, and leftovers that the next write's first
 * sweep removes.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "driver/payload/payload.h"
#include "driver/payload/payload_tree.h"
#include "driver/payload/payload_version.h"

enum {
    NAME_TRIES = 16
}; /* a random name that exists already is next to impossible; this ends the loop anyway */

struct write {
    int root_fd; /* borrowed */
    const struct payload *payload;
    gid_t gid;
    struct payload_version_name old, new;
};

/* Calls `each` for every distinct first component of the payload (files of one directory stay together). */
typedef int each_component(struct write *write, const char *name, void *arg, struct error **err);

static int for_each_component(struct write *write, each_component *each, void *arg, struct error **err)
{
    char last[NAME_MAX + 1] = "", name[NAME_MAX + 1];
    for (size_t i = 0; i < write->payload->n; i++) {
        size_t len = payload_version_first_component(write->payload->files[i].path, name);
        if (strcmp(name, last) == 0)
            continue;
        memcpy(last, name, len + 1);
        if (each(write, name, arg, err) < 0)
            return -1;
    }
    return 0;
}

static int fail(const struct write *write, int errnum, const char *what, const char *name, struct error **err)
{
    if (errnum != ENOSPC && errnum != EDQUOT)
        return error_set_errno(err, errnum == ENOMEM ? GRPC_STATUS_RESOURCE_EXHAUSTED : GRPC_STATUS_INTERNAL,
                               errnum, "%s '%s'", what, name);
    struct payload_footprint need = payload_footprint(write->payload);
    struct statvfs fs = {0};
    (void)fstatvfs(write->root_fd, &fs); /* zeros in the message are no harm */
    return error_set(
        err, GRPC_STATUS_RESOURCE_EXHAUSTED,
        "%s '%s': the volume is full (ENOSPC): the files need %zu bytes and %zu inodes, next to the old ones; "
        "it has %" PRIu64 " bytes (%" PRIu64 " free) and %" PRIu64 " inodes (%" PRIu64 " free)",
        what, name, need.bytes, need.inodes, (uint64_t)fs.f_blocks * fs.f_frsize,
        (uint64_t)fs.f_bfree * fs.f_frsize, (uint64_t)fs.f_files, (uint64_t)fs.f_ffree);
}

/* --- the new version directory --- */

static uint64_t random_number(void)
{
    uint64_t number = 0;
    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != (ssize_t)sizeof(number)) {
        struct timespec now;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        number = (uint64_t)now.tv_nsec; /* only uniqueness is wanted, and mkdir() checks that */
    }
    return number % 10000000000U;
}

/* "..2026_04_29_10_11_12.1234567890" */
static struct payload_version_name make_version_name(void)
{
    struct payload_version_name name = {0};
    time_t now = time(NULL);
    struct tm utc = {0};
    (void)gmtime_r(&now, &utc);
    size_t len = strftime(name.text, sizeof(name.text), "..%Y_%m_%d_%H_%M_%S.", &utc);
    (void)snprintf(name.text + len, sizeof(name.text) - len, "%" PRIu64, random_number());
    return name;
}

static int make_version(struct write *write, struct error **err)
{
    for (int i = 0; i < NAME_TRIES; i++) {
        struct payload_version_name name = make_version_name();
        int fd = payload_tree_make_dir(write->root_fd, name.text, write->gid);
        if (fd >= 0) {
            write->new = name;
            return fd;
        }
        if (errno != EEXIST) {
            int errnum = errno;
            (void)payload_tree_remove(write->root_fd, name.text); /* made, but without its group or mode */
            return fail(write, errnum, "make directory", name.text, err);
        }
    }
    return error_set(err, GRPC_STATUS_INTERNAL, "no free name for a new version directory");
}

static int write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

static int write_file(const struct write *write, int version_fd, const struct payload_file *file,
                      struct error **err)
{
    const char *name = file->path;
    cleanup_close int below = -1;
    if (strchr(file->path, '/') != NULL) {
        below = payload_tree_make_parent(version_fd, file->path, write->gid, &name);
        if (below < 0)
            return fail(write, errno, "make directories for", file->path, err);
    }
    cleanup_close int fd = openat(below < 0 ? version_fd : below, name,
                                  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0)
        return fail(write, errno, "create", file->path, err);
    if (write_all(fd, secret_bytes(file->contents), secret_len(file->contents)) < 0)
        return fail(write, errno, "write", file->path, err);
    if (write->gid != (gid_t)-1 && fchown(fd, (uid_t)-1, write->gid) < 0)
        return fail(write, errno, "set the group of", file->path, err);
    if (fchmod(fd, payload_version_file_mode(file, write->gid)) < 0)
        return fail(write, errno, "set the mode of", file->path, err);
    return 0;
}

static int fill_version(const struct write *write, int version_fd, struct error **err)
{
    for (size_t i = 0; i < write->payload->n; i++) {
        if (write_file(write, version_fd, &write->payload->files[i], err) < 0)
            return -1;
    }
    return 0;
}

/* --- links of first components --- */

static int make_link(struct write *write, int dir_fd, const char *name, struct error **err)
{
    char target[sizeof(PAYLOAD_DATA_LINK "/") + NAME_MAX];
    (void)snprintf(target, sizeof(target), PAYLOAD_DATA_LINK "/%s", name);
    return symlinkat(target, dir_fd, name) == 0 ? 0 : fail(write, errno, "make link", name, err);
}

static int prepare_link(struct write *write, const char *name, void *links_fd, struct error **err)
{
    int *fd = links_fd;
    if (payload_version_link_is_right(write->root_fd, name))
        return 0;
    if (*fd < 0)
        *fd = payload_tree_make_dir(write->root_fd, PAYLOAD_LINKS_NEXT, write->gid);
    if (*fd < 0)
        return fail(write, errno, "make directory", PAYLOAD_LINKS_NEXT, err);
    return make_link(write, *fd, name, err);
}

static int make_first_link(struct write *write, const char *name, void *arg, struct error **err)
{
    (void)arg;
    return make_link(write, write->root_fd, name, err);
}

/* Renames over what is there: a wrong link or a plain file at once, a directory after emptying it. Needs no
 * space. */
static int place_link(struct write *write, const char *name, void *links_fd, struct error **err)
{
    const int *fd = links_fd;
    if (payload_version_link_is_right(write->root_fd, name))
        return 0;
    if (renameat(*fd, name, write->root_fd, name) == 0)
        return 0;
    if (errno == EISDIR && payload_tree_remove(write->root_fd, name) == 0 &&
        renameat(*fd, name, write->root_fd, name) == 0)
        return 0;
    return fail(write, errno, "place link", name, err);
}

static int check_link(struct write *write, const char *name, void *arg, struct error **err)
{
    (void)arg;
    (void)err;
    return payload_version_link_is_right(write->root_fd, name) ? 0 : -1;
}

/* --- the switch --- */

static int switch_version(struct write *write, struct error **err)
{
    if (symlinkat(write->new.text, write->root_fd, PAYLOAD_DATA_NEXT) < 0)
        return fail(write, errno, "make link", PAYLOAD_DATA_NEXT, err);
    int moved = renameat(write->root_fd, PAYLOAD_DATA_NEXT, write->root_fd, PAYLOAD_DATA_LINK);
    if (moved < 0 && errno == EISDIR) { /* a directory called ..data: nothing that was ever published */
        (void)payload_tree_remove(write->root_fd, PAYLOAD_DATA_LINK);
        moved = renameat(write->root_fd, PAYLOAD_DATA_NEXT, write->root_fd, PAYLOAD_DATA_LINK);
    }
    return moved == 0 ? 0 : fail(write, errno, "switch", PAYLOAD_DATA_LINK, err);
}

/* --- sweeping --- */

static int compare_component(const void *key, const void *element)
{
    const char *name = key;
    const struct payload_file *file = element;
    char component[NAME_MAX + 1];
    (void)payload_version_first_component(file->path, component);
    return strcmp(name, component);
}

static bool is_first_component(const struct payload *payload, const char *name)
{
    return payload->n > 0 &&
           bsearch(name, payload->files, payload->n, sizeof(*payload->files), compare_component) != NULL;
}

enum sweep {
    SWEEP_INTERNAL, /* entries of the driver ("..") except `..data` and the version to keep */
    SWEEP_ALL,      /* also everything that is no first component of the payload */
};

/* Failures are passed over: on a tmpfs a removal fails only below a mount point, and the next write tries
 * again. The content that is served is right in any case. */
static void sweep(const struct write *write, const char *keep, enum sweep what)
{
    cleanup_dir DIR *dir = payload_tree_list(write->root_fd);
    const char *name = NULL;
    while (dir != NULL && (name = payload_tree_next(dir)) != NULL) {
        bool internal = payload_version_is_internal(name);
        if (internal ? strcmp(name, PAYLOAD_DATA_LINK) == 0 || strcmp(name, keep) == 0
                     : what == SWEEP_INTERNAL || is_first_component(write->payload, name))
            continue;
        (void)payload_tree_remove(write->root_fd, name);
    }
}

static bool is_unchanged(struct write *write)
{
    if (write->old.text[0] == '\0')
        return false;
    cleanup_close int version_fd = payload_tree_open_dir(write->root_fd, write->old.text);
    return version_fd >= 0 && payload_version_matches(version_fd, write->payload, write->gid) &&
           for_each_component(write, check_link, /* arg= */ NULL, /* err= */ NULL) == 0;
}

static int build(struct write *write, int *ret_links_fd, struct error **err)
{
    cleanup_close int version_fd = make_version(write, err);
    if (version_fd < 0 || fill_version(write, version_fd, err) < 0)
        return -1;
    return for_each_component(write, prepare_link, ret_links_fd, err);
}

int payload_write(int root_fd, const struct payload *payload, const struct payload_write_options *options,
                  bool *ret_changed, struct error **err)
{
    struct write write = {
        .root_fd = root_fd,
        .payload = payload,
        .gid = options->gid,
        .old = payload_version_current(root_fd),
    };
    sweep(&write, write.old.text, SWEEP_INTERNAL);
    if (is_unchanged(&write)) {
        sweep(&write, write.old.text, SWEEP_ALL);
        *ret_changed = false;
        return 0;
    }
    cleanup_close int links_fd = -1;
    if (build(&write, &links_fd, err) < 0 || switch_version(&write, err) < 0) {
        sweep(&write, write.old.text, SWEEP_INTERNAL);
        return -1;
    }
    if (for_each_component(&write, place_link, &links_fd, err) < 0)
        return -1;
    sweep(&write, write.new.text, SWEEP_ALL);
    *ret_changed = true;
    return 0;
}

int payload_write_new(int root_fd, const struct payload *payload, const struct payload_write_options *options,
                      struct error **err)
{
    struct write write = {.root_fd = root_fd, .payload = payload, .gid = options->gid};
    cleanup_close int version_fd = make_version(&write, err);
    if (version_fd < 0 || fill_version(&write, version_fd, err) < 0)
        return -1;
    if (symlinkat(write.new.text, root_fd, PAYLOAD_DATA_LINK) < 0)
        return fail(&write, errno, "make link", PAYLOAD_DATA_LINK, err);
    return for_each_component(&write, make_first_link, /* arg= */ NULL, err);
}
