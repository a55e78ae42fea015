/*
 * capabilities.h - the capabilities of this process, reduced for good (capabilities(7), prctl(2), capset(2)).
 *
 * Capabilities belong to a thread and are inherited by those it starts: call before there is another thread.
 */
#ifndef COMMON_PROCESS_CAPABILITIES_H
#define COMMON_PROCESS_CAPABILITIES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"

/* Keeps those of `keep` (CAP_* of <linux/capability.h>) that the process has, effective and permitted, and
 * nothing else: no inheritable and no ambient ones. -1 with err set (PERMISSION_DENIED) if the kernel
 * refuses. */
int capabilities_keep(const int *keep, size_t n_keep, struct error **err);

/* Drops all but `keep` from the bounding set, so that no program that is executed gets them back. Needs
 * CAP_SETPCAP unless there is nothing to drop: call before capabilities_keep(). -1 with err set
 * (PERMISSION_DENIED) without it. */
int capabilities_bound(const int *keep, size_t n_keep, struct error **err);

/* Whether this thread has the capability, effective. */
bool capabilities_have(int capability);

#endif
