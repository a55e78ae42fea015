/*
 * throttle.h - back-off shared by all who ask one scope, after it has answered 429. Pure decisions, no I/O.
 *
 *            429                 the pause is over            answers         all the way
 *     OPEN ───────▶ PAUSED ────────────────────▶ NARROW 1 ──────────▶ 2 ▶ 4 ... ─────────▶ OPEN
 *                     ▲                             │
 *                     └─────────── 429 ─────────────┘
 *
 * While PAUSED nobody sends. When the pause is over one request goes first; each answer doubles the number
 * that may be on their way at once, another 429 starts a new, longer pause. So a thousand waiting mounts cost
 * a vault in trouble one request per pause, and return to it step by step. OPEN places cost nothing.
 *
 * A place is named by a key of the caller's: a vault (by host and route), or for tokens one application at
 * one authority, so that one throttled application does not stop the others.
 */
#ifndef PROVIDER_AZURE_NETWORK_THROTTLE_H
#define PROVIDER_AZURE_NETWORK_THROTTLE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/crypto/digest.h"
/* Places in trouble at the same time. One too many takes the slot whose pause ends first and nobody waits
 * for; without such a slot it goes without shared back-off. */
enum { THROTTLE_MAX_SCOPES = 64 };
/* NARROW ends when so many may be on their way at once: a mount has at most 32. */
enum { THROTTLE_MAX_IN_FLIGHT = 32 };

struct throttle_scope;

/* One request towards a place. Embedded; all zero but `wake` and `arg` at first. */
struct throttle_permit {
    TAILQ_ENTRY(throttle_permit) link;
    struct throttle_scope *scope; /* NULL: neither queued nor counted */
    enum { PERMIT_NONE, PERMIT_QUEUED, PERMIT_HELD } state;
    /* It is this one's turn to try throttle_acquire() again. Called from inside throttle_release() of another: it
     * may only make a note or set a timer. */
    void (*wake)(void *arg);
    void *arg;
};
TAILQ_HEAD(throttle_queue, throttle_permit);

/* All zero is an empty table. */
struct throttle_table {
    struct throttle_scope {
        uint8_t key[DIGEST_SHA256_LEN];
        unsigned limit; /* 0 = free slot (OPEN) */
        unsigned in_flight;
        unsigned consecutive_429; /* pauses in a row */
        uint64_t until_ms;
        struct throttle_queue queue;
    } scopes[THROTTLE_MAX_SCOPES];
};

#define THROTTLE_QUEUED UINT64_MAX

/* Asks to send now. 0: go, and end it with throttle_release(). THROTTLE_QUEUED: `wake` will be called; the
 * caller keeps its own deadline. Anything else: the milliseconds that are left of a pause. */
uint64_t throttle_acquire(struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN],
                          struct throttle_permit *permit, uint64_t now_ms);

enum throttle_outcome {
    THROTTLE_RESPONSE,   /* any answer but 429 */
    THROTTLE_NO_RESPONSE /* failed, cancelled or given up, also while queued; and after throttle_pause() */
};

/* The request has ended; accepts a pass that is OUT. Wakes others. */
void throttle_release(struct throttle_table *table, struct throttle_permit *permit,
                      enum throttle_outcome outcome);

/* The place answered 429: nobody sends until then. Pauses are only ever extended. Call it before leaving. */
void throttle_pause(struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN], uint64_t now_ms,
                    uint64_t until_ms);

/* How many pauses in a row the place has ordered; 0 when it is OPEN. */
unsigned throttle_consecutive_429(const struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN]);

/* Somebody who was to try gave up before trying: another one shall. */
void throttle_wake_next(struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN]);

#endif
