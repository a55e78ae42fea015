/*
 * seccomp_filter.c - the common list, and the filter on libseccomp.
 */
#include "common/process/seccomp_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/cleanup.h"

#define CALL SECCOMP_CALL
#define CALL_IF(name, arg, bits, wanted)                                                                     \
    {                                                                                                        \
        .number = SYS_##name, .rule = SECCOMP_ALLOW_IF, .argument = (arg), .mask = (bits), .value = (wanted) \
    }
#define CALL_EXACT(name, arg, wanted)                                                                        \
    {                                                                                                        \
        .number = SYS_##name, .rule = SECCOMP_ALLOW_EXACT, .argument = (arg), .value = (wanted)              \
    }
#define CALL_ABSENT(number_)                                                                                 \
    {                                                                                                        \
        .number = (number_), .rule = SECCOMP_ABSENT                                                          \
    }

/* Newer than some kernel headers; the same numbers on all architectures. */
enum { NR_IO_URING_SETUP = 425, NR_CLONE3 = 435, NR_FACCESSAT2 = 439, NR_EPOLL_PWAIT2 = 441 };

/*
 * What every program calls here: C library (glibc, musl), libuv, libcurl, c-ares, TLS library,
 * libmicrohttpd, and our log, sockets and metrics. Files are opened with the process's own rights, so the
 * list does not tell reading from writing.
 */
static const struct seccomp_call common_calls[] = {
    /* descriptors */
    CALL(read),
    CALL(write),
    CALL(readv),
    CALL(writev),
    CALL(pread64),
    CALL(close),
    CALL(lseek),
    CALL(fcntl),
    CALL(dup),
    CALL(dup3),
    CALL(ioctl),
    CALL(pipe2),
    CALL(eventfd2),
    CALL(memfd_create),
    CALL(ftruncate),
    /* files */
    CALL(openat),
    CALL(fstat),
    CALL(newfstatat),
    CALL(statx),
    CALL(faccessat),
    {.number = NR_FACCESSAT2, .rule = SECCOMP_ALLOW},
    CALL(readlinkat),
    CALL(getdents64),
    CALL(unlinkat),
    CALL(fchmod),
    CALL(fchmodat),
    CALL(renameat),
    CALL(renameat2),
    CALL(inotify_init1),
    CALL(inotify_add_watch),
    CALL(inotify_rm_watch),
    CALL(getcwd),
    /* sockets: of these families only, netlink for the addresses of this host */
    CALL_EXACT(socket, 0, AF_UNIX),
    CALL_EXACT(socket, 0, AF_INET),
    CALL_EXACT(socket, 0, AF_INET6),
    CALL_EXACT(socket, 0, AF_NETLINK),
    CALL(socketpair),
    CALL(connect),
    CALL(bind),
    CALL(listen),
    CALL(accept4),
    CALL(accept),
    CALL(getsockname),
    CALL(getpeername),
    CALL(getsockopt),
    CALL(setsockopt),
    CALL(sendto),
    CALL(recvfrom),
    CALL(sendmsg),
    CALL(sendmmsg),
    CALL(recvmsg),
    CALL(shutdown),
    /* waiting */
    CALL(epoll_create1),
    CALL(epoll_ctl),
    CALL(epoll_pwait),
    {.number = NR_EPOLL_PWAIT2, .rule = SECCOMP_ALLOW},
    CALL(ppoll),
    CALL(pselect6),
    CALL(nanosleep),
    CALL(clock_nanosleep),
    CALL(restart_syscall),
    /* memory: nothing becomes executable any more */
    CALL(brk),
    CALL(munmap),
    CALL(mremap),
    CALL(madvise),
    CALL(mlock),
    CALL(mlock2),
    CALL(munlock),
    CALL_IF(mmap, 2, PROT_EXEC, 0),
    CALL_IF(mprotect, 2, PROT_EXEC, 0),
    /* threads, and no processes */
    CALL_IF(clone, 0, CLONE_THREAD, CLONE_THREAD),
    CALL_EXACT(prctl, 0, PR_SET_NAME),
    CALL(futex),
    CALL(set_robust_list),
    CALL(rseq),
    CALL(membarrier),
    CALL(sched_yield),
    CALL(sched_getaffinity),
    CALL(setpriority),
    CALL(gettid),
    CALL(getpid),
    CALL(exit),
    CALL(exit_group),
    /* clone3() has its flags where no filter sees them; the C libraries go on with clone() */
    CALL_ABSENT(NR_CLONE3),
    /* io_uring does what a filter should see; libuv goes on without it */
    CALL_ABSENT(NR_IO_URING_SETUP),
    /* signals, to itself only: see own_process() */
    CALL(rt_sigaction),
    CALL(rt_sigprocmask),
    CALL(rt_sigreturn),
    CALL(sigaltstack),
    CALL(tkill),
    /* clocks, limits, names */
    CALL(clock_gettime),
    CALL(clock_getres),
    CALL(gettimeofday),
    CALL(getrandom),
    CALL(uname),
    CALL(sysinfo),
    CALL(getrusage),
    CALL_EXACT(prlimit64, 2, 0),
    CALL(getuid),
    CALL(geteuid),
    CALL(getgid),
    CALL(getegid),
    CALL(getppid),
#ifdef SYS_open /* x86-64 has these, too */
    CALL(open),
    CALL(stat),
    CALL(lstat),
    CALL(access),
    CALL(readlink),
    CALL(unlink),
    CALL(chmod),
    CALL(rename),
    CALL(poll),
    CALL(select),
    CALL(epoll_wait),
    CALL(time),
    CALL(getrlimit),
    CALL(arch_prctl),
#endif
};

