/*
 * seccomp_filter.h - an allowlist of system calls for this process (seccomp(2)), on libseccomp.
 *
 * The list names what a program calls while it serves; everything else is refused. A call can be allowed only
 * with certain bits in one argument, because a filter sees numbers, never what a pointer leads to.
 *
 * A call that is refused raises SIGSYS (SECCOMP_RET_TRAP), so that the program can log it and go on
 * (refused_calls.h), or ends the process. The alternative for logging, SECCOMP_RET_USER_NOTIF, would need a
 * second process with more rights than this one.
 */
#ifndef COMMON_PROCESS_SECCOMP_FILTER_H
#define COMMON_PROCESS_SECCOMP_FILTER_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

struct seccomp_call {
    int number; /* SYS_* */
    enum {
        SECCOMP_ALLOW,       /* with any arguments */
        SECCOMP_ALLOW_IF,    /* if (argument & mask) == value; several rules of one call add up */
        SECCOMP_ALLOW_EXACT, /* the same for all bits of an int */
        SECCOMP_ABSENT,      /* fails with ENOSYS and is no violation: libraries have another way */
    } rule;
    unsigned argument;
    uint64_t mask;
    uint64_t value;
};

/* A row that allows a call with any arguments: SECCOMP_CALL(read). */
#define SECCOMP_CALL(name)                                                                                   \
    {                                                                                                        \
        .number = SYS_##name, .rule = SECCOMP_ALLOW                                                          \
    }

/* A program's own list, with the common one added by seccomp_filter_load(). */
struct seccomp_calls {
    const struct seccomp_call *list;
    size_t n;
};

enum seccomp_refusal { SECCOMP_REFUSAL_SIGSYS, SECCOMP_REFUSAL_KILL };

/* Loads the filter, for good, for this thread and those it starts: call before there is another thread. Needs
 * no_new_privs or CAP_SYS_ADMIN. `own` comes on top of what every program with a libuv loop, TLS and a log
 * calls. -1 with err set (PERMISSION_DENIED) if the kernel refuses, INTERNAL if the filter cannot be made. */
int seccomp_filter_load(const struct seccomp_calls *own, enum seccomp_refusal refusal, struct error **err);

/* Lets io_uring_setup() fail with ENOSYS, and nothing else. For the time before the loop is made: libuv 1.45
 * and later make a ring for each, which no setting prevents, and whose requests no filter sees. As above. */
int seccomp_forbid_io_uring(struct error **err);

/* The name of a system call of this architecture; "?" for one that libseccomp does not know. The caller frees
 * it; NULL on lack of memory. */
char *seccomp_call_name(int number);

#endif
