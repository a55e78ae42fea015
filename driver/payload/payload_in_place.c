/*
 * payload_in_place.c - rewriting the files of a volume in place.
 *
 * Order of a write: sweep leftovers, write the files that are new into a tree of their own and allocate the
 * space that grown files need, mark the volume, move the files out of a version directory if there is one,
 * each into the place of its link, rewrite, move the new files in, remove what is not needed any more, mark
 * the volume as complete. Nothing after the first mark needs space, and no file that stays is ever missing. A
 * crash before that mark leaves the old content, one after it a volume that is not complete: the driver's
 * next call for it compares every file and writes what differs.
 */
#include "driver/payload/payload_in_place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/payload/payload_steps.h"
#include "driver/payload/payload_tree.h"

enum { STAT_BLOCK_BYTES = 512 };

/* --- the mark --- */

static struct payload_version_name read_mark(int root_fd)
{
    struct payload_version_name mark = {0};
    if (payload_tree_get_attribute(root_fd, PAYLOAD_IN_PLACE_ATTRIBUTE, mark.text, sizeof(mark.text) - 1) < 0)
        return (struct payload_version_name){0};
    return mark;
}

static int write_mark(const struct payload_target *target, const char *mark, struct error **err)
{
    if (payload_tree_set_attribute(target->root_fd, PAYLOAD_IN_PLACE_ATTRIBUTE, mark, strlen(mark)) == 0)
        return 0;
    if (errno == EOPNOTSUPP)
        return error_set(
            err, GRPC_STATUS_FAILED_PRECONDITION,
            "the files cannot be updated in place: the kernel's tmpfs has no extended attributes (CONFIG_TMPFS_XATTR)");
    return payload_step_fail(target, errno, "set the attribute", PAYLOAD_IN_PLACE_ATTRIBUTE, err);
}

struct payload_version_name payload_in_place_version(int root_fd)
{
    struct payload_version_name mark = read_mark(root_fd);
    return strcmp(mark.text, PAYLOAD_IN_PLACE_WRITING) != 0 ? mark : (struct payload_version_name){0};
}

bool payload_in_place_is_writing(int root_fd)
{
    return strcmp(read_mark(root_fd).text, PAYLOAD_IN_PLACE_WRITING) == 0;
}

bool payload_is_in_place(int root_fd)
{
    return payload_version_current(root_fd).text[0] == '\0' && read_mark(root_fd).text[0] != '\0';
}

void payload_in_place_clear(int root_fd)
{
    (void)payload_tree_remove_attribute(root_fd, PAYLOAD_IN_PLACE_ATTRIBUTE);
}

/* --- what needs space --- */

/* The regular file at the path of `file`; -1 with errno when it cannot be opened, ENOENT when it is not
 * there or something else is. */
static int open_file(int dir_fd, const struct payload_file *file, int flags, struct stat *ret_info)
{
    const char *name = NULL;
    cleanup_close int parent = payload_tree_open_parent(dir_fd, file->path, &name);
    cleanup_close int fd =
        parent < 0 ? -1 : openat(parent, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && (errno == ENOTDIR || errno == ELOOP || errno == ENXIO)) /* a file, a link, a socket */
        errno = ENOENT;
    if (fd < 0 || fstat(fd, ret_info) < 0)
        return -1;
    if (!S_ISREG(ret_info->st_mode)) {
        errno = ENOENT;
        return -1;
    }
    return steal_fd(&fd);
}

/* Nothing in dir_fd will take the place of what is in the root: a conversion that was cut short has moved the
 * first component already, and may have left the link in its place. */
static bool is_moved(int dir_fd, const struct payload_file *file)
{
    char name[NAME_MAX + 1];
    struct stat info;
    (void)payload_version_first_component(file->path, name);
    return payload_version_link_is_right(dir_fd, name) ||
           (fstatat(dir_fd, name, &info, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT);
}

/* As open_file(), where the file is. */
static int open_old(const struct payload_target *target, int dir_fd, const struct payload_file *file,
                    int flags, struct stat *ret_info)
{
    return open_file(is_moved(dir_fd, file) ? target->root_fd : dir_fd, file, flags, ret_info);
}

static int allocate(const struct payload_target *target, int dir_fd, const struct payload_file *file,
                    struct error **err)
{
    struct stat info;
    cleanup_close int fd = open_old(target, dir_fd, file, O_WRONLY, &info);
    if (fd < 0)
        return payload_step_fail(target, errno, "open", file->path, err);
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)secret_len(file->contents)) < 0)
        return payload_step_fail(target, errno, "allocate the space of", file->path, err);
    return 0;
}

/* Gives back what a write that failed or was cut short has allocated behind the ends of files. A failure is
 * passed over: if the space is really needed, the write says so. */
