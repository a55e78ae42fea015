/*
 * publish_state.c - one publish from the inside: its children, its caller, its end.
 */
#include "driver/publish/publish_state.h"

#include <stdlib.h>

#include "common/base/secret.h"

void publish_dispose(struct publish *publish)
{
    secret_provider_class_free(publish->class);
    provider_response_finish(&publish->response);
    byte_reservation_release(&publish->bytes);
    error_free(publish->rollback_cause);
    error_free(publish->failure);
    error_free(publish->job.error);
    free(publish->job.metadata);
    secret_free(publish->metadata);
    volume_lock_release(&publish->lock); /* borrows the target path of the request */
    publish_request_finish(&publish->request);
    free(publish);
}

void publish_cancel_children(struct publish *publish)
{
    if (publish->cached_class != NULL)
        class_cache_cancel(&publish->cached_class);
    if (publish->lookup != NULL)
        class_source_cancel(publish->publisher->classes, &publish->lookup);
    if (publish->provider != NULL)
        provider_call_cancel(&publish->provider);
    if (publish->observers != NULL)
        observer_chain_cancel(&publish->observers);
}

void publish_respond(struct publish *publish, const struct error *error)
{
    if (publish->caller != PUBLISH_CALLER_WAITS)
        return;
    publish->caller = PUBLISH_CALLER_SERVED;
    publish->callback(error, publish->arg);
}

uint64_t publish_time_left(const struct publish *publish)
{
    uint64_t now = uv_now(publish->publisher->loop);

    return now < publish->deadline_ms ? publish->deadline_ms - now : 0;
}

uint64_t publish_child_timeout(uint64_t left)
{
    return left - (left / 10 < PUBLISH_RESPONSE_MARGIN_MS ? left / 10 : PUBLISH_RESPONSE_MARGIN_MS);
}
