/*
 * counters.h - what happened: totals for tests and benchmarks, and a log of the last requests.
 *
 * Everything but the connection count is called with the emulator's lock held.
 */
#ifndef EMULATOR_COUNTERS_H
#define EMULATOR_COUNTERS_H

#include <stdint.h>

#include "test/emulator/emulator.h"

struct counters;
struct counters *counters_create(void);
void counters_destroy(struct counters *counters);

/* Connections of the TLS port; any thread, no lock needed. */
void counters_connection(struct counters *counters, bool opened);

void counters_request_arrived(struct counters *counters);
void counters_request_ended(struct counters *counters);
/* The outcome; `status` 0 = no response was given. */
void counters_request_done(struct counters *counters, const struct request *request, const char *route,
                           unsigned status);
void counters_token_issued(struct counters *counters);
void counters_unknown_vault(struct counters *counters);

/* Both make a new tree; the caller deletes it. `service` NULL = all; `last` 0 = all that is kept. */
cJSON *counters_report(const struct counters *counters);
cJSON *counters_requests(const struct counters *counters, const char *service, size_t last);
void counters_reset(struct counters *counters);

#endif
