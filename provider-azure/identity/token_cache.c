/*
 * token_cache.c - cached tokens, single flight, early refresh.
 */
#include "provider-azure/identity/token_cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/list.h"
#include "provider-azure/identity/token_fetch.h"

/* A token that expires sooner than this is not served: it must outlive the requests that it is for. */
enum { TOKEN_MIN_LIFE_MS = 10 * 1000 };
/* A background refresh: its own deadline, and the pause after a failed one. */
enum { REFRESH_LIMIT_MS = 60 * 1000, REFRESH_PAUSE_MS = 30 * 1000 };
/* A credential that cannot be used, such as a PKCS#12 file with another password, is not opened again with
 * each retry of the kubelet: that may cost seconds. The key is its digest, so a mended one counts at once. */
enum { UNUSABLE_KEEP_MS = 10 * 60 * 1000 };

struct entry;

/* A fetch and its waiters. */
struct flight {
    struct token_cache *cache;
    struct entry *entry;       /* NULL while the outcome is delivered */
    struct token_fetch *fetch; /* NULL while the outcome is delivered */
    const char *mode;          /* literal */
    struct list waiters;       /* struct token_waiter; empty: a background refresh */
};

struct entry {
    struct list link;
    uint8_t key[DIGEST_SHA256_LEN];
    struct token *token;   /* a reference, or NULL */
    struct flight *flight; /* or NULL */
    uint64_t refresh_not_before_ms;
    struct error *unusable; /* why the credential cannot be used; NULL: it is not known to be so */
    uint64_t unusable_until_ms;
};

struct token_cache {
    const struct network *network;
    struct list entries; /* struct entry, least recently used first */
    size_t n;
    struct transport_timer *sweep; /* runs when the next token expires */
};

struct token_waiter {
    struct list link; /* in flight->waiters, when that is set */
    struct token_cache *cache;
    struct flight *flight; /* NULL: the token is at hand and comes with the timer */
    struct transport_timer *timer;
    struct token *token; /* at hand, a reference */
    struct error *error; /* or this */
    token_callback *callback;
    void *arg;
};

struct token_cache *token_cache_create(const struct network *network, struct error **err)
{
    struct token_cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    cache->network = network;
    list_init(&cache->entries);
    return cache;
}

static struct entry *entry_of(struct list *link)
{
    return container_of(link, struct entry, link);
}

static void flight_free(struct flight *flight)
{
    token_fetch_cancel(&flight->fetch);
    free(flight);
}

static void entry_remove(struct token_cache *cache, struct entry *entry)
{
    list_remove(&entry->link);
    cache->n--;
    if (entry->flight != NULL)
        flight_free(entry->flight);
    token_unref(entry->token);
    error_free(entry->unusable);
    free(entry);
}

static void entry_set_token(struct entry *entry, struct token *token)
{
    token_unref(entry->token);
    entry->token = token;
}

static bool usable(const struct token *token, uint64_t now_ms)
{
    return token != NULL && token_expires_ms(token) >= now_ms + TOKEN_MIN_LIFE_MS;
}

/* --- expired tokens are wiped --- */

/* The timer runs at most so often that it does not spin. */
enum { SWEEP_MIN_MS = 1000 };

static void on_sweep(void *arg);

/* Sets the timer to the time at which the next token expires. Without memory for it, later calls try it
 * again. */
static void plan_sweep(struct token_cache *cache)
{
    const struct transport *transport = cache->network->transport;
    uint64_t now = transport_now_ms(transport);
    uint64_t first = UINT64_MAX;
    for (struct list *link = cache->entries.next; link != &cache->entries; link = link->next) {
        const struct entry *entry = entry_of(link);
        if (entry->token != NULL && token_expires_ms(entry->token) < first)
            first = token_expires_ms(entry->token);
    }
    transport_stop(transport, &cache->sweep);
    if (first == UINT64_MAX)
        return;
    uint64_t due = first > TOKEN_MIN_LIFE_MS ? first - TOKEN_MIN_LIFE_MS + 1 : 0;
    uint64_t delay = due > now + SWEEP_MIN_MS ? due - now : SWEEP_MIN_MS;
    cache->sweep = transport_after(transport, delay, on_sweep, cache, NULL);
}

static void on_sweep(void *arg)
{
    struct token_cache *cache = arg;
    uint64_t now = transport_now_ms(cache->network->transport);
    struct list *next = NULL;

    cache->sweep = NULL;
    for (struct list *link = cache->entries.next; link != &cache->entries; link = next) {
        struct entry *entry = entry_of(link);
        next = link->next;
        if (usable(entry->token, now) || entry->unusable != NULL)
            continue;
        if (entry->flight == NULL)
            entry_remove(cache, entry);
        else
            entry_set_token(entry, NULL);
    }
    plan_sweep(cache);
}

