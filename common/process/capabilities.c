/*
 * capabilities.c - by the system calls themselves: the C libraries have no functions for them.
 */
#include "common/process/capabilities.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's sets have 64 bits, in two words. */
enum { CAPABILITIES_MAX = 64 };

static uint64_t mask_of(const int *list, size_t n)
{
    uint64_t mask = 0;

    for (size_t i = 0; i < n; i++)
        mask |= UINT64_C(1) << list[i];
    return mask;
}

int capabilities_keep(const int *keep, size_t n_keep, struct error **err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {0};
    uint64_t mask = mask_of(keep, n_keep);

    if (syscall(SYS_capget, &header, sets) == -1)
        return error_set_errno(err, GRPC_STATUS_PERMISSION_DENIED, errno, "read capabilities (capget)");
    for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        sets[i].permitted &= (uint32_t)(mask >> (32 * i));
        sets[i].effective = sets[i].permitted;
        sets[i].inheritable = 0;
    }
    /* Ambient ones go with the permitted ones; those that are kept would stay. Kernels before 4.3 have
     * none. */
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &header, sets) == -1)
        return error_set_errno(err, GRPC_STATUS_PERMISSION_DENIED, errno, "drop capabilities (capset)");
    return 0;
}

int capabilities_bound(const int *keep, size_t n_keep, struct error **err)
{
    uint64_t mask = mask_of(keep, n_keep);

    for (int i = 0; i < CAPABILITIES_MAX; i++) {
        int is_set = prctl(PR_CAPBSET_READ, i, 0, 0, 0);

        if (is_set == -1)
            break; /* the kernel's last one was before */
        if (is_set == 0 || (mask >> i & 1) != 0)
            continue;
        if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == -1)
            return error_set_errno(err, GRPC_STATUS_PERMISSION_DENIED, errno,
                                   "reduce the capability bounding set (needs CAP_SETPCAP)");
    }
    return 0;
}

bool capabilities_have(int capability)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {0};

    return syscall(SYS_capget, &header, sets) == 0 &&
           (sets[capability / 32].effective >> (capability % 32) & 1) != 0;
}
