/*
 * kube_health.h - does the Kubernetes API server respond? One circuit breaker for all requests of the
 * process: hundreds of volumes must not find out one by one, each in its own time, that it is away.
 *
 *                  no response             no probe succeeds for KUBE_SUSPECT_MS
 *     REACHABLE ───────────────▶ SUSPECT ─────────────────────────────────────────▶ UNREACHABLE
 *         ▲                         │                                                    │
 *         └─────────────────────────┴──── any response, to a probe or to a request ──────┘
 *
 *   REACHABLE    requests are sent.
 *   SUSPECT      a request has ended without a response, or requests have been in flight for KUBE_SILENCE_MS
 *                without any of them getting one. The server is probed; no further request is sent.
 *   UNREACHABLE  requests fail at once, and the probes go on.
 *
 * A probe is a small request on a connection of its own, one at a time, and every HTTP status is a response:
 * a server that is only slow, or one path that is broken, stays reachable. Pauses between probes double from
 * KUBE_PROBE_FIRST_MS to KUBE_PROBE_CAP_MS, plus up to a quarter by chance: the nodes of a cluster must not
 * come back in step.
 *
 * Loop thread only.
 */
#ifndef COMMON_KUBE_KUBE_HEALTH_H
#define COMMON_KUBE_KUBE_HEALTH_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/base/list.h"
#include "common/base/log.h"

enum {
    KUBE_SILENCE_MS = 3 * 1000,
    KUBE_SUSPECT_MS = 3 * 1000,       /* a restart behind a load balancer is over by then */
    KUBE_PROBE_TIMEOUT_MS = 3 * 1000, /* with the silence before it well below the time of a kubelet's call */
    KUBE_PROBE_FIRST_MS = 500,
    KUBE_PROBE_CAP_MS = 5 * 1000,
};

enum kube_health_state { KUBE_REACHABLE, KUBE_SUSPECT, KUBE_UNREACHABLE };

struct kube_health;

/* Starts one probe, whose outcome goes to kube_health_probed(), from a later turn of the loop. -1 with err
 * set counts as a failed probe. */
typedef int kube_health_probe(void *arg, struct error **err);

struct kube_health_config {
    uv_loop_t *loop;
    struct log *log;    /* may be NULL */
    const char *server; /* for the log */
    kube_health_probe *probe;
    void *arg;
    unsigned speedup; /* for tests: the times above are divided by it; 0 = 1 */
};

/* Everything in `config` is borrowed for life. */
struct kube_health *kube_health_create(const struct kube_health_config *config, struct error **err);

/* Its listeners have left. Accepts NULL. */
void kube_health_destroy(struct kube_health *health);

enum kube_health_state kube_health_state(const struct kube_health *health);

/* Sets *err to the UNAVAILABLE of a request that is not sent because the server does not respond. Returns -1.
 * */
int kube_health_error(const struct kube_health *health, struct error **err);

/* --- reports --- */

/* A request is sent. It ends with exactly one of the next three. */
void kube_health_sent(struct kube_health *health);
void kube_health_responded(struct kube_health *health);
void kube_health_no_response(struct kube_health *health, const struct error *error);
void kube_health_abandoned(struct kube_health *health);

/* A probe has ended. `error` NULL: with a response. */
void kube_health_probed(struct kube_health *health, const struct error *error);

/* --- listeners --- */

/* Embedded in the listener. The callbacks make no requests from inside; either may be NULL. */
struct kube_health_listener {
    struct list link;
    void (*on_change)(void *arg);    /* the state is another one */
    void (*on_recovered)(void *arg); /* REACHABLE after UNREACHABLE */
    void *arg;
};

void kube_health_listen(struct kube_health *health, struct kube_health_listener *listener);

/* Harmless when it does not listen, if its link was list_init()ed. */
void kube_health_unlisten(struct kube_health_listener *listener);

#endif
