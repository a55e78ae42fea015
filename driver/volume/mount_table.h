/*
 * mount_table.h - the mounts of this process' namespace, as proc_pid_mountinfo(5) lists them.
 *
 * mount_info_parse() is pure; the rest reads /proc/self/mountinfo and blocks.
 */
#ifndef DRIVER_VOLUME_MOUNT_TABLE_H
#define DRIVER_VOLUME_MOUNT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/error.h"

enum { MOUNT_TABLE_MAX = 1000000 }; /* ten times the kernel's default of fs.mount-max */

/* The texts are unescaped, and point into the line that was parsed. */
struct mount_info {
    int64_t id, parent; /* `parent`: the mount it is mounted on; stacked ones have the same point */
    const char *device; /* "major:minor" of the superblock: mounts of one file system share it */
    const char *root;   /* the directory of the file system that is mounted; "/" but for bind mounts */
    const char *point;  /* the mount point */
    const char *options;
    bool shared; /* has a peer group: what is mounted below it reaches other namespaces */
    const char *type;
    const char *source;
    const char *super_options;
};

/* Splits one line without its newline, in place. False when it is none of mountinfo. */
bool mount_info_parse(char *line, struct mount_info *ret);

/* Does the comma-separated list have the option `name`, alone or with a value? *ret_value (may be NULL): the
 * text after "=", which ends at a comma; NULL without one. */
bool mount_option_find(const char *options, const char *name, const char **ret_value);

struct mount_table {
    struct mount_info *list;
    char **lines; /* owned */
    size_t n;
};

/* Reads all mounts, in the order in which they were made; lines that cannot be parsed are left out. INTERNAL,
 * RESOURCE_EXHAUSTED. */
int mount_table_read(struct mount_table *ret, struct error **err);

/* The mount with this id, NULL when there is none (any more). */
const struct mount_info *mount_table_find(const struct mount_table *table, int64_t id);

/* The mount that `mount` covers: the one below it at the same point. NULL when there is none. */
const struct mount_info *mount_table_covered(const struct mount_table *table, const struct mount_info *mount);

/* The mount that `path`, absolute and without links, lies on. NULL when the table lacks it. */
const struct mount_info *mount_table_containing(const struct mount_table *table, const char *path);

/* Frees the lines; harmless on a zeroed table. */
void mount_table_finish(struct mount_table *table);
#define cleanup_mount_table CLEANUP(mount_table_finish)

#endif
