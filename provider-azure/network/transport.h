/*
 * transport.h - the outside world as one table: HTTP requests, certificates, threads, timers, clocks, random
 * numbers.
 *
 * All modules below mount.c reach the outside only through this table, so that the unit tests drive them with
 * a fake that needs no network, no event loop and no sleeping. transport.c is the real one (libcurl on
 * libuv).
 *
 * Calls and timers follow the contract of common/grpc/client.h: start returns NULL with err set and never
 * calls back, or the callback runs exactly once, later; cancel sets the caller's pointer to NULL and the
 * callback will not run.
 */
#ifndef PROVIDER_AZURE_NETWORK_TRANSPORT_H
#define PROVIDER_AZURE_NETWORK_TRANSPORT_H

#include <stdint.h>
#include <uv.h>

#include "common/base/buffer.h"
#include "common/base/error.h"
#include "common/http/client.h"
#include "provider-azure/network/tls_probe.h"
#include "provider-azure/network/work_pool.h"

/* An HTTP response, reduced to the parts that the protocols here use. Strings live during the callback, NULL
 * = absent. What comes from headers is for failures, and absent when the status is 200. */
struct http_reply {
    int status;
    struct buffer body;     /* the callee may move it out (assign, then buffer_init()) */
    int64_t retry_after_ms; /* -1 = no Retry-After */
    const char *challenge;  /* WWW-Authenticate */
    const char *request_id; /* x-ms-request-id */
    uint64_t sent_ms;       /* the time of sending; set by http_retry.c */
};

struct transport_call;
struct transport_timer;

/* Either `reply` (any HTTP status) or `error` with the `hop` that failed; both borrowed during the call. */
typedef void transport_callback(struct http_reply *reply, enum http_hop hop, const struct error *error,
                                void *arg);
typedef void transport_fired(void *arg);

struct transport_ops {
    struct transport_call *(*send)(void *state, const struct http_request *request,
                                   transport_callback *callback, void *arg, struct error **err);
    void (*cancel)(void *state, struct transport_call **call);
    /* Runs `fired` once after `delay_ms` (0: in the next turn). NULL only on lack of memory. */
    struct transport_timer *(*after)(void *state, uint64_t delay_ms, transport_fired *fired, void *arg,
                                     struct error **err);
    void (*stop)(void *state, struct transport_timer **timer);
    uint64_t (*now_ms)(void *state); /* since boot, sleep included */
    int64_t (*unix_s)(void *state);  /* wall clock */
    uint32_t (*random)(void *state); /* for jitter only, not for cryptography */
    /* The names in a TLS server's certificate: tls_probe.h. `ca_file` of the request is ignored;
     * without ca_pem the system's trust store applies. */
    struct tls_probe *(*probe)(void *state, const struct tls_probe_request *request,
                               tls_probe_callback *callback, void *arg, struct error **err);
    void (*probe_cancel)(void *state, struct tls_probe **probe);
    /* Work in another thread: work_pool.h. */
    struct work_job *(*work)(void *state, const struct work *work, struct error **err);
    void (*work_cancel)(void *state, struct work_job **job);
};

struct transport {
    const struct transport_ops *ops;
    void *state;
};

/* --- the operations; see the fields of transport_ops --- */

/* Sends a request, which is borrowed during this call. */
struct transport_call *transport_send(const struct transport *transport, const struct http_request *request,
                                      transport_callback *callback, void *arg, struct error **err);

/* Ends a request without its callback. Accepts a pointer to NULL. */
void transport_cancel(const struct transport *transport, struct transport_call **call);

/* Starts a timer that runs once. */
struct transport_timer *transport_after(const struct transport *transport, uint64_t delay_ms,
                                        transport_fired *fired, void *arg, struct error **err);

/* Ends a timer that has not run. Accepts a pointer to NULL. */
void transport_stop(const struct transport *transport, struct transport_timer **timer);

/* Time since boot, which counts the sleep of the machine and cannot be set. */
uint64_t transport_now_ms(const struct transport *transport);

/* The wall clock. */
int64_t transport_unix_s(const struct transport *transport);

/* A number for jitter, not for cryptography. */
uint32_t transport_random(const struct transport *transport);

/* Starts a probe of a TLS server's certificate; `request` is borrowed during this call. */
struct tls_probe *transport_probe(const struct transport *transport, const struct tls_probe_request *request,
                                  tls_probe_callback *callback, void *arg, struct error **err);

/* Ends a probe without its callback. Accepts a pointer to NULL. */
void transport_probe_cancel(const struct transport *transport, struct tls_probe **probe);

/* Starts work in another thread. NULL with err set on lack of memory. */
struct work_job *transport_work(const struct transport *transport, const struct work *work,
                                struct error **err);

/* Nobody waits for the work any more: see work_job_cancel(). Accepts a pointer to NULL. */
void transport_work_cancel(const struct transport *transport, struct work_job **job);

/* The real one. `loop`, `client` and `pool` are borrowed. NULL with err set on lack of memory. */
struct transport *transport_create(uv_loop_t *loop, struct http_client *client, struct work_pool *pool,
                                   struct error **err);

/* No call or timer may be left. Accepts NULL. */
void transport_destroy(struct transport *transport);

#endif
