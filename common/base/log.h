/*
 * log.h - structured log lines, one per event, to a descriptor (or two).
 *
 * The message is a constant string; data goes into typed fields:
 *
 *     log_info(log, "volume published", LOG_STR("pod", pod), LOG_INT("files", n));
 *     log_error(log, "mount failed", LOG_ERR(err));
 *
 * Text format (klog's, so that `grep ^E` keeps working):
 *     E1123 23:45:50.123456   4711 publish.c:120] "mount failed" pod="default/web" err="..."
 * JSON format (that of the driver in Go): one object per line with timestamp (RFC 3339, UTC), level, caller,
 * message, v (not of errors and warnings) and the fields, whose keys are lowerCamelCase (docs/logs.md lists
 * them). An error becomes two fields, err (its message) and code (its gRPC status).
 * A value longer than 4 KiB is cut at a character and ends in "..."; fields beyond 16 KiB of line are left
 * out.
 *
 * Values are quoted and what a terminal obeys or hides is escaped (utf8.h). A field takes a `const char *`,
 * a number, a bool or an error: a `struct secret` or its `uint8_t *` bytes do not compile. Code that handles
 * secrets in `char *` (provider attributes, tokens) must not log them; the canary tests watch over that.
 *
 * Levels: error = an operator must act; warning = the program goes on by itself; info = life events; debug
 * with a verbosity (2: requests, 4: decisions, 5: every RPC, 10: loops), shown when `-v` is at least that.
 */
#ifndef COMMON_BASE_LOG_H
#define COMMON_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

struct log;

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log_field {
    const char *key;
    enum {
        LOG_FIELD_STR,
        LOG_FIELD_INT,
        LOG_FIELD_UINT,
        LOG_FIELD_BOOL,
        LOG_FIELD_ERROR,
        LOG_FIELD_OBJECT
    } kind;
    union {
        const char *str; /* NULL prints as "" */
        int64_t i;
        uint64_t u;
        bool b;
        const struct error *error;
        struct {
            const char *ns;
            const char *name;
        } object;
    } value;
};

#define LOG_STR(k, v)  ((struct log_field){.key = (k), .kind = LOG_FIELD_STR, .value.str = (v)})
#define LOG_INT(k, v)  ((struct log_field){.key = (k), .kind = LOG_FIELD_INT, .value.i = (v)})
#define LOG_UINT(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_UINT, .value.u = (v)})
#define LOG_BOOL(k, v) ((struct log_field){.key = (k), .kind = LOG_FIELD_BOOL, .value.b = (v)})
#define LOG_ERR(v)     ((struct log_field){.key = "err", .kind = LOG_FIELD_ERROR, .value.error = (v)})

/* An object of Kubernetes: "namespace/name". */
#define LOG_OBJECT(k, n, v)                                                                                  \
    ((struct log_field){.key = (k), .kind = LOG_FIELD_OBJECT, .value.object = {.ns = (n), .name = (v)}})

/* A logger that writes to `fd` (borrowed). Verbosity is klog's -v. From now on the process ignores SIGPIPE:
 * `fd` may be a pipe whose reader is gone. No line waits for a reader: what the descriptor does not take goes
 * into a buffer, and is dropped and counted when that is full (log_sink.h). Aborts on lack of memory. */
struct log *log_create(int fd, enum log_format format, int verbosity);

/* From now on only errors go to the first descriptor, all other lines to `other_fd` (borrowed): for readers
 * that take every line on stderr for an error. */
void log_split(struct log *log, int other_fd);

/* Waits until all lines are written, `timeout_ms` at most for each descriptor. For the last line before the
 * process ends without log_destroy(). `log` may be NULL. */
void log_flush(const struct log *log, unsigned timeout_ms);

/* Lines that were lost since the start: dropped, or refused by the descriptor. From any thread. */
uint64_t log_dropped(const struct log *log);

/* Flushes for a second at most. No other thread may log any more. Accepts NULL. */
void log_destroy(struct log *log);

static inline void cleanup_log_func(struct log **log)
{
    log_destroy(*log);
}
#define cleanup_log CLEANUP(cleanup_log_func)

/* True when a debug line of this verbosity would be printed; to skip costly preparation. */
bool log_enabled(const struct log *log, int verbosity);

/* The function behind the macros. `fields` ends with LOG_END. `log` may be NULL (nothing is printed). Never
 * fails and never waits: a line that cannot be written is lost. Safe to call from worker threads. */
void log_write(const struct log *log, enum log_level level, int verbosity, const char *file, int line,
               const char *message, const struct log_field *fields);

#define LOG_END ((struct log_field){.key = NULL})

#define LOG_MESSAGE_(message, ...) message
#define LOG_FIELDS_(message, ...)                                                                            \
    (const struct log_field[])                                                                               \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }
#define LOG_WRITE_(log, level, verbosity, ...)                                                               \
    log_write((log), (level), (verbosity), __FILE__, __LINE__, LOG_MESSAGE_(__VA_ARGS__, LOG_END),           \
              LOG_FIELDS_(__VA_ARGS__, LOG_END))

/* log_info(log, "message" [, field]...) */
#define log_error(log, ...)   LOG_WRITE_(log, LOG_LEVEL_ERROR, 0, __VA_ARGS__)
#define log_warning(log, ...) LOG_WRITE_(log, LOG_LEVEL_WARNING, 0, __VA_ARGS__)
#define log_info(log, ...)    LOG_WRITE_(log, LOG_LEVEL_INFO, 0, __VA_ARGS__)
#define log_debug(log, verbosity, ...)                                                                       \
    do {                                                                                                     \
        if (log_enabled((log), (verbosity)))                                                                 \
            LOG_WRITE_(log, LOG_LEVEL_INFO, (verbosity), __VA_ARGS__);                                       \
    } while (0)

#endif
