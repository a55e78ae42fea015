/*
 * resolver.c - cached, joined, cancellable host name lookups.
 */
#include "common/http/resolver.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netdb.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "common/base/buffer.h"
#include "common/base/list.h"
#include "common/http/proxy.h"

struct resolver_wait {
    struct list link;
    resolver_callback *callback;
    void *arg;
};

struct host_entry {
    struct list link;
    struct resolver *resolver;
    char *host;
    char *addresses;     /* NULL = none known */
    uint64_t fetched_ms; /* loop time */
    struct list waits;
    uv_getaddrinfo_t request;
    int family;     /* of `request` */
    bool in_flight; /* the thread pool holds `request`: the entry must stay */
    bool pinned;    /* on_lookup() is calling back: the entry must stay */
};

struct resolver {
    uv_loop_t *loop;
    struct list hosts; /* newest first */
    unsigned n_hosts;
    bool destroyed;
};

struct resolver *resolver_create(uv_loop_t *loop)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));
    if (resolver == NULL)
        return NULL;
    resolver->loop = loop;
    list_init(&resolver->hosts);
    return resolver;
}

static struct host_entry *entry_at(struct list *link)
{
    return container_of(link, struct host_entry, link);
}

static bool entry_is_unused(const struct host_entry *entry)
{
    return !entry->in_flight && !entry->pinned && list_empty(&entry->waits);
}