/* --- entries --- */

static struct entry *find(struct token_cache *cache, const uint8_t key[DIGEST_SHA256_LEN])
{
    for (struct list *link = cache->entries.next; link != &cache->entries; link = link->next) {
        struct entry *entry = entry_of(link);
        if (memcmp(entry->key, key, DIGEST_SHA256_LEN) == 0)
            return entry;
    }
    return NULL;
}

/* A new, empty entry at the end of the list. A full cache drops its least recently used entries without a
 * flight. */
static struct entry *add(struct token_cache *cache, const uint8_t key[DIGEST_SHA256_LEN], struct error **err)
{
    struct list *next = NULL;
    for (struct list *link = cache->entries.next; cache->n >= TOKEN_CACHE_MAX && link != &cache->entries;
         link = next) {
        struct entry *entry = entry_of(link);
        next = link->next;
        if (entry->flight == NULL)
            entry_remove(cache, entry);
    }
    if (cache->n >= TOKEN_CACHE_IN_FLIGHT_MAX) {
        error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "%d token requests are in flight already",
                  TOKEN_CACHE_IN_FLIGHT_MAX);
        return NULL;
    }
    struct entry *entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    memcpy(entry->key, key, DIGEST_SHA256_LEN);
    list_insert_before(&cache->entries, &entry->link);
    cache->n++;
    return entry;
}

/* --- flights --- */

/* Delivers the outcome to all waiters. A callback may cancel other waiters or get a token again. */
static void deliver(struct flight *flight, struct token *token, const struct error *error)
{
    while (!list_empty(&flight->waiters)) {
        struct token_waiter *waiter = container_of(flight->waiters.next, struct token_waiter, link);
        token_callback *callback = waiter->callback;
        void *arg = waiter->arg;
        list_remove(&waiter->link);
        free(waiter);
        callback(token != NULL ? token_ref(token) : NULL, error, arg);
    }
}

static void on_fetched(struct token *token, struct error *failure, bool unusable, void *arg)
{
    struct flight *flight = arg;
    struct token_cache *cache = flight->cache;
    const struct network *network = cache->network;
    struct entry *entry = flight->entry;
    uint64_t now_ms = transport_now_ms(network->transport);

    entry->flight = NULL;
    flight->entry = NULL;
    flight->fetch = NULL;
    if (token != NULL && usable(token, now_ms)) {
        entry_set_token(entry, token_ref(token));
        /* A service may return the same token until it expires: no reason to fetch it with each call. */
        entry->refresh_not_before_ms = now_ms + REFRESH_PAUSE_MS;
        plan_sweep(cache);
    } else if (entry->token != NULL && token == NULL) {
        log_warning(network->log,
                    "background refresh of a token failed, the old one is used until it expires",
                    LOG_STR("mode", flight->mode), LOG_ERR(failure));
        entry->refresh_not_before_ms = now_ms + REFRESH_PAUSE_MS;
    } else if (unusable) {
        entry->unusable = error_copy(failure);
        entry->unusable_until_ms = now_ms + UNUSABLE_KEEP_MS;
    } else {
        entry_remove(cache, entry);
    }
    deliver(flight, token, failure);
    token_unref(token);
    error_free(failure);
    flight_free(flight);
}

static int start_flight(struct token_cache *cache, struct entry *entry, struct identity *identity,
                        uint64_t deadline_ms, struct error **err)
{
    struct flight *flight = calloc(1, sizeof(*flight));
    if (flight == NULL)
        return error_no_memory(err, NULL);
    *flight =
        (struct flight){.cache = cache, .entry = entry, .mode = identity_mode_name(identity->ops->mode)};
    list_init(&flight->waiters);
    flight->fetch = token_fetch_start(cache->network, identity, deadline_ms, on_fetched, flight, err);
    if (flight->fetch == NULL) {
        free(flight);
        return -1;
    }
    entry->flight = flight;
    return 0;
}

/* --- getting a token --- */

static void on_served(void *arg)
{
    struct token_waiter *waiter = arg;
    token_callback *callback = waiter->callback;
    void *callback_arg = waiter->arg;
    struct token *token = waiter->token;
    struct error *error = waiter->error;
    free(waiter);
    callback(token, error, callback_arg);
    error_free(error);
}

/* The credential is known to be unusable: that is delivered from the next turn. */
static int serve_error(struct token_cache *cache, const struct entry *entry, struct token_waiter *waiter,
                       struct error **err)
{
    waiter->timer = transport_after(cache->network->transport, 0, on_served, waiter, err);
    if (waiter->timer == NULL)
        return -1;
    waiter->error = error_copy(entry->unusable);
    azure_metrics_token_lookup(cache->network->metrics, "hit");
    return 0;
}