static void release_spare_space(const struct payload_target *target, int dir_fd)
{
    for (size_t i = 0; i < target->payload->n; i++) {
        const struct payload_file *file = &target->payload->files[i];
        struct stat info;
        cleanup_close int fd = open_old(target, dir_fd, file, O_RDONLY, &info);
        if (fd < 0)
            continue;
        off_t spare = (off_t)info.st_blocks * STAT_BLOCK_BYTES - info.st_size;
        if (spare < (off_t)info.st_blksize)
            continue;
        cleanup_close int writable = open_old(target, dir_fd, file, O_WRONLY, &info);
        if (writable >= 0)
            (void)fallocate(writable, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, info.st_size, spare);
    }
}

/* `dir_fd`: where the files are now. */
static int prepare(const struct payload_target *target, int dir_fd, struct error **err)
{
    cleanup_close int next_fd = payload_tree_make_dir(target->root_fd, PAYLOAD_FILES_NEXT, target->gid);
    if (next_fd < 0)
        return payload_step_fail(target, errno, "make directory", PAYLOAD_FILES_NEXT, err);
    for (size_t i = 0; i < target->payload->n; i++) {
        const struct payload_file *file = &target->payload->files[i];
        struct stat info;
        cleanup_close int fd = open_old(target, dir_fd, file, O_RDONLY, &info);
        if (fd < 0 && errno != ENOENT)
            return payload_step_fail(target, errno, "open", file->path, err);
        if (fd < 0) {
            if (payload_step_write_file(target, next_fd, file, err) < 0)
                return -1;
        } else if ((size_t)info.st_blocks * STAT_BLOCK_BYTES < secret_len(file->contents)) {
            if (allocate(target, dir_fd, file, err) < 0)
                return -1;
        }
    }
    return 0;
}

/* --- what needs none --- */

static int move_entry(int from_fd, int to_fd, const char *name, unsigned depth);

/* Moves everything below from_fd to the same place below to_fd. Directories that are there stay; anything
 * else in the way goes, and there is the one or the other at any time. */
static int move_entries(int from_fd, int to_fd, unsigned depth)
{
    cleanup_payload_tree_list struct payload_tree_list list = PAYLOAD_TREE_LIST_INIT;
    const char *name = NULL;
    if (payload_tree_list_open(&list, from_fd) < 0)
        return -1;
    while ((name = payload_tree_next(&list)) != NULL)
        if (move_entry(from_fd, to_fd, name, depth) < 0)
            return -1;
    return 0;
}

static int move_over_other_kind(int from_fd, int to_fd, const char *name)
{
    if (payload_tree_exchange(from_fd, to_fd, name) == 0)
        return payload_tree_remove(from_fd, name);
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    return payload_tree_remove(to_fd, name) < 0 ? -1 : renameat(from_fd, name, to_fd, name);
}

static int move_entry(int from_fd, int to_fd, const char *name, unsigned depth)
{
    if (payload_version_link_is_right(from_fd, name)) /* exchanged, and then the driver was killed */
        return payload_tree_remove(from_fd, name);
    if (renameat(from_fd, name, to_fd, name) == 0)
        return 0;
    if (errno == ENOTDIR || errno == EISDIR)
        return move_over_other_kind(from_fd, to_fd, name);
    if ((errno != ENOTEMPTY && errno != EEXIST) || depth >= PAYLOAD_TREE_DEPTH_MAX)
        return -1;
    cleanup_close int from = payload_tree_open_dir(from_fd, name);
    cleanup_close int to = payload_tree_open_dir(to_fd, name);
    return from < 0 || to < 0 ? -1 : move_entries(from, to, depth + 1);
}

static int move_all(const struct payload_target *target, const char *from, struct error **err)
{
    cleanup_close int from_fd = payload_tree_open_dir(target->root_fd, from);
    if (from_fd < 0 || move_entries(from_fd, target->root_fd, 0) < 0)
        return payload_step_fail(target, errno, "move the files of", from, err);
    return 0;
}

