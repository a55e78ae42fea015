/*
 * sandbox_needs.c - three capabilities, and the system calls of mounting and of writing a volume.
 */
#include "driver/sandbox_needs.h"

#include <linux/capability.h>
#include <linux/sched.h>
#include <sys/syscall.h>

#include "common/base/cleanup.h"

#define CALL SECCOMP_CALL

static const int capabilities[] = {
    CAP_SYS_ADMIN,    /* mounts */
    CAP_CHOWN,        /* the fsGroup of a volume */
    CAP_DAC_OVERRIDE, /* files without any mode bit, directories and sockets of other users */
};

static const struct seccomp_call calls[] = {
    /* the mount and its fallbacks for old kernels (driver/volume) */
    CALL(fsopen),
    CALL(fsconfig),
    CALL(fsmount),
    CALL(fspick),
    CALL(move_mount),
    CALL(open_tree),
    CALL(mount_setattr),
    CALL(mount),
    CALL(umount2),
    CALL(openat2),
    /* how long the loop stands still (driver/base/worker.h) */
    CALL(timerfd_create),
    CALL(timerfd_settime),
    /* removing a volume in a mount namespace of the thread's own */
    {.number = SYS_unshare, .rule = SECCOMP_ALLOW_EXACT, .argument = 0, .value = CLONE_NEWNS},
    /* the files of a volume and what is stored with it */
    CALL(mkdirat),
    CALL(symlinkat),
    CALL(fchown),
    CALL(fchownat),
    CALL(fsetxattr),
    CALL(fgetxattr),
    CALL(fremovexattr),
    CALL(statfs),
    CALL(fstatfs),
    CALL(fsync),
    CALL(utimensat),
    CALL(fallocate),
    CALL(pwrite64),
#ifdef SYS_mkdir /* x86-64 has these, too */
    CALL(mkdir),
    CALL(rmdir),
    CALL(symlink),
#endif
};

const struct sandbox_needs driver_sandbox_needs = {
    .capabilities = capabilities,
    .n_capabilities = ARRAY_SIZE(capabilities),
    .calls = {.list = calls, .n = ARRAY_SIZE(calls)},
    .landlock = NULL,
};
