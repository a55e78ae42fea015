/*
 * payload_version.h - the version directory that `..data` points to.
 *
 * Internal to the payload module: names of the layout drawn in payload.h, reading the current version, and
 * comparing files with a payload.
 */
#ifndef DRIVER_PAYLOAD_PAYLOAD_VERSION_H
#define DRIVER_PAYLOAD_PAYLOAD_VERSION_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "driver/payload/payload.h"

#define PAYLOAD_DATA_LINK "..data"
/* The next `..data`, renamed over it. Same name as the Go driver's: its leftover blocks every later
 * write. */
#define PAYLOAD_DATA_NEXT "..data_tmp"
/* New links of first components wait here until the switch. */
#define PAYLOAD_LINKS_NEXT "..links_tmp"

struct payload_version_name {
    char text[NAME_MAX + 1]; /* "" = there is no version */
};

/* A new name, "..2026_04_29_10_11_12.1234567890": the time in UTC and a random number. */
struct payload_version_name payload_version_make_name(void);

/* Reads `..data`. The name is "" when it is missing, no link, or does not name a version directory in root_fd
 * itself
 * ("..something"): such a thing is not ours and is replaced by the next write. */
struct payload_version_name payload_version_current(int root_fd);

/* Opens the current version directory; -1 when there is none. */
int payload_version_open_current(int root_fd);

/* Is it a name in the root that plain files do not have: it starts with ".."? */
bool payload_version_is_internal(const char *name);

/* Length of the first component of a path. */
size_t payload_version_first_component(const char *path, char ret_name[NAME_MAX + 1]);

/* True when `name` in root_fd is the link `..data/<name>`. */
bool payload_version_link_is_right(int root_fd, const char *name);

/* The mode that a file gets on disk: with a gid, the group may read the files that the owner may read. */
mode_t payload_version_file_mode(const struct payload_file *file, gid_t gid);

/* True when the open file reads as `contents`, as far as they go. The sizes are compared by the caller. */
bool payload_version_content_matches(int fd, const struct secret *contents);

/* True when the directory holds exactly the files of the sealed payload, with their bytes, modes and group.
 * A tree that cannot be read does not match: it is written again. */
bool payload_version_files_match(int dir_fd, const struct payload *payload, gid_t gid);

/* The same of a version directory, which must belong to the group as well. */
bool payload_version_matches(int version_fd, const struct payload *payload, gid_t gid);

#endif
