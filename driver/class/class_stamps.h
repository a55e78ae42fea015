/*
 * class_stamps.h - the files that a class was read from, as they were: has one of them changed since?
 *
 * A stamp is what the kernel says of a file: device, inode, size and the times of the last changes. Stamps
 * vouch for what was read only if a later change cannot bear the same time, and if asking for them never
 * waits for a server. So there are none for
 *
 *  - a file that has changed a moment ago, within the granularity of the times of its file system;
 *  - a file system that is not known to be local;
 *  - more than CLASS_STAMPS_MAX files or CLASS_STAMPS_BYTES_MAX bytes, which are better read again.
 */
#ifndef DRIVER_CLASS_CLASS_STAMPS_H
#define DRIVER_CLASS_CLASS_STAMPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cleanup.h"

enum {
    CLASS_STAMPS_MAX = 8, /* files: three system calls each for the loop */
    CLASS_STAMPS_BYTES_MAX =
        64 * 1024,               /* of all files together: bounds the memory of classes that are kept */
    CLASS_STAMPS_FRESH_MS = 100, /* a clock tick is at most 10 ms */
    CLASS_STAMPS_FRESH_SECONDS_MS =
        2000, /* of a time without a fraction: the file system may know only seconds */
};

struct file_stamp {
    uint64_t device, inode, size;
    int64_t modified_s, changed_s;
    uint32_t modified_ns, changed_ns;
};

struct stamped_file {
    char *name; /* owned; in the directory */
    struct file_stamp stamp;
};

/* {0} vouches for nothing. */
struct class_stamps {
    bool complete; /* of the directory and of every file that was read */
    struct file_stamp directory;
    struct stamped_file files[CLASS_STAMPS_MAX];
    size_t n;
    uint64_t bytes;
};

/* On a worker, before the directory is listed. */
void class_stamps_begin(struct class_stamps *stamps, int dir_fd);

/* On a worker, before file `name` of the directory is read. */
void class_stamps_add(struct class_stamps *stamps, int dir_fd, const char *name);

/* True when neither the directory nor a file has changed. Never waits for a disk or a server: what the kernel
 * does not have in memory counts as changed. */
bool class_stamps_are_current(const struct class_stamps *stamps, const char *directory);

/* Leaves {0}. */
void class_stamps_finish(struct class_stamps *stamps);
#define cleanup_class_stamps CLEANUP(class_stamps_finish)

#endif