/* 32 bits of an argument: the registers' upper halves are not what the kernel reads of an int. */
static int add_rule(scmp_filter_ctx filter, const struct seccomp_call *call)
{
    const uint64_t all = UINT32_MAX;

    switch (call->rule) {
    case SECCOMP_ALLOW_IF:
        return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call->number, 1,
                                SCMP_CMP(call->argument, SCMP_CMP_MASKED_EQ, call->mask, call->value));
    case SECCOMP_ALLOW_EXACT:
        return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call->number, 1,
                                SCMP_CMP(call->argument, SCMP_CMP_MASKED_EQ, all, call->value));
    case SECCOMP_ABSENT:
        return seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), call->number, 0);
    case SECCOMP_ALLOW:
        break;
    }
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, call->number, 0);
}

static int add_rules(scmp_filter_ctx filter, const struct seccomp_calls *calls)
{
    int rc = 0;

    for (size_t i = 0; i < calls->n && rc == 0; i++)
        rc = add_rule(filter, &calls->list[i]);
    return rc;
}

/* abort() and raise() signal a thread of this process. */
static int add_own_process(scmp_filter_ctx filter)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SYS_tgkill, 1,
                            SCMP_CMP(0, SCMP_CMP_MASKED_EQ, UINT32_MAX, (uint64_t)getpid()));
}

static int fill(scmp_filter_ctx filter, const struct seccomp_calls *own)
{
    const struct seccomp_calls common = {.list = common_calls, .n = ARRAY_SIZE(common_calls)};
    int rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0); /* the caller has set it, or has the right */

    if (rc == 0)
        rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a binary tree */
    if (rc == 0)
        rc = add_rules(filter, &common);
    if (rc == 0)
        rc = add_rules(filter, own);
    return rc == 0 ? add_own_process(filter) : rc;
}

/* Takes `filter` over; `rc`: what went wrong so far, negative. */
static int load(scmp_filter_ctx filter, int rc, struct error **err)
{
    if (rc != 0) {
        seccomp_release(filter);
        return error_set_errno(err, GRPC_STATUS_INTERNAL, -rc, "make the system call filter");
    }
    rc = seccomp_load(filter);
    seccomp_release(filter);
    if (rc == -ECANCELED) /* of libseccomp: the kernel has refused, see errno */
        rc = -errno;
    return rc == 0 ? 0
                   : error_set_errno(err, GRPC_STATUS_PERMISSION_DENIED, -rc,
                                     "load the system call filter (seccomp)");
}

int seccomp_filter_load(const struct seccomp_calls *own, enum seccomp_refusal refusal, struct error **err)
{
    uint32_t otherwise = refusal == SECCOMP_REFUSAL_KILL ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_TRAP;
    scmp_filter_ctx filter = seccomp_init(otherwise);

    return load(filter, filter == NULL ? -ENOMEM : fill(filter, own), err);
}

int seccomp_forbid_io_uring(struct error **err)
{
    static const struct seccomp_call absent[] = {CALL_ABSENT(NR_IO_URING_SETUP)};
    const struct seccomp_calls calls = {.list = absent, .n = ARRAY_SIZE(absent)};
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int rc = filter == NULL ? -ENOMEM : seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);

    return load(filter, rc == 0 ? add_rules(filter, &calls) : rc, err);
}

char *seccomp_call_name(int number)
{
    cleanup_free char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);

    return name != NULL ? steal_ptr(&name) : strdup("?");
}
