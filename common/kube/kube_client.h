/*
 * kube_client.h - JSON requests to the Kubernetes API over the common HTTP client.
 *
 * Credentials stay fresh: token and CA files are read again when they are older than a minute, at once after
 * a 401 (the token) or a failed TLS verification (the CA), and the request is then repeated once. 429 and 5xx
 * responses are retried after Retry-After (or a growing pause for reads) plus jitter, while the deadline
 * allows. A write without Retry-After is not retried, since its outcome is not known (kube_upsert.h finds it
 * out). A request whose kept connection falls silent is sent again within a second or two if it is repeatable
 * (common/http/client.h); another write fails with UNAVAILABLE. There are no watches: every response is due.
 *
 * Every try goes through one queue (kube_queue.h): a limited number in flight, a pause that the API server
 * asks for is kept by all, and while it is unreachable (kube_health.h) all fail at once. Waiting counts
 * against the deadline.
 *
 * Call contract: common/grpc/client.h.
 */
#ifndef COMMON_KUBE_KUBE_CLIENT_H
#define COMMON_KUBE_KUBE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "common/http/client.h"
#include "common/kube/kube_health.h"
#include "common/kube/kube_meta.h"
#include "common/kube/kube_rest_config.h"

enum {
    KUBE_RESPONSE_MAX = 4 * 1024 * 1024, /* bytes; the API server stores at most about 1.5 MiB per object */
    KUBE_TIMEOUT_MS = 30 * 1000,         /* a request as a whole, unless the caller has less time */
    KUBE_TRIES_MAX = 10,                 /* of one request, as client-go */
};

#define KUBE_MERGE_PATCH "application/merge-patch+json" /* RFC 7396 */

struct kube_client;
struct kube_call;

/* --- the client --- */

/* Takes over the content of *config (also on failure). `http` and `log` are borrowed. */
struct kube_client *kube_client_create(uv_loop_t *loop, struct http_client *http,
                                       struct kube_rest_config *config, struct log *log, struct error **err);

/* No call may be running. Accepts NULL. */
void kube_client_destroy(struct kube_client *client);

uv_loop_t *kube_client_loop(const struct kube_client *client);

/* Called for every try, those that are retried and the probes ("readyz") included: `method`, the resource's plural
 * as in the path, the HTTP status (0: no response) and how long it took. For metrics; all borrowed. */
typedef void kube_request_observer(const char *method, const char *resource, int status, double seconds,
                                   void *arg);

/* `observer` may be NULL. */
void kube_client_observe(struct kube_client *client, kube_request_observer *observer, void *arg);

/* False from the first request without a response to the next one with any. Changes are logged. */
bool kube_client_reachable(const struct kube_client *client);

/* on_recovered is for those that wait for their next try: they need not wait any longer.
 * kube_health_unlisten() ends it, before kube_client_destroy(). */
void kube_client_listen(struct kube_client *client, struct kube_health_listener *listener);

/* --- calls --- */

struct kube_request {
    const char *method;       /* "GET", "POST", "PUT", "PATCH", "DELETE" */
    const char *path;         /* "/apis/...", query included; see kube_path() */
    const cJSON *body;        /* borrowed during start; NULL without */
    const char *content_type; /* of the body; NULL = application/json; a literal */
    bool metadata_only;       /* of the object only its metadata comes back */
    bool repeatable;          /* the API server may get it twice: the caller copes with the conflict that the
                                 second one meets; true of GET anyway. See common/http/client.h */
    uint64_t timeout_ms;      /* 0 or more than KUBE_TIMEOUT_MS = KUBE_TIMEOUT_MS */
};

/* Borrowed during the callback. */
struct kube_response {
    int status; /* HTTP status; 0 when there was none */
    cJSON
        *json; /* the object, or the Status of a failure; NULL when the body was no JSON. The callee may take
                      it (set to NULL) */
    bool rejected; /* by the queue: another try within the same operation is of no use */
};

/* `error` is NULL for 2xx with a JSON body. Codes of failures: 400 and 422 INVALID_ARGUMENT, 401
 * UNAUTHENTICATED, 403 PERMISSION_DENIED, 404 NOT_FOUND, 409 ALREADY_EXISTS or (conflict) ABORTED, 410
 * OUT_OF_RANGE, 413 RESOURCE_EXHAUSTED, 429, 5xx and no connection UNAVAILABLE, time over DEADLINE_EXCEEDED,
 * others INTERNAL. Texts are the API server's. */
typedef void kube_callback(struct kube_response *response, const struct error *error, void *arg);

struct kube_call *kube_call_start(struct kube_client *client, const struct kube_request *request,
                                  kube_callback *callback, void *arg, struct error **err);

/* Sets *call to NULL; the callback will not run. */
void kube_call_cancel(struct kube_call **call);

#endif
