/*
 * resolver.c - cached, joined, cancellable host name lookups.
 */
#include "common/http/resolver.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/cleanup.h"
#include "common/base/list.h"
#include "common/http/dns_lookup.h"
#include "common/http/proxy.h"
#include "common/process/loop_timer.h"

struct resolver_wait {
    struct list link;
    resolver_callback *callback;
    void *arg;
};

struct host_entry {
    struct list link;
    struct resolver *resolver;
    char *host;
    char *addresses; /* NULL = none known */
    uint64_t fetched_ms, fresh_until_ms, stale_until_ms;
    bool invalidated;          /* no connection to the addresses could be made */
    uint64_t no_lookup_ms;     /* the last lookup brought nothing: none before this time */
    const char *failure;       /* what it brought; a literal */
    struct dns_lookup *lookup; /* NULL = none in flight */
    struct loop_timer *timer;  /* with waiters: they wait no longer, or not at all */
    struct list waits;
    bool pinned; /* deliver() is calling back: the entry must stay */
};

struct resolver {
    uv_loop_t *loop;
    struct log *log;
    struct list hosts; /* newest first */
    unsigned n_hosts;
    bool destroyed;
};

struct resolver *resolver_create(uv_loop_t *loop, struct log *log)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));
    if (resolver == NULL)
        return NULL;
    resolver->loop = loop;
    resolver->log = log;
    list_init(&resolver->hosts);
    return resolver;
}

static struct host_entry *entry_at(struct list *link)
{
    return container_of(link, struct host_entry, link);
}

static bool entry_is_unused(const struct host_entry *entry)
{
    return entry->lookup == NULL && !entry->pinned && list_empty(&entry->waits);
}

static void entry_free(struct host_entry *entry)
{
    assert(!entry->pinned && list_empty(&entry->waits));
    dns_lookup_cancel(&entry->lookup);
    loop_timer_destroy(entry->timer);
    list_remove(&entry->link);
    entry->resolver->n_hosts--;
    free(entry->host);
    free(entry->addresses);
    free(entry);
}

static struct host_entry *entry_find(const struct resolver *resolver, const char *host)
{
    for (struct list *link = resolver->hosts.next; link != &resolver->hosts; link = link->next) {
        if (strcasecmp(entry_at(link)->host, host) == 0)
            return entry_at(link);
    }
    return NULL;
}

/* Frees the oldest entry that is not in use. Without one the table grows: each entry then belongs to a
 * caller. */
static void make_room(struct resolver *resolver)
{
    if (resolver->n_hosts < RESOLVER_MAX_HOSTS)
        return;
    for (struct list *link = resolver->hosts.prev; link != &resolver->hosts; link = link->prev) {
        if (entry_is_unused(entry_at(link))) {
            entry_free(entry_at(link));
            return;
        }
    }
}

static void on_entry_timer(void *arg);

static struct host_entry *entry_create(struct resolver *resolver, const char *host)
{
    make_room(resolver);
    struct host_entry *entry = calloc(1, sizeof(*entry));
    if (entry == NULL)
        return NULL;
    list_init(&entry->link);
    list_init(&entry->waits);
    entry->resolver = resolver;
    entry->host = strdup(host);
    entry->timer = loop_timer_create(resolver->loop, on_entry_timer, entry, /* err= */ NULL);
    if (entry->host == NULL || entry->timer == NULL) {
        loop_timer_destroy(entry->timer);
        free(entry->host);
        free(entry);
        return NULL;
    }
    list_insert_before(resolver->hosts.next, &entry->link);
    resolver->n_hosts++;
    return entry;
}

static void entry_forget(struct host_entry *entry)
{
    free(entry->addresses);
    entry->addresses = NULL;
}

/* Calls back all callers that wait, with `reason` or, if that is NULL, the addresses. Each callback may do
 * anything: cancel others, start a lookup of the same name, destroy the resolver. So the list is taken away
 * first (a new caller waits for a new lookup), the addresses are copied and the entry is pinned. */
static void deliver(struct host_entry *entry, const char *reason)
{
    struct resolver *resolver = entry->resolver;
    bool have = reason == NULL && entry->addresses != NULL;
    cleanup_free char *addresses = have ? strdup(entry->addresses) : NULL;
    struct list waits;

    if (reason == NULL && addresses == NULL)
        reason = "out of memory";
    list_init(&waits);
    list_move_all(&waits, &entry->waits);
    loop_timer_stop(entry->timer);
    entry->pinned = true;
    while (!list_empty(&waits)) {
        struct resolver_wait *wait = container_of(waits.next, struct resolver_wait, link);
        resolver_callback *callback = wait->callback;
        void *arg = wait->arg;
        list_remove(&wait->link);
        free(wait);
        callback(addresses, reason, arg);
    }
    entry->pinned = false;
    if (resolver->destroyed) {
        entry_free(entry);
        free(resolver);
    }
}

static void use_addresses(struct host_entry *entry, const struct dns_result *result)
{
    char *addresses = strdup(result->addresses);
    uint64_t ttl_ms = (uint64_t)result->ttl_s * 1000;

    if (addresses == NULL) /* the old ones stay until they are too old */
        return;
    ttl_ms = ttl_ms > RESOLVER_TTL_MIN_MS ? ttl_ms : RESOLVER_TTL_MIN_MS;
    ttl_ms = ttl_ms < RESOLVER_TTL_MAX_MS ? ttl_ms : RESOLVER_TTL_MAX_MS;
    entry_forget(entry);
    entry->addresses = addresses;
    entry->fetched_ms = uv_now(entry->resolver->loop);
    entry->fresh_until_ms = entry->fetched_ms + ttl_ms;
    entry->stale_until_ms = entry->fetched_ms + RESOLVER_STALE_MS;
    entry->invalidated = false;
    entry->failure = NULL;
}

