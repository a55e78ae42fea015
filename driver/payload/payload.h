/*
 * payload.h - the files of one volume, and writing them atomically into its directory.
 *
 * Layout (the one Kubernetes uses for its own volumes; consumers watch `..data`):
 *
 *     <root>/..2026_04_29_10_11_12.1234567890/   real directory, 0755
 *                name1, sub/name2                 files with exactly the mode of the provider's response
 *     <root>/..data -> ..2026_04_29_...           switched by rename, atomically
 *     <root>/name1  -> ..data/name1               one link per first path component
 *     <root>/sub    -> ..data/sub
 *
 * With `in_place` the files lie in the root itself, without `..data`, and an update rewrites them: they stay
 * the same files, so that a bind mount of one (subPath) or of a directory shows the new content. It is not
 * atomic: a reader may see some files old and some new, and one that is half written. Each
 * file is written by one call with the whole content (and cut where it was longer), so that this is short.
 *
 * Group: when a gid (the pod's fsGroup) is given, files and directories belong to it and every file that its
 * owner may read becomes readable for the group too; no other permission is widened. Directories stay 0755,
 * so that every container user can list the volume.
 *
 * A provider that writes its files itself leaves *plain* files in the root instead, without `..data`: every
 * entry whose name does not start with "..".
 *
 * All functions block (tmpfs only) and are meant for worker threads; none touches the loop or shared state.
 *
 * Files: payload.c (the list), payload_path.c (the rules for paths), payload_write.c (publishing into a
 * directory), payload_in_place.c (the same in place), payload_steps.c (steps of both), payload_read.c
 * (reading the published files), payload_plain.c (plain files), payload_tree.c (steps below a descriptor).
 */
#ifndef DRIVER_PAYLOAD_PAYLOAD_H
#define DRIVER_PAYLOAD_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "common/base/secret.h"

enum {
    PAYLOAD_PATH_MAX = 4096,     /* bytes of a whole path */
    PAYLOAD_COMPONENT_MAX = 255, /* bytes of one component */
    PAYLOAD_DEPTH_MAX = 64,      /* components of a path; bounds the descriptors a walk holds open at once */
    PAYLOAD_FILES_MAX = 10000,   /* payload_add() calls; far above the files of a 4 MiB response */
};

struct payload_file {
    char *path;              /* owned, relative, validated by payload_add() */
    mode_t mode;             /* 0..0777; 0 is taken literally */
    struct secret *contents; /* owned */
};

/* Zero-initialise before the first payload_add(). */
struct payload {
    struct payload_file *files;
    size_t n;
    size_t capacity; /* of `files`; private to payload.c */
};

/* Checks one path: not empty, relative, within the limits, lexically clean (no "//", "./", trailing "/"), not
 * ".", no ".." component, first component not starting with "..", valid UTF-8, no control characters
 * (U+0000-1F, U+7F-9F). Backslash is an ordinary character. INVALID_ARGUMENT names the path (control
 * characters replaced, shortened) and the rule. */
int payload_check_path(const char *path, struct error **err);

/* Adds a file (path copied, contents taken over also on failure; NULL contents are no bytes). Only the lower
 * nine bits of `mode` count. A repeated path replaces the earlier one (when payload_seal() runs).
 * INVALID_ARGUMENT for the path or too many files, RESOURCE_EXHAUSTED without memory. */
int payload_add(struct payload *payload, const char *path, mode_t mode, struct secret *contents,
                struct error **err);

/* Sorts by path (component by component, so that a directory's files stay together), drops repeated paths but
 * the last, and refuses a file whose path is a directory prefix of another's; both are named. Call it after
 * the last payload_add(), again if more files are added later. */
int payload_seal(struct payload *payload, struct error **err);

/* Has the sealed payload a file at `path`? Or files in a directory `path`, however deep? */
bool payload_has_file(const struct payload *payload, const char *path);
bool payload_has_directory(const struct payload *payload, const char *path);

/* Sum of the contents' sizes. */
size_t payload_size(const struct payload *payload);

