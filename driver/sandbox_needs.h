/*
 * sandbox_needs.h - what the driver needs while it serves: the capabilities and system calls of its sandbox
 * (common/process/sandbox.h).
 *
 * There is no Landlock: it forbids all mounting.
 */
#ifndef DRIVER_SANDBOX_NEEDS_H
#define DRIVER_SANDBOX_NEEDS_H

#include "common/process/sandbox.h"

extern const struct sandbox_needs driver_sandbox_needs;

#endif
