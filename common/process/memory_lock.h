/*
 * memory_lock.h - memory that never reaches swap (mlockall(2), mlock2(2)): nodes may swap, and what a volume
 * keeps off the disks must not get there by way of the process.
 *
 * All memory is locked as it is touched, if the process may lock without a limit (RLIMIT_MEMLOCK; root raises
 * its own). With a limit, locking everything would make allocations fail at some point: then only the memory
 * of the wiping allocator and of the TLS library's buffers is locked (secret_arena.h, tls_memory.h), and what
 * does not fit there is not. Both have the arena, which is quicker as well. Sanitized programs lock nothing:
 * their shadow memory is larger than any limit.
 */
#ifndef COMMON_PROCESS_MEMORY_LOCK_H
#define COMMON_PROCESS_MEMORY_LOCK_H

#include "common/base/log.h"
#include "common/process/metrics.h"

enum memory_lock { MEMORY_LOCK_NONE, MEMORY_LOCK_SECRETS, MEMORY_LOCK_ALL };

/* Whether the process goes on with the capabilities it has (--sandbox=off): with CAP_IPC_LOCK no limit
 * holds. */
enum memory_lock_rights { MEMORY_LOCK_RIGHTS_DROPPED, MEMORY_LOCK_RIGHTS_KEPT };

/* Locks what is possible, logs it in one line and sets memory_locked; also registers
 * secret_memory_overflows_total. Call before there is another thread, and before capabilities are dropped. */
enum memory_lock memory_lock_enter(enum memory_lock_rights rights, struct log *log, struct metrics *metrics);

#endif