/* The space of the files in a tmpfs: contents in whole pages, and one inode per file, directory and link.
 * `memory`: the kernel memory of all that, of the tmpfs and of its mount. On Linux 6.18 a file with its link
 * costs 1.9 KiB besides its pages, and an empty volume 5 KiB. */
struct payload_footprint {
    size_t bytes, inodes, memory;
};
struct payload_footprint payload_footprint(const struct payload *payload);

/* Wipes and frees; the payload is empty and usable again. */
void payload_finish(struct payload *payload);
#define cleanup_payload CLEANUP(payload_finish)

struct payload_write_options {
    gid_t gid;     /* group of files and directories; (gid_t)-1 = leave as created */
    bool in_place; /* the second layout */
};

/* Makes the directory behind `root_fd` (may be O_PATH) show exactly `payload` (sealed). Nothing is written
 * when contents, modes, group and links already match (*ret_changed = false). Every path is resolved
 * beneath root_fd without following links. Leftovers of an interrupted earlier write (`..data_tmp`,
 * timestamped directories that `..data` does not point to, plain files where a link belongs) are removed,
 * and so is everything else that does not belong to the payload.
 *
 * Everything that needs space (the new directory, its files, new links) is made before the switch; after it
 * come only renames and removals. So after a failure the old content is still served and nothing new is left
 * behind, and a reader never meets a link without its target.
 *
 * Old files are removed but not overwritten: the kernel zeroes a page before it uses it again,
 * and a tmpfs page is on no disk (without swap).
 *
 * A directory with the other layout is converted. To files in place: they move out of their version
 * directory, so that bind mounts of them follow from then on. Files in place become links; bind mounts of
 * them keep the last content.
 *
 * In place, everything that needs space is made before the first file is changed, and a failure up to then
 * leaves the old content. From there on the directory is not complete until all is written.
 *
 * RESOURCE_EXHAUSTED (with the sizes) when the file system is full; FAILED_PRECONDITION in place where the
 * file system has no extended attributes; INTERNAL otherwise. */
int payload_write(int root_fd, const struct payload *payload, const struct payload_write_options *options,
                  bool *ret_changed, struct error **err);

/* The same for an empty directory that nobody else sees yet, with fewer system calls: nothing is there to be
 * compared or replaced. After a failure the directory holds leftovers. */
int payload_write_new(int root_fd, const struct payload *payload, const struct payload_write_options *options,
                      struct error **err);

/* True when the directory behind root_fd holds a complete published payload: `..data` names a version
 * directory that exists, and each of its entries has its link; or the last write in place has ended. */
bool payload_is_complete(int root_fd);

/* True when files were written in place there, completely or not. */
bool payload_is_in_place(int root_fd);

/* Removes everything in the directory, first what makes it complete. Goes on after a failure. */
void payload_remove(int root_fd);

/* Reads the published files back, contents included (for syncing them to Kubernetes Secrets). Sealed on
 * return; the caller calls payload_finish(). NOT_FOUND when nothing complete is published, RESOURCE_EXHAUSTED
 * above `max_bytes` of contents, INVALID_ARGUMENT for a name that payload_check_path() refuses, UNAVAILABLE
 * while files are rewritten in place, also when that was cut short, INTERNAL. */
int payload_read(int root_fd, size_t max_bytes, struct payload *ret_payload, struct error **err);

/* --- plain files --- */

/* Is there any plain file or directory? */
bool payload_has_plain_files(int root_fd);

/* As payload_read(), of the plain files, which may be none. */
int payload_read_plain(int root_fd, size_t max_bytes, struct payload *ret_payload, struct error **err);

struct payload_plain {
    size_t files;
    uint64_t bytes;
};

/* Counts the plain files. Gives them and their directories to `gid` unless it is (gid_t)-1, as in a payload
 * ("Group" above); root_fd must be writable then. INTERNAL. */
int payload_count_plain(int root_fd, gid_t gid, struct payload_plain *ret, struct error **err);

#endif
