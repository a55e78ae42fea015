/*
 * cached_responses.h - responses in memory, bounded in number, bytes and time, and wiped when they go.
 *
 * A response goes `ttl_ms` after it was read. One that is held goes when the hold ends, if that is later: a
 * volume waits for it longer than that. When there are too many, the oldest goes first, those that are held
 * last.
 */
#ifndef PROVIDER_AZURE_VAULT_CACHED_RESPONSES_H
#define PROVIDER_AZURE_VAULT_CACHED_RESPONSES_H

#include "common/base/list.h"
#include "provider-azure/network/transport.h"
#include "provider-azure/vault/vault_response.h"

/* Enough for the objects of all pods of a node. */
enum { CACHED_RESPONSES_MAX = 2000, CACHED_RESPONSES_MAX_BYTES = 2 * 1024 * 1024 };

/* The place of one response. Embedded in its owner; all zero at first. */
struct cached_response {
    struct list link;                /* while there is a response */
    struct vault_response *response; /* NULL: none */
    uint64_t expires_ms;             /* the end of its time to live */
    uint64_t held_until_ms;          /* of what is in this place now or later; 0 = not held */
};

struct cached_responses {
    const struct transport *transport; /* borrowed */
    uint64_t ttl_ms;
    struct list unheld; /* struct cached_response, by expires_ms */
    struct list held;   /* by held_until_ms */
    size_t n;
    size_t bytes;
    struct transport_timer *sweep; /* runs while there is a response */
    uint64_t sweep_ms;             /* when it ends */
    /* The response of a place has gone by itself; the owner may free the place. */
    void (*on_expired)(struct cached_response *place);
};

/* Nothing is cached yet; `ttl_ms` 0 caches nothing. */
void cached_responses_init(struct cached_responses *responses, const struct transport *transport,
                           uint64_t ttl_ms, void (*on_expired)(struct cached_response *place));

/* Drops all responses. */
void cached_responses_finish(struct cached_responses *responses);

/* Puts a reference to the response into the place, in the stead of an older one. `on_expired` may run for
 * other places. The place stays empty if the response is too large, or without memory for a timer. */
void cached_responses_put(struct cached_responses *responses, struct cached_response *place,
                          struct vault_response *response);

/* Empties the place; harmless for an empty one. */
void cached_responses_drop(struct cached_responses *responses, struct cached_response *place);

/* What is in the place, or comes into it, stays at least until `until_ms`. */
void cached_responses_hold(struct cached_responses *responses, struct cached_response *place,
                           uint64_t until_ms);

#endif