static void entry_free(struct host_entry *entry)
{
    assert(entry_is_unused(entry));
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

static struct host_entry *entry_create(struct resolver *resolver, const char *host)
{
    make_room(resolver);
    struct host_entry *entry = calloc(1, sizeof(*entry));
    if (entry == NULL)
        return NULL;
    entry->host = strdup(host);
    if (entry->host == NULL) {
        free(entry);
        return NULL;
    }
    /* Names have no case, but musl compares those of /etc/hosts byte by byte, and people write them small. */
    for (char *c = entry->host; *c != '\0'; c++) {
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    }
    entry->resolver = resolver;
    list_init(&entry->link);
    list_init(&entry->waits);
    list_insert_before(resolver->hosts.next, &entry->link);
    resolver->n_hosts++;
    return entry;
}

/* "192.0.2.1,[2001:db8::1]"; NULL when there is no usable address or no memory. */
static char *addresses_from(const struct addrinfo *list)
{
    cleanup_buffer struct buffer text;
    buffer_init(&text, (size_t)RESOLVER_MAX_ADDRESSES * (INET6_ADDRSTRLEN + 3));
    int n = 0;
    for (const struct addrinfo *ai = list; ai != NULL && n < RESOLVER_MAX_ADDRESSES; ai = ai->ai_next) {
        char address[INET6_ADDRSTRLEN] = "";
        bool v6 = ai->ai_family == AF_INET6;
        const void *bytes = NULL;
        if (v6)
            bytes = &((const struct sockaddr_in6 *)(const void *)ai->ai_addr)->sin6_addr;
        else if (ai->ai_family == AF_INET)
            bytes = &((const struct sockaddr_in *)(const void *)ai->ai_addr)->sin_addr;
        if (bytes == NULL || inet_ntop(ai->ai_family, bytes, address, sizeof(address)) == NULL)
            continue;
        if (buffer_printf(&text, NULL, "%s%s%s%s", n > 0 ? "," : "", v6 ? "[" : "", address, v6 ? "]" : "") <
            0)
            return NULL;
        n++;
    }
    return n > 0 ? strdup(buffer_str(&text)) : NULL;
}

/* Frees a destroyed resolver once the last lookup is back. */
static void finish_destroy(struct resolver *resolver)
{
    struct list *next;
    for (struct list *link = resolver->hosts.next; link != &resolver->hosts; link = next) {
        next = link->next;
        if (entry_is_unused(entry_at(link)))
            entry_free(entry_at(link));
    }
    if (list_empty(&resolver->hosts))
        free(resolver);
}

/* Calls back all callers that wait. Each callback may do anything: cancel others, start a lookup of the same
 * name, forget the name, destroy the resolver. So the list is taken away first (a new caller waits for a new
 * lookup), the addresses are copied and the entry is pinned. */
static void deliver(struct host_entry *entry, int status)
{
    cleanup_free char *addresses = status == 0 ? strdup(entry->addresses) : NULL;
    struct list waits;

    if (status == 0 && addresses == NULL)
        status = UV_ENOMEM;
    list_init(&waits);
    list_move_all(&waits, &entry->waits);
    entry->pinned = true;
    while (!list_empty(&waits)) {
        struct resolver_wait *wait = container_of(waits.next, struct resolver_wait, link);
        resolver_callback *callback = wait->callback;
        void *arg = wait->arg;
        list_remove(&wait->link);
        free(wait);
        callback(addresses, status, arg);
    }
    entry->pinned = false;
}

static void on_lookup(uv_getaddrinfo_t *request, int status, struct addrinfo *list);

static int entry_lookup(struct host_entry *entry, int family)
{
    /* AI_ADDRCONFIG: no AAAA queries from a node without IPv6. */
    const struct addrinfo hints = {
        .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    entry->request.data = entry;
    entry->family = family;
    int status = uv_getaddrinfo(entry->resolver->loop, &entry->request, on_lookup, entry->host, NULL, &hints);
    entry->in_flight = status == 0;
    return status;
}

static void on_lookup(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct host_entry *entry = request->data;
    struct resolver *resolver = entry->resolver;
    entry->in_flight = false;

    char *addresses = status == 0 ? addresses_from(list) : NULL;
    if (list != NULL)
        uv_freeaddrinfo(list);
    if (resolver->destroyed) {
        free(addresses);
        finish_destroy(resolver);
        return;
    }
    /* musl gives up a name when one of its two queries gets no answer or is refused, as AAAA is by servers
     * that do not know IPv6. */
    if (status == UV_EAI_AGAIN && entry->family == AF_UNSPEC && entry_lookup(entry, AF_INET) == 0)
        return;
    if (status == 0 && addresses == NULL)
        status = UV_EAI_NODATA;
    if (addresses != NULL) {
        free(entry->addresses); /* a failed renewal leaves the old ones until they are too old */
        entry->addresses = addresses;
        entry->fetched_ms = uv_now(resolver->loop);
    }

    deliver(entry, status);
    if (resolver->destroyed)
        finish_destroy(resolver);
    else if (entry->addresses == NULL && entry_is_unused(entry))
        entry_free(entry); /* failures are not remembered */
}

const char *resolver_cached(struct resolver *resolver, const char *host)
{
    if (proxy_is_loopback(host))
        return "127.0.0.1,[::1]";
    struct host_entry *entry = entry_find(resolver, host);
    if (entry == NULL || entry->addresses == NULL)
        return NULL;
    uint64_t age_ms = uv_now(resolver->loop) - entry->fetched_ms;
    if (age_ms >= RESOLVER_STALE_MS)
        return NULL;
    if (age_ms >= RESOLVER_FRESH_MS && !entry->in_flight)
        (void)entry_lookup(entry, AF_UNSPEC); /* on failure the next caller starts one */
    return entry->addresses;
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
    if (!entry->in_flight) {
        int status = entry_lookup(entry, AF_UNSPEC);
        if (status != 0) {
            (void)error_set(err, GRPC_STATUS_UNAVAILABLE, "DNS lookup of '%s' failed: %s", host,
                            uv_strerror(status));
            goto fail;
        }
    }
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

void resolver_forget(struct resolver *resolver, const char *host)
{
    struct host_entry *entry = entry_find(resolver, host);
    if (entry == NULL)
        return;
    free(entry->addresses);
    entry->addresses = NULL;
    if (entry_is_unused(entry))
        entry_free(entry);
}

void resolver_destroy(struct resolver *resolver)
{
    if (resolver == NULL)
        return;
    resolver->destroyed = true;
    for (struct list *link = resolver->hosts.next; link != &resolver->hosts; link = link->next) {
        if (entry_at(link)->in_flight)
            (void)uv_cancel((uv_req_t *)&entry_at(link)->request); /* works while it waits for a thread */
    }
    finish_destroy(resolver);
}
