/*
 * scratch.h - a temporary directory and shell commands in it, for tests that compare with a command-line
 * tool.
 */
#ifndef TEST_UNIT_SCRATCH_H
#define TEST_UNIT_SCRATCH_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/file.h"

struct scratch {
    char dir[64];
};

/* Returns 0 on success. */
static inline int scratch_make(struct scratch *scratch)
{
    (void)snprintf(scratch->dir, sizeof(scratch->dir), "/tmp/test_scratch.XXXXXX");
    return mkdtemp(scratch->dir) != NULL ? 0 : -1;
}

/* Runs a shell command in the directory, its output going to the file "log" there; returns its status.
 * OpenSSL's `x509` reads the machine's CAs even when it has no use for them, which takes most of its time: it
 * has none. */
__attribute__((format(printf, 2, 3))) static inline int scratch_run(const struct scratch *scratch,
                                                                    const char *format, ...)
{
    char command[2048], line[4096];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    (void)snprintf(line, sizeof(line), "cd %s && export SSL_CERT_FILE=/dev/null && { %s; } >log 2>&1",
                   scratch->dir, command);
    return system(line);
}

/* Reads a file of the directory; returns 0 on success. */
static inline int scratch_read(const struct scratch *scratch, const char *name, struct buffer *out)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", scratch->dir, name);
    return file_read(path, 1 << 20, out, NULL);
}

static inline int scratch_remove(const struct scratch *scratch)
{
    return scratch_run(scratch, "rm -rf %s", scratch->dir);
}

#endif
