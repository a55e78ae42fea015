/*
 * throttle.h - back-off shared by all requests to one service after a 429 (slow start). Pure decisions, no
 * I/O.
 *
 *            429                 the pause ends             responses      above THROTTLE_MAX_IN_FLIGHT
 *     OPEN ───────▶ PAUSED ────────────────────▶ RAMP_UP 1 ──────────▶ 2 ▶ 4 ... ─────────▶ OPEN
 *                     ▲                             │
 *                     └─────────── 429 ─────────────┘
 *
 * While a scope is PAUSED no request is sent. It ends a little later than the service asked for, so that the
 * nodes return one after the other (throttle_spread()). The spread belongs to the pause, not to a request: a
 * node with many requests, or with one that comes late, does not return before others for that. After the
 * pause one request goes first. Each response doubles the number of requests that may be in flight, up to
 * half of what it was when the 429 came; from there it grows by one, as TCP's congestion window does (OPEN
 * counts as THROTTLE_MAX_IN_FLIGHT, whatever was in flight): all that are in flight when the vault's limit is
 * reached get 429. Another 429 starts a new, longer pause. So a thousand waiting mounts cost a vault in
 * trouble one request per pause, and return to it step by step. OPEN scopes cost nothing.
 *
 * The permits of a scope are granted in one order, whatever the order of the calls: those that give way last,
 * else the one that waits for the longest. So a node with many waiting mounts ends one after the other, not
 * all of them late.
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
/* The last node returns at most so long after the end of a pause. */
enum { THROTTLE_MAX_SPREAD_MS = 1000 };
/* Two windows of Key Vault's limit. So long after a pause the number doubles again, whatever it was. */
enum { THROTTLE_CALM_MS = 20 * 1000 };

struct throttle_scope;

/* One request of a scope. Embedded in its owner; all zero but `wake`, `arg`, `since_ms` and `deadline_ms` at
 * first. */
struct throttle_permit {
    struct list link;
    struct throttle_scope *scope; /* NULL: neither queued nor counted */
    enum { PERMIT_NONE, PERMIT_QUEUED, PERMIT_WOKEN, PERMIT_HELD } state;
    uint64_t deadline_ms; /* the owner may move it */
    bool gives_way;       /* in the queue it stands behind those that do not */
    uint64_t since_ms;    /* and those that wait for longer */
    uint64_t number;      /* and those of the same time that came before; 0 = not queued yet */
    /* The owner calls throttle_acquire() again, soon. Runs inside throttle_acquire() or throttle_release() of
     * another permit: it may only set a flag or a timer. */
    void (*wake)(void *arg);
    void *arg;
};

/* All zero is an empty table. */
struct throttle_table {
    struct throttle_scope {
        uint8_t key[DIGEST_SHA256_LEN];
        unsigned limit;         /* requests in flight at once; 0 = free slot (OPEN) */
        unsigned doubles_below; /* RAMP_UP: the limit from which it grows by one */
        unsigned responses;     /* since it grew by one */
        unsigned in_flight;
        unsigned woken;           /* permits that may be in flight as soon as their owners ask for it */
        unsigned consecutive_429; /* pauses without a response between them */
        bool paused;              /* until a permit is asked for after the pause and its spread */
        uint64_t pause_ms;        /* of the 429 that gave `until_ms` */
        uint64_t until_ms;        /* end of the pause, without its spread */
        uint32_t random;          /* of this pause: its spread */
        uint64_t number;          /* of the permit that was queued last */
        struct list queue;        /* struct throttle_permit */
    } scopes[THROTTLE_MAX_SCOPES];
};

#define THROTTLE_QUEUED UINT64_MAX

/* Asks for a permit to send now. 0: granted, end it with throttle_release(). THROTTLE_QUEUED: `wake` will be
 * called; the caller keeps its own deadline. Anything else: the milliseconds that are left of a pause; the
 * permit is queued, and the caller asks again after the pause. */
uint64_t throttle_acquire(struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN],
                          struct throttle_permit *permit, uint64_t now_ms);

/* The permit does not give way any more, and waits since that time, if it is earlier. */
void throttle_hurry(struct throttle_permit *permit, uint64_t since_ms);

/* Queues a permit that is in no state, if its scope is paused: the owner asks after the milliseconds that are
 * returned. 0: the scope is not paused, or has no shared back-off. */
uint64_t throttle_queue(struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN],
                        struct throttle_permit *permit, uint64_t now_ms);

/* How long after a pause a request comes: at most a quarter of the pause and THROTTLE_MAX_SPREAD_MS, in the
 * second half of it if the request gives way, and never more than half of what the deadline leaves then. */
uint64_t throttle_spread(uint64_t pause_ms, uint64_t left_ms, bool gives_way, uint32_t random);

enum throttle_outcome {
    THROTTLE_RESPONSE,   /* any status but 429 */
    THROTTLE_NO_RESPONSE /* failed, cancelled or timed out, also while it waits; and after throttle_pause() */
};

/* Ends a permit; harmless for one in state PERMIT_NONE. Wakes queued permits. */
void throttle_release(struct throttle_permit *permit, enum throttle_outcome outcome);

/* The service returned 429: no request of the scope is sent before `until_ms`, which the caller bounds. A
 * pause is never shortened. `random` is for the pause, if it is a new one. Call it before
 * throttle_release(). */
void throttle_pause(struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN], uint64_t now_ms,
                    uint64_t until_ms, uint32_t random);

/* The number of pauses in a row; 0 when the scope is OPEN. */
unsigned throttle_consecutive_429(const struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN]);

#endif