/* The token is at hand: it is delivered from the next turn. */
static int serve(struct token_cache *cache, struct entry *entry, struct identity *identity,
                 struct token_waiter *waiter, struct error **err)
{
    const struct transport *transport = cache->network->transport;
    uint64_t now_ms = transport_now_ms(transport);

    waiter->timer = transport_after(transport, 0, on_served, waiter, err);
    if (waiter->timer == NULL)
        return -1;
    waiter->token = token_ref(entry->token);
    azure_metrics_token_lookup(cache->network->metrics, "hit");
    if (now_ms >= token_refresh_ms(entry->token) && entry->flight == NULL &&
        now_ms >= entry->refresh_not_before_ms) {
        struct error *ignored = NULL; /* the old token still serves; a later call retries */
        if (start_flight(cache, entry, identity, now_ms + REFRESH_LIMIT_MS, &ignored) < 0)
            entry->refresh_not_before_ms = now_ms + REFRESH_PAUSE_MS;
        error_free(ignored);
    }
    return 0;
}

static int join(struct token_cache *cache, struct entry *entry, struct identity *identity,
                uint64_t deadline_ms, struct token_waiter *waiter, struct error **err)
{
    if (entry->flight != NULL) {
        token_fetch_extend(entry->flight->fetch, deadline_ms);
        azure_metrics_token_lookup(cache->network->metrics, "joined");
    } else {
        if (start_flight(cache, entry, identity, deadline_ms, err) < 0)
            return -1;
        azure_metrics_token_lookup(cache->network->metrics, "miss");
    }
    waiter->flight = entry->flight;
    list_insert_before(&entry->flight->waiters, &waiter->link);
    return 0;
}

struct token_waiter *token_cache_get(struct token_cache *cache, struct identity *identity,
                                     const struct token *rejected, uint64_t deadline_ms,
                                     token_callback *callback, void *arg, struct error **err)
{
    struct entry *entry = find(cache, identity->key);
    struct token_waiter *waiter = calloc(1, sizeof(*waiter));

    if (waiter == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *waiter = (struct token_waiter){.cache = cache, .callback = callback, .arg = arg};
    if (entry == NULL)
        entry = add(cache, identity->key, err);
    if (entry == NULL) {
        free(waiter);
        return NULL;
    }
    list_remove(&entry->link);
    list_insert_before(&cache->entries, &entry->link);
    if (entry->token == rejected || !usable(entry->token, transport_now_ms(cache->network->transport)))
        entry_set_token(entry, NULL);

    if (entry->unusable != NULL && entry->unusable_until_ms <= transport_now_ms(cache->network->transport))
        error_free(steal_ptr(&entry->unusable));

    int result = entry->token != NULL      ? serve(cache, entry, identity, waiter, err)
                 : entry->unusable != NULL ? serve_error(cache, entry, waiter, err)
                                           : join(cache, entry, identity, deadline_ms, waiter, err);
    if (result < 0) {
        if (entry->token == NULL && entry->flight == NULL && entry->unusable == NULL)
            entry_remove(cache, entry);
        free(waiter);
        return NULL;
    }
    return waiter;
}

int token_waiter_pending_error(const struct token_waiter *waiter, struct error **err)
{
    if (waiter->flight == NULL || waiter->flight->fetch == NULL)
        return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED, "no token before the caller's deadline");
    return token_fetch_pending_error(waiter->flight->fetch, err);
}

void token_waiter_cancel(struct token_waiter **waiter)
{
    struct token_waiter *gone = *waiter;
    *waiter = NULL;
    if (gone == NULL)
        return;
    struct flight *flight = gone->flight;
    if (flight != NULL) {
        list_remove(&gone->link);
        /* The last waiter is gone, and there is no old token that the flight would refresh. */
        if (list_empty(&flight->waiters) && flight->entry != NULL && flight->entry->token == NULL)
            entry_remove(gone->cache, flight->entry);
    }
    transport_stop(gone->cache->network->transport, &gone->timer);
    token_unref(gone->token);
    error_free(gone->error);
    free(gone);
}

void token_cache_destroy(struct token_cache *cache)
{
    if (cache == NULL)
        return;
    while (!list_empty(&cache->entries)) {
        struct entry *entry = entry_of(cache->entries.next);
        assert(entry->flight == NULL || list_empty(&entry->flight->waiters));
        entry_remove(cache, entry);
    }
    transport_stop(cache->network->transport, &cache->sweep);
    free(cache);
}
