/*
 * provider_client.h - calling a provider: Mount (the content of one volume) and Version (is it there?).
 *
 * Protocol: proto/provider.proto. A provider returns files, or writes them below the target path and returns
 * none. Call contract: common/grpc/client.h.
 */
#ifndef DRIVER_PROVIDER_PROVIDER_CLIENT_H
#define DRIVER_PROVIDER_PROVIDER_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/string_map.h"
#include "common/process/byte_budget.h"
#include "driver/base/driver_metrics.h"
#include "driver/payload/payload.h"
#include "driver/provider/provider_registry.h"

/* Warnings of one response, and the bytes of each. An Event has room for a kilobyte. */
enum { PROVIDER_WARNINGS_MAX = 8, PROVIDER_WARNING_BYTES_MAX = 600 };

struct provider_call;

/* Borrowed during provider_call_start(). */
struct provider_mount_request {
    const struct string_map *attributes; /* see publish_request_attributes() */
    const struct string_map *secrets;    /* nodePublishSecretRef and maybe tokens; empty is sent as null */
    const char *target_path;             /* some providers write there */
    bool may_write; /* a tmpfs is mounted there. Otherwise only a provider that is known to return files is
                       called: what another one writes would be on the node's disk */
    const struct string_map *current_versions; /* mounted now; NULL or empty on a first mount */
    uint64_t timeout_ms;
    /* The response waits for its bytes, which stay reserved after a success (grpc_client_call_reserve()).
     * Both NULL: it does not. Borrowed until the end of the call. */
    struct byte_budget *budget;
    struct byte_reservation *bytes;
};

/* Belongs to the callee: provider_response_finish(). */
struct provider_response {
    struct payload payload;     /* sealed */
    struct string_map versions; /* object id -> version, at least one */
    bool no_files;              /* the provider returned none: it wrote them, or the content stays */
    bool may_be_empty;          /* all versions are empty: that of objects that may be missing, and are */
    char *warnings[PROVIDER_WARNINGS_MAX]; /* for the user: lines of UTF-8; further ones are dropped */
    size_t n_warnings;
};

/* Does the provider return files, as far as is known? Fails like provider_registry_find(). */
int provider_returns_files(struct provider_registry *registry, const char *provider, bool *ret,
                           struct error **err);

/* The error type of a call that was not sent, because the provider is not known to return files (any more):
 * see may_write. */
#define PROVIDER_MAY_WRITE "ProviderMayWrite"

void provider_response_finish(struct provider_response *response);

/* On failure `response` is NULL, `error` is the cause, and `error_type` is its metrics label
 * ("GRPCProviderError", "FileWriteError", or the code in the provider's response). All are borrowed except
 * the content of `response`, which the callee may move out. */
typedef void provider_callback(struct provider_response *response, const struct error *error,
                               const char *error_type, void *arg);

enum {
    PROVIDER_TRIES_MAX = 3,          /* of one Mount */
    PROVIDER_VERSIONS_MAX = 10000,   /* object versions of one response; as PAYLOAD_FILES_MAX */
    PROVIDER_LOST_PAUSE_MS = 50,     /* before the next try when the connection ended under the call */
    PROVIDER_REFUSED_PAUSE_MS = 1000 /* ... when the provider itself said UNAVAILABLE; up to a quarter more */
};

/* A Mount can be repeated. A call that ends with UNAVAILABLE, because its connection was lost or because
 * the provider says so, is retried, PROVIDER_TRIES_MAX tries in all and within the time: a restart or
 * replacement of the provider fails no mount. A provider that has tries of its own can forbid that, or name
 * the pause (grpc_pushback). The provider is found again for each try. (Connecting has a retry of its own:
 * provider_registry.h.)
 *
 * Failures delivered, each naming the provider: the provider's own code and text; UNAVAILABLE (nothing
 * listens); DEADLINE_EXCEEDED; RESOURCE_EXHAUSTED (the response is too large; --max-call-recv-msg-size);
 * INTERNAL (a response that breaks the protocol); INVALID_ARGUMENT (a file path that breaks the rules). Fails
 * at once like provider_registry_find(). */
struct provider_call *provider_call_start(struct provider_registry *registry, const char *provider,
                                          const struct provider_mount_request *request,
                                          provider_callback *callback, void *arg, struct error **err);

/* Why the last try failed, if the call has gone on after it; NULL: no try has. Borrowed until it goes on. */
const struct error *provider_call_last_failure(const struct provider_call *call);

/* Sets *call to NULL; the callback will not run any more. */
void provider_call_cancel(struct provider_call **call);

/* --- health (--provider-health-check) --- */

struct provider_health;

/* Calls Version of every provider in use at each interval, with a deadline of 5 s. Logs the outcome at
 * verbosity 4 and its changes at 0, and sets provider_up (`metrics` may be NULL). All are borrowed. */
struct provider_health *provider_health_create(uv_loop_t *loop, struct provider_registry *registry,
                                               struct driver_metrics *metrics, struct log *log,
                                               uint64_t interval_ms, struct error **err);

/* Cancels checks that run. Before provider_registry_destroy(). Accepts NULL. */
void provider_health_destroy(struct provider_health *health);

#endif
