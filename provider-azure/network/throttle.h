/*
 * throttle.h - back-off shared by all requests to one service after a 429 (slow start). Pure decisions, no
 * I/O.
 *
 *            429                 the pause ends             responses      above THROTTLE_MAX_IN_FLIGHT
 *     OPEN ───────▶ PAUSED ────────────────────▶ RAMP_UP 1 ──────────▶ 2 ▶ 4 ... ─────────▶ OPEN
 *                     ▲                             │
 *                     └─────────── 429 ─────────────┘
 *
 * While a scope is PAUSED no request is sent. After the pause one request goes first; each response doubles
 * the number of requests that may be in flight, another 429 starts a new, longer pause. So a thousand waiting
 * mounts cost a vault in trouble one request per pause, and return to it step by step. OPEN scopes cost
 * nothing.
 *
 * The caller names a scope by a key: a vault (host and egress), or for tokens one application at one
 * authority, so that one throttled application does not stop the others.
 */
#ifndef PROVIDER_AZURE_NETWORK_THROTTLE_H
#define PROVIDER_AZURE_NETWORK_THROTTLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/crypto/digest.h"

/* Scopes that are throttled at the same time. One too many takes the slot of the scope without requests whose
 * pause ends first; without such a slot it has no shared back-off. */
enum { THROTTLE_MAX_SCOPES = 64 };
/* RAMP_UP ends when so many requests may be in flight at once. */
enum { THROTTLE_MAX_IN_FLIGHT = 32 };

struct throttle_scope;

/* One request of a scope. Embedded in its owner; all zero but `wake` and `arg` at first. */
struct throttle_permit {
    struct list link;
    struct throttle_scope *scope; /* NULL: neither queued nor counted */
    enum { PERMIT_NONE, PERMIT_QUEUED, PERMIT_HELD } state;
    bool gives_way; /* in the queue it stands behind those that do not */
    /* The owner may call throttle_acquire() again. Runs inside throttle_release() of another permit: it may
     * only set a flag or a timer. */
    void (*wake)(void *arg);
    void *arg;
};

/* All zero is an empty table. */
struct throttle_table {
    struct throttle_scope {
        uint8_t key[DIGEST_SHA256_LEN];
        unsigned limit; /* requests in flight at once; 0 = free slot (OPEN) */
        unsigned in_flight;
        unsigned consecutive_429; /* pauses without a response between them */
        uint64_t until_ms;        /* end of the pause */
        struct list queue;        /* struct throttle_permit */
    } scopes[THROTTLE_MAX_SCOPES];
};

#define THROTTLE_QUEUED UINT64_MAX

/* Asks for a permit to send now. 0: granted, end it with throttle_release(). THROTTLE_QUEUED: `wake` will be
 * called; the caller keeps its own deadline. Anything else: the milliseconds that are left of a pause. */
uint64_t throttle_acquire(struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN],
                          struct throttle_permit *permit, uint64_t now_ms);

/* The permit does not give way any more. */
void throttle_hurry(struct throttle_permit *permit);

enum throttle_outcome {
    THROTTLE_RESPONSE,   /* any status but 429 */
    THROTTLE_NO_RESPONSE /* failed, cancelled or timed out, also while queued; and after throttle_pause() */
};

/* Ends a permit; harmless for one in state PERMIT_NONE. Wakes queued permits. */
void throttle_release(struct throttle_permit *permit, enum throttle_outcome outcome);

/* The service returned 429: no request of the scope is sent before `until_ms`, which the caller bounds. A
 * pause is never shortened. Call it before throttle_release(). */
void throttle_pause(struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN], uint64_t now_ms,
                    uint64_t until_ms);

/* The number of pauses in a row; 0 when the scope is OPEN. */
unsigned throttle_consecutive_429(const struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN]);

/* A woken request has ended before it was sent: wakes another one instead. */
void throttle_wake_next(struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN]);

#endif