/* The lookup brought nothing: old addresses go on, unless there is no such name any more. */
static void use_failure(struct host_entry *entry, const struct dns_result *result)
{
    uint64_t now = uv_now(entry->resolver->loop);

    if (result->outcome == DNS_NOT_FOUND || now >= entry->stale_until_ms)
        entry_forget(entry);
    entry->failure = result->reason;
    if (entry->addresses != NULL) {
        entry->no_lookup_ms = now + RESOLVER_RECHECK_MS;
        log_warning(entry->resolver->log, "DNS lookup failed, using the previous addresses",
                    LOG_STR("host", entry->host), LOG_STR("reason", result->reason),
                    LOG_UINT("ageS", (now - entry->fetched_ms) / 1000));
    } else {
        entry->no_lookup_ms = result->outcome == DNS_NOT_FOUND ? now + RESOLVER_NEGATIVE_MS : 0;
    }
}

static void on_lookup_end(const struct dns_result *result, void *arg)
{
    struct host_entry *entry = arg;

    entry->lookup = NULL;
    if (result->outcome == DNS_FOUND)
        use_addresses(entry, result);
    else
        use_failure(entry, result);
    deliver(entry, entry->addresses != NULL ? NULL
                   : result->reason != NULL ? result->reason
                                            : "out of memory");
}

/* Waiters have waited long enough for a lookup, or wait for what is known already. */
static void on_entry_timer(void *arg)
{
    struct host_entry *entry = arg;
    deliver(entry, entry->addresses != NULL ? NULL : entry->failure);
}

static int entry_lookup(struct host_entry *entry, struct error **err)
{
    entry->lookup = dns_lookup_start(entry->resolver->loop, entry->host, on_lookup_end, entry, err);
    return entry->lookup == NULL ? -1 : 0;
}

static bool lookup_is_pointless(const struct host_entry *entry)
{
    return entry->failure != NULL && uv_now(entry->resolver->loop) < entry->no_lookup_ms;
}

const char *resolver_cached(struct resolver *resolver, const char *host)
{
    if (proxy_is_loopback(host))
        return "127.0.0.1,[::1]";
    struct host_entry *entry = entry_find(resolver, host);
    if (entry == NULL || entry->addresses == NULL)
        return NULL;
    uint64_t now = uv_now(resolver->loop);
    if (now < entry->stale_until_ms && lookup_is_pointless(entry))
        return entry->addresses;
    if (entry->invalidated || now >= entry->fresh_until_ms + RESOLVER_RENEW_MS)
        return NULL;
    struct error *ignored = NULL; /* the next caller starts one */
    if (now >= entry->fresh_until_ms && entry->lookup == NULL)
        (void)entry_lookup(entry, &ignored);
    error_free(ignored);
    return entry->addresses;
}

/* Starts or joins a lookup, or finds that its outcome is known. */
static int entry_wait(struct host_entry *entry, struct error **err)
{
    bool known = lookup_is_pointless(entry);
    if (!known && entry->lookup == NULL && entry_lookup(entry, err) < 0)
        return -1;
    if (known)
        loop_timer_start(entry->timer, 0);
    else if (entry->addresses != NULL && !loop_timer_is_running(entry->timer))
        loop_timer_start(entry->timer, RESOLVER_PATIENCE_MS);
    return 0;
}

struct resolver_wait *resolver_start(struct resolver *resolver, const char *host, resolver_callback *callback,
                                     void *arg, struct error **err)
{
    struct host_entry *entry = entry_find(resolver, host);
    if (entry == NULL)
        entry = entry_create(resolver, host);
    struct resolver_wait *wait = calloc(1, sizeof(*wait));
    if (entry == NULL || wait == NULL) {
        (void)error_no_memory(err, "a DNS lookup");
        goto fail;
    }
    if (entry_wait(entry, err) < 0)
        goto fail;
    *wait = (struct resolver_wait){.callback = callback, .arg = arg};
    list_init(&wait->link);
    list_insert_before(&entry->waits, &wait->link);
    return wait;

fail:
    free(wait);
    if (entry != NULL && entry->addresses == NULL && entry_is_unused(entry))
        entry_free(entry);
    return NULL;
}

void resolver_cancel(struct resolver_wait **wait)
{
    struct resolver_wait *cancelled = steal_ptr(wait);
    if (cancelled == NULL)
        return;
    list_remove(&cancelled->link);
    free(cancelled); /* the lookup goes on and fills the cache */
}

void resolver_invalidate(struct resolver *resolver, const char *host)
{
    struct host_entry *entry = entry_find(resolver, host);
    if (entry != NULL && uv_now(resolver->loop) >= entry->fetched_ms + RESOLVER_TTL_MIN_MS)
        entry->invalidated = true;
}

void resolver_destroy(struct resolver *resolver)
{
    struct list *next = NULL;

    if (resolver == NULL)
        return;
    bool pinned = false;
    resolver->destroyed = true;
    for (struct list *link = resolver->hosts.next; link != &resolver->hosts; link = next) {
        next = link->next;
        if (entry_at(link)->pinned)
            pinned = true; /* deliver() frees it, and the resolver */
        else
            entry_free(entry_at(link));
    }
    if (!pinned)
        free(resolver);
}
