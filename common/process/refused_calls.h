/*
 * refused_calls.h - what happens to a system call that the filter refuses: it fails with EPERM, and a line of
 * the log names it.
 *
 * The kernel sends SIGSYS in place of the call (seccomp(2), SECCOMP_RET_TRAP). The handler sets the result
 * and wakes the loop, which logs: the first refusal of each call, then at most one line per call and minute.
 * A signal handler gets no argument: there is one object per process, and it lives until the process ends.
 */
#ifndef COMMON_PROCESS_REFUSED_CALLS_H
#define COMMON_PROCESS_REFUSED_CALLS_H

#include <uv.h>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/process/metrics.h"

enum { REFUSED_CALLS_LOG_INTERVAL_MS = 60 * 1000 };

/* Installs the handler; the filter comes afterwards. `log` and `total`, which counts the calls, are borrowed
 * until refused_calls_stop(). -1 with err set. */
int refused_calls_start(uv_loop_t *loop, struct log *log, struct metric_family *total, struct error **err);

/* Closes the handle on the loop. Calls are refused as before, and no longer logged. Harmless without a
 * start. */
void refused_calls_stop(void);

#endif
