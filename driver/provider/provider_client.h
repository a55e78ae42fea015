/*
 * provider_client.h - calling a provider: Mount (the content of one volume) and Version (is it there?).
 *
 * Protocol: proto/provider.proto. The provider returns files, it never writes them. Call contract:
 * common/grpc/client.h.
 */
#ifndef DRIVER_PROVIDER_PROVIDER_CLIENT_H
#define DRIVER_PROVIDER_PROVIDER_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/string_map.h"
#include "driver/base/driver_metrics.h"
#include "driver/payload/payload.h"
#include "driver/provider/provider_registry.h"

struct provider_call;

/* What is asked for; borrowed during provider_call_start(). */
struct provider_mount_request {
    const struct string_map *attributes; /* see publish_request_attributes() */
    const struct string_map *secrets;    /* nodePublishSecretRef and maybe tokens; empty is sent as null */
    const char *target_path;             /* informative */
    const struct string_map *current_versions; /* what is mounted now; NULL or empty on a first mount */
    uint64_t timeout_ms;
};

/* What came back. Belongs to the callee: provider_answer_finish(). */
struct provider_answer {
    struct payload payload;     /* sealed */
    struct string_map versions; /* object id -> version, at least one */
    bool no_files;              /* the provider returned none: what is in the volume stays as it is */
};

void provider_answer_finish(struct provider_answer *answer);

/* On failure `answer` is NULL, `error` says why, and `error_type` is its metrics label ("GRPCProviderError",
 * "FileWriteError", or the code that the provider put into its answer). All are borrowed except the content
 * of `answer`, which the callee may move out. */
typedef void provider_callback(struct provider_answer *answer, const struct error *error,
                               const char *error_type, void *arg);

enum {
    PROVIDER_TRIES_MAX = 3,          /* of one Mount */
    PROVIDER_VERSIONS_MAX = 10000,   /* object versions of one answer; as PAYLOAD_FILES_MAX */
    PROVIDER_LOST_PAUSE_MS = 50,     /* before the next try when the connection ended under the call */
    PROVIDER_REFUSED_PAUSE_MS = 1000 /* ... when the provider itself said UNAVAILABLE; up to a quarter more */
};

/* Fetching is repeatable. So a call that ends with UNAVAILABLE, because the provider went away under it or
 * because the provider says so, is made again, PROVIDER_TRIES_MAX times in all and within the time: a
 * provider that is restarted or replaced loses no mount. The provider is looked up anew each time. (A
 * provider that can not be reached at all has been waited for: provider_registry.h.)
 *
 * Failures delivered, each naming the provider: the provider's own code and text; UNAVAILABLE (nobody
 * listens); DEADLINE_EXCEEDED; RESOURCE_EXHAUSTED (the answer is too large; --max-call-recv-msg-size);
 * INTERNAL (an answer that breaks the protocol); INVALID_ARGUMENT (a file path that breaks the rules). Fails
 * at once like provider_registry_find(). */
struct provider_call *provider_call_start(struct provider_registry *registry, const char *provider,
                                          const struct provider_mount_request *request,
                                          provider_callback *callback, void *arg, struct error **err);

/* Sets *call to NULL; the callback will not run any more. */
void provider_call_cancel(struct provider_call **call);

/* --- health (--provider-health-check) --- */

struct provider_health;

/* Asks every provider in use for its Version at each interval, with a deadline of 5 s, logs the outcome at
 * verbosity 4 and its changes at 0, and counts it (driver_metrics.h; may be NULL). All are borrowed. */
struct provider_health *provider_health_create(uv_loop_t *loop, struct provider_registry *registry,
                                               struct driver_metrics *metrics, struct log *log,
                                               uint64_t interval_ms, struct error **err);

/* Cancels checks that run. Before provider_registry_destroy(). Accepts NULL. */
void provider_health_destroy(struct provider_health *health);

#endif
