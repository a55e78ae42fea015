/*
 * options.h - the command line of a program as one table.
 *
 * Parsing, --help, range checks and the reference documentation come from the same rows. The rules are those
 * of Go's flag package, which existing manifests rely on: one or two dashes are equal; `-name=value` and
 * `-name value`; booleans take a value only with `=` (1 0 t f T F true false TRUE FALSE True False);
 * durations are Go durations ("300ms", "1h30m", "0"); parsing stops at "--" or at the first word that is not
 * a flag; -h, -help, --help print the usage.
 */
#ifndef COMMON_PROCESS_OPTIONS_H
#define COMMON_PROCESS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/error.h"

enum option_type {
    OPTION_BOOL,         /* bool * */
    OPTION_INT,          /* int64_t *, checked against min..max */
    OPTION_STRING,       /* const char ** (borrowed from argv or the default) */
    OPTION_DURATION,     /* int64_t * nanoseconds, checked against min..max (nanoseconds) */
    OPTION_IGNORED,      /* takes any value, which is ignored (flags of the Go software); no destination */
    OPTION_IGNORED_BOOL, /* the same for a flag that was boolean */
};

struct option_row {
    const char *name;
    enum option_type type;
    size_t offset;             /* offsetof the destination in the program's options struct */
    const char *default_value; /* as the user would write it; NULL = "" / false / 0 */
    int64_t min, max; /* INT and DURATION; both 0 = not negative, no upper limit; so is a max below min */
    const char *help; /* one sentence; `backquoted` word names the value in the usage */
};

/* Rows for the flags of klog, the logging library of the Go software: accepted and ignored, so that old
 * manifests still work. */
#define OPTIONS_IGNORED_KLOG                                                                                 \
    {"vmodule", OPTION_IGNORED, 0, NULL, 0, 0, NULL},                                                        \
        {"logtostderr", OPTION_IGNORED_BOOL, 0, NULL, 0, 0, NULL},                                           \
        {"alsologtostderr", OPTION_IGNORED_BOOL, 0, NULL, 0, 0, NULL},                                       \
        {"stderrthreshold", OPTION_IGNORED, 0, NULL, 0, 0, NULL},                                            \
        {"log_dir", OPTION_IGNORED, 0, NULL, 0, 0, NULL}, {"log_file", OPTION_IGNORED, 0, NULL, 0, 0, NULL}, \
        {"log_file_max_size", OPTION_IGNORED, 0, NULL, 0, 0, NULL},                                          \
        {"log_backtrace_at", OPTION_IGNORED, 0, NULL, 0, 0, NULL},                                           \
        {"one_output", OPTION_IGNORED_BOOL, 0, NULL, 0, 0, NULL},                                            \
        {"skip_headers", OPTION_IGNORED_BOOL, 0, NULL, 0, 0, NULL},                                          \
        {"skip_log_headers", OPTION_IGNORED_BOOL, 0, NULL, 0, 0, NULL},                                      \
    {                                                                                                        \
        "add_dir_header", OPTION_IGNORED_BOOL, 0, NULL, 0, 0, NULL                                           \
    }

enum options_result {
    OPTIONS_RUN,   /* parsed; go on */
    OPTIONS_HELP,  /* --help was given; print the usage to stdout, exit 0 */
    OPTIONS_ERROR, /* err is set; print it to stderr, and how to get the usage, exit 2 */
};

/* Fills `destination` with defaults, then from argv[1...]. *ret_rest is the index of the first word that was
 * not consumed. Errors name the flag and the value. */
enum options_result options_parse(const struct option_row *rows, size_t n_rows, int argc, char **argv,
                                  void *destination, int *ret_rest, struct error **err);

/* Prints the usage, flags sorted by name, ignored ones in one line at the end. */
void options_usage(const struct option_row *rows, size_t n_rows, const char *program, FILE *out);

/* A Go duration ("1h15m30.918s", "-1.5h", "0") in nanoseconds (https://pkg.go.dev/time#ParseDuration).
 * INVALID_ARGUMENT names the text. */
int duration_parse(const char *text, int64_t *ret_ns, struct error **err);

#endif