/* One call writes all of it: a reader meets a mixture of old and new only while that copies. */
static int overwrite(int fd, const struct secret *contents, size_t old_len)
{
    const uint8_t *bytes = secret_bytes(contents);
    size_t len = secret_len(contents), done = 0;
    while (done < len) {
        ssize_t n = pwrite(fd, bytes + done, len - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        done += (size_t)n;
    }
    return old_len > len ? ftruncate(fd, (off_t)len) : 0;
}

/* An unchanged file is not opened for writing: closing it would tell its watchers of a change. */
static int rewrite_contents(int dir_fd, int read_fd, const struct payload_file *file, const struct stat *info)
{
    size_t len = (size_t)info->st_size;
    struct stat same;
    if (len == secret_len(file->contents) && payload_version_content_matches(read_fd, file->contents))
        return 0;
    cleanup_close int fd = open_file(dir_fd, file, O_WRONLY, &same);
    return fd < 0 ? -1 : overwrite(fd, file->contents, len);
}

/* Nobody may read the new content who may not, nor the old one who might not: until it is written only the
 * bits count that both modes have. */
static int rewrite_file(const struct payload_target *target, const struct payload_file *file,
                        struct error **err)
{
    mode_t mode = payload_version_file_mode(file, target->gid);
    struct stat info;
    cleanup_close int fd = open_file(target->root_fd, file, O_RDONLY, &info);
    if (fd < 0 && errno == ENOENT)
        return 0; /* one of the new files */
    if (fd < 0)
        return payload_step_fail(target, errno, "open", file->path, err);
    mode_t old_mode = info.st_mode & 07777;
    if ((old_mode & mode) != old_mode && fchmod(fd, old_mode & mode) < 0)
        return payload_step_fail(target, errno, "set the mode of", file->path, err);
    if (target->gid != (gid_t)-1 && info.st_gid != target->gid && fchown(fd, (uid_t)-1, target->gid) < 0)
        return payload_step_fail(target, errno, "set the group of", file->path, err);
    if (rewrite_contents(target->root_fd, fd, file, &info) < 0)
        return payload_step_fail(target, errno, "write", file->path, err);
    if ((old_mode & mode) != mode && fchmod(fd, mode) < 0)
        return payload_step_fail(target, errno, "set the mode of", file->path, err);
    return 0;
}

static int rewrite_files(const struct payload_target *target, struct error **err)
{
    for (size_t i = 0; i < target->payload->n; i++)
        if (rewrite_file(target, &target->payload->files[i], err) < 0)
            return -1;
    return 0;
}

/* Removes what is not of the payload below dir_fd, the directory `path` (of `len` bytes; the buffer holds
 * PAYLOAD_PATH_MAX). Failures are passed over as in payload_write.c. */
static void remove_rest(const struct payload *payload, int dir_fd, char *path, size_t len)
{
    cleanup_payload_tree_list struct payload_tree_list list = PAYLOAD_TREE_LIST_INIT;
    const char *name = NULL;
    (void)payload_tree_list_open(&list, dir_fd);
    while ((name = payload_tree_next(&list)) != NULL) {
        size_t room = PAYLOAD_PATH_MAX + 1 - len;
        int n = snprintf(path + len, room, "%s%s", len > 0 ? "/" : "", name);
        bool fits = n > 0 && (size_t)n < room;
        if (fits && payload_has_file(payload, path))
            continue;
        cleanup_close int below = -1;
        if (fits && payload_has_directory(payload, path))
            below = payload_tree_open_dir(dir_fd, name);
        if (below >= 0)
            remove_rest(payload, below, path, len + (size_t)n);
        else
            (void)payload_tree_remove(dir_fd, name);
    }
}

static int commit(const struct payload_target *target, const char *old_version, struct error **err)
{
    char path[PAYLOAD_PATH_MAX + 1] = "";
    if (write_mark(target, PAYLOAD_IN_PLACE_WRITING, err) < 0)
        return -1;
    if (old_version[0] != '\0' && move_all(target, old_version, err) < 0)
        return -1;
    if (old_version[0] != '\0' && unlinkat(target->root_fd, PAYLOAD_DATA_LINK, 0) < 0)
        return payload_step_fail(target, errno, "remove", PAYLOAD_DATA_LINK, err);
    if (rewrite_files(target, err) < 0 || move_all(target, PAYLOAD_FILES_NEXT, err) < 0)
        return -1;
    remove_rest(target->payload, target->root_fd, path, 0);
    return write_mark(target, payload_version_make_name().text, err);
}

/* --- all of it --- */

/* Leftovers of interrupted writes of both kinds; not the version that `..data` points to. */
static void sweep(int root_fd, const char *old_version)
{
    cleanup_payload_tree_list struct payload_tree_list list = PAYLOAD_TREE_LIST_INIT;
    const char *name = NULL;
    (void)payload_tree_list_open(&list, root_fd);
    while ((name = payload_tree_next(&list)) != NULL) {
        bool keeps = old_version[0] != '\0' &&
                     (strcmp(name, PAYLOAD_DATA_LINK) == 0 || strcmp(name, old_version) == 0);
        if (payload_version_is_internal(name) && !keeps)
            (void)payload_tree_remove(root_fd, name);
    }
}

int payload_in_place_write(int root_fd, const struct payload *payload,
                           const struct payload_write_options *options, bool *ret_changed, struct error **err)
{
    const struct payload_target target = {.root_fd = root_fd, .payload = payload, .gid = options->gid};
    struct payload_version_name old = payload_version_current(root_fd);
    bool converts = old.text[0] != '\0';
    sweep(root_fd, old.text);
    if (!converts && payload_in_place_version(root_fd).text[0] != '\0' &&
        payload_version_files_match(root_fd, payload, options->gid)) {
        *ret_changed = false;
        return 0;
    }
    cleanup_close int files_fd = payload_tree_open_dir(root_fd, converts ? old.text : ".");
    if (files_fd < 0)
        return payload_step_fail(&target, errno, "open directory", converts ? old.text : ".", err);
    release_spare_space(&target, files_fd);
    if (prepare(&target, files_fd, err) < 0) {
        (void)payload_tree_remove(root_fd, PAYLOAD_FILES_NEXT);
        release_spare_space(&target, files_fd);
        return -1;
    }
    *ret_changed = true;
    return commit(&target, old.text, err);
}
