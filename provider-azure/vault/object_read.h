/*
 * object_read.h - one read of a mount, of an object or a list: from its vault, else from its fallback vaults
 * (fallback_read.h), else from what is kept for outages (stale_store.h).
 */
#ifndef PROVIDER_AZURE_VAULT_OBJECT_READ_H
#define PROVIDER_AZURE_VAULT_OBJECT_READ_H

#include "provider-azure/vault/fallback_read.h"

/* Vaults get so long to answer for an object of which a value is kept, retries included: as long as for a
 * connection. Half of what is left of the mount's time, if that is less. */
enum { OBJECT_READ_STALE_WAIT_MS = 10 * 1000 };
/* If a vault has still to get a request then, what is kept is examined again and again. */
enum { OBJECT_READ_STALE_AGAIN_MS = 1000 };

/* Of all reads of a mount. Borrowed until their ends. */
struct object_read_context {
    const struct transport *transport;
    struct azure_metrics *metrics; /* may be NULL */
    struct vault_cache *cache;
    const struct vault_set *vaults;
    const struct vault_tokens *tokens;
    struct vault_freshness freshness;
    uint64_t deadline_ms;
    uint64_t flow;             /* see struct http_request */
    bool suspects[VAULTS_MAX]; /* see struct fallback_read_input */
};

typedef void object_read_callback(void *arg);

/* Embedded in its owner, which sets the first fields; the others are 0 at first. */
struct object_read {
    enum object_type type;
    enum vault_operation operation;
    const char *name;                 /* borrowed until the end, as the version */
    const char *version;              /* "" = latest, or none */
    struct vault_order order;         /* the vaults that may serve it */
    struct vault_list_filter *filter; /* of a list: a reference, given up in the end */

    /* the outcome: a response or an error */
    struct vault_response *response;
    size_t served;       /* the vault of the response, an index into the set */
    struct error *cause; /* why no vault before that one served it; NULL with the first one */
    bool stale;          /* the response had been kept */
    uint64_t stale_age_ms;
    struct error *error;

    /* while it runs */
    struct object_read_context *context;
    struct vault_waiter *waiter;      /* with one vault in the order */
    struct fallback_read *fallback;   /* with more */
    struct transport_timer *patience; /* of a read that could be served from what is kept */
    object_read_callback *callback;
    void *arg;
};

/* Begins the read. -1: it has failed already, the error is set and the callback does not run; otherwise it
 * runs once, later. */
int object_read_start(struct object_read *read, struct object_read_context *context,
                      object_read_callback *callback, void *arg);

/* Ends a read that runs, without a callback: its error says what it waited for. A kept value would come too
 * late to be converted. */
void object_read_give_up(struct object_read *read);

/* The volume has failed, and calls again before `until_ms`: see vault_cache_hold(). */
void object_read_hold(const struct object_read *read, uint64_t until_ms);

/* Ends it without a callback, and frees the outcome. */
void object_read_finish(struct object_read *read);

#endif
