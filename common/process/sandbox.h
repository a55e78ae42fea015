/*
 * sandbox.h - what a program gives up once it has started, for good: capabilities, new privileges, system
 * calls, files and ports.
 *
 * A part that the kernel, a container runtime or an outer sandbox refuses is left out, logged and shown in
 * the metrics: the program serves with the parts it could set. Everything here belongs to the thread and is
 * inherited by the threads it starts, so there must be no other one yet.
 */
#ifndef COMMON_PROCESS_SANDBOX_H
#define COMMON_PROCESS_SANDBOX_H

#include <stdbool.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/process/landlock.h"
#include "common/process/metrics.h"
#include "common/process/seccomp_filter.h"

enum sandbox_mode {
    SANDBOX_OFF,
    SANDBOX_ON,   /* a system call that is not on the list fails with EPERM and is logged */
    SANDBOX_KILL, /* ... ends the process */
};

/* The help of the flag, and its default. */
#define SANDBOX_DEFAULT "on"
#define SANDBOX_HELP                                                                                         \
    "The `mode` of the sandbox, which takes from the process what it does not need once it has started: on, kill or off. With on, a system call that it does not need fails with EPERM and is logged; with kill it ends the process; off is for kernels on which the sandbox fails"

/* What one program needs. */
struct sandbox_needs {
    const int *capabilities; /* CAP_*; all others are dropped */
    size_t n_capabilities;
    struct seccomp_calls calls;
    const struct landlock_rules *landlock; /* NULL: no Landlock, which forbids all mounting */
};

/* The value of --sandbox. INVALID_ARGUMENT names it. */
int sandbox_mode_parse(const char *text, enum sandbox_mode *ret_mode, struct error **err);

/* Makes the loop of a program in the mode that `mode`, the value of --sandbox, names. What has to come before
 * the loop is done here, but with SANDBOX_OFF: libuv makes no ring of io_uring for it, and no_new_privs is
 * set; a failure of these shows in sandbox_enter(). -1 with err set: INVALID_ARGUMENT as
 * sandbox_mode_parse(), INTERNAL without descriptors for the loop. */
int sandbox_create_loop(const char *mode, uv_loop_t *loop, enum sandbox_mode *ret_mode, struct error **err);

/* Enters the sandbox and logs its state in one line; registers sandbox_active and
 * sandbox_refused_calls_total. `log` and `metrics` are borrowed until sandbox_stop_watching(). -1 with err
 * set only if the loop cannot watch for refused calls. */
int sandbox_enter(const struct sandbox_needs *needs, enum sandbox_mode mode, uv_loop_t *loop, struct log *log,
                  struct metrics *metrics, struct error **err);

/* Closes the handle on the loop; the sandbox stays. */
void sandbox_stop_watching(void);

/* The mode and what this kernel offers, for --version: "on: capabilities, no_new_privs, seccomp, Landlock 7".
 * `mode` is the value of --sandbox. The caller frees it; NULL with err set: INVALID_ARGUMENT as
 * sandbox_mode_parse(), or lack of memory. */
char *sandbox_describe(const char *mode, bool with_landlock, struct error **err);

#endif
