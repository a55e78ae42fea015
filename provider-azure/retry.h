/*
 * retry.h - when to try again, and after how long. Pure decisions, no I/O.
 *
 * The delays are those the Azure SDK uses: (2^n - 1) x base, with a random factor in [0.8, 1.3), n = 1 for
 * the first retry; what the server asks for in Retry-After replaces them.
 */
#ifndef PROVIDER_AZURE_RETRY_H
#define PROVIDER_AZURE_RETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/http/client.h"

/* A server that asks for more than this is taken at its word: no retry, the caller's own retry comes later.
 */
enum { RETRY_AFTER_MAX_MS = 60 * 1000 };

struct retry_policy {
    unsigned max_retries;
    uint64_t base_ms;
    uint64_t cap_ms;
    uint64_t try_timeout_ms; /* limit of one try */
    bool retry_404_410;      /* IMDS: its way of saying "updating" */
};

extern const struct retry_policy retry_service; /* Key Vault and Entra */
extern const struct retry_policy retry_imds;
extern const struct retry_policy retry_never; /* NMI waits by itself for up to a minute and more */

/* Whether an HTTP status is worth another try: 408, 429, 500, 502, 503, 504 and, for IMDS, 404, 410 and all
 * 5xx. */
bool retry_status(const struct retry_policy *policy, int status);

/* Whether a failure without an answer is. `tries` counts those made, this one included. A name that does not
 * resolve gets one more try only (it usually is a wrong vault name, and the user waits); a TLS failure none.
 */
bool retry_failure(const struct error *error, enum http_hop hop, unsigned tries);

/* Delay before retry number `retry` (from 1). `random` is any 32-bit number. */
uint64_t retry_delay_ms(const struct retry_policy *policy, unsigned retry, uint32_t random);

/* --- back-off shared by all who talk to one host
 * ------------------------------------------------------------------ */

enum { THROTTLE_MAX_HOSTS = 64, THROTTLE_HOST_MAX = 255 };

/* Remembers, per host, until when it asked to be left alone (429). A host that does not fit evicts the one
 * whose pause ends first. */
struct throttle_table {
    struct throttle_entry {
        char host[THROTTLE_HOST_MAX + 1]; /* "" = free */
        uint64_t until_ms;
    } entries[THROTTLE_MAX_HOSTS];
};

/* Milliseconds to wait before sending to `host`; 0 = go. */
uint64_t throttle_wait_ms(const struct throttle_table *table, const char *host, uint64_t now_ms);

/* `host` asked for a pause until then; an earlier pause is only ever extended. Hosts longer than
 * THROTTLE_HOST_MAX are ignored. */
void throttle_note(struct throttle_table *table, const char *host, uint64_t until_ms);

#endif
