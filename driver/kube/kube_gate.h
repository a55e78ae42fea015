/*
 * kube_gate.h - when requests may go to the Kubernetes API, and how many at a time.
 *
 * One gate for all requests of the process, so that what one of them learns of the API server holds for all:
 * hundreds of volumes must not find out one by one, and each in its own time, that it is away.
 *
 *              no answer                    none for KUBE_GATE_PATIENCE_MS
 *     OPEN ───────────────▶ IN DOUBT ──────────────────────────────────────▶ SHUT
 *       ▲                      │                                              │
 *       └──────────────────────┴──── any answer, to a probe or a request ─────┘
 *
 *   OPEN      at most KUBE_IN_FLIGHT_MAX requests are under way, the others stand in line, first come, first
 *             served.
 *   IN DOUBT  a request has ended without an answer, or waits for one since KUBE_GATE_SILENCE_MS in which
 *             nobody got any. The API server is probed. Who is under way goes on, the line stands still.
 *   SHUT      it does not answer. Who is under way, pauses or stands in line is refused, and so is whoever
 *             comes, at once.
 *
 * A probe is a small request on a connection of its own, one at a time; every HTTP status is an answer. So a
 * server that is only slow, or one path that is broken, does not shut the gate. Pauses between probes double
 * from KUBE_GATE_PROBE_FIRST_MS to KUBE_GATE_PROBE_CAP_MS, plus up to a quarter by chance: the nodes of a
 * cluster must not come back in step.
 *
 * An API server that asks for a pause (429 and 503 with Retry-After) gets it from everybody: the line stands
 * still until it is over. Who has not so much time is refused at once. It may ask for at most
 * KUBE_GATE_PAUSE_MAX_MS: one answer must not stop a node for long.
 *
 * Loop thread only.
 */
#ifndef DRIVER_KUBE_KUBE_GATE_H
#define DRIVER_KUBE_KUBE_GATE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/base/list.h"
#include "common/base/log.h"

enum {
    KUBE_IN_FLIGHT_MAX = 16, /* requests at a time: a node that restarts publishes hundreds of volumes at
                                once, and all nodes of a cluster share one API server */
    KUBE_GATE_SILENCE_MS = 3 * 1000,
    KUBE_GATE_PATIENCE_MS = 3 * 1000, /* a restart behind a load balancer is over by then */
    KUBE_GATE_PROBE_MS = 3 * 1000,    /* a probe as a whole; with the silence before it well below the time
                                         that a kubelet's call has */
    KUBE_GATE_PROBE_FIRST_MS = 500,
    KUBE_GATE_PROBE_CAP_MS = 5 * 1000,
    KUBE_GATE_PAUSE_MAX_MS = 60 * 1000,
};

struct kube_gate;

/* Starts one probe, whose outcome goes to kube_gate_probed(), from a later turn of the loop. -1 with err set
 * counts as a probe that failed. */
typedef int kube_gate_probe(void *arg, struct error **err);

struct kube_gate_config {
    uv_loop_t *loop;
    struct log *log;    /* may be NULL */
    const char *server; /* for the log */
    kube_gate_probe *probe;
    void *arg;
    unsigned hurry; /* 0 = 1; for tests: the times of the gate itself are so many times shorter */
};

/* Everything in `config` is borrowed for life. */
struct kube_gate *kube_gate_create(const struct kube_gate_config *config, struct error **err);

/* No turn may be waiting or under way. Accepts NULL. */
void kube_gate_destroy(struct kube_gate *gate);

/* `error` NULL: there was an answer. */
void kube_gate_probed(struct kube_gate *gate, const struct error *error);

/* The API server has asked for a pause. */
void kube_gate_pause(struct kube_gate *gate, uint64_t ms);

/* Is the gate open? False in doubt, too. */
bool kube_gate_is_open(const struct kube_gate *gate);

/* --- who hears of the return --- */

struct kube_return {
    struct list link;
    void (*back)(void *arg); /* the gate was shut and is open again. May not make requests from inside */
    void *arg;
};

void kube_gate_listen(struct kube_gate *gate, struct kube_return *listener);
/* Harmless when it does not listen, if it was list_init()ed. */
void kube_return_end(struct kube_return *listener);

/* --- a request's turn --- */

enum kube_turn_state {
    KUBE_TURN_IDLE,
    KUBE_TURN_PAUSING,
    KUBE_TURN_IN_LINE,
    KUBE_TURN_CALLED, /* it has a place, `go` comes in the next turn of the loop */
    KUBE_TURN_UNDER_WAY,
    KUBE_TURN_REFUSED, /* `refused` comes in the next turn of the loop */
};

enum kube_turn_refusal {
    KUBE_TURN_SHUT,  /* the API server does not answer */
    KUBE_TURN_PAUSE, /* it has asked for a pause that is longer than the request has time */
    KUBE_TURN_LATE,  /* no place became free in time */
};

/* Embedded in a request. */
struct kube_turn {
    struct kube_gate *gate;
    struct list link;
    uv_timer_t timer; /* embedded; the struct lives until it is closed */
    enum kube_turn_state state;
    enum kube_turn_refusal refusal;
    uint64_t deadline_ms;               /* on uv_now()'s clock */
    void (*go)(struct kube_turn *turn); /* the request may be sent: it is under way until it says otherwise */
    /* It may not, or what is under way has to be given up. UNAVAILABLE, or DEADLINE_EXCEEDED for
     * KUBE_TURN_LATE; borrowed. */
    void (*refused)(struct kube_turn *turn, const struct error *error);
};

/* `go` and `refused` are set. */
void kube_turn_init(struct kube_turn *turn, struct kube_gate *gate, uint64_t deadline_ms);

/* Gets in line after `pause_ms`; gives back the place it has. One of the two callbacks comes from a later
 * turn of the loop, unless it leaves before. */
void kube_turn_wait(struct kube_turn *turn, uint64_t pause_ms);

/* The request under way has got an answer, or has ended without any because of `error`; its place is
 * free. */
void kube_turn_answered(struct kube_turn *turn);
void kube_turn_unanswered(struct kube_turn *turn, const struct error *error);

/* It is neither waiting nor under way any more. */
void kube_turn_leave(struct kube_turn *turn);

/* Leaves, and closes the timer; turn->timer.data is the turn. */
void kube_turn_close(struct kube_turn *turn, uv_close_cb closed);

#endif
