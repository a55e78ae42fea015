/*
 * host.c - hosts, their limits and their connections.
 */
#include "common/http/host.h"

#include <assert.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* --- hosts --- */

void host_table_init(struct host_table *table)
{
    *table = (struct host_table){0};
    list_init(&table->hosts);
}

static void host_free(struct host_table *table, struct http_host *host)
{
    assert(host->users == 0 && list_empty(&host->connections));
    list_remove(&host->link);
    table->n--;
    free(host->name);
    free(host->peer);
    free(host->addresses);
    free(host);
}

void host_table_finish(struct host_table *table)
{
    while (!list_empty(&table->hosts))
        host_free(table, container_of(table->hosts.next, struct http_host, link));
}

static bool same_name(const char *a, const char *b)
{
    return strcasecmp(a, b) == 0;
}

static bool has_key(const struct http_host *host, const struct host_key *key)
{
    return host->port == key->port && host->peer_port == key->peer_port && host->tls == key->tls &&
           same_name(host->name, key->name) && same_name(host->peer, key->peer);
}

/* Makes room for another host: the one that was used longest ago goes. */
static void forget_one(struct host_table *table)
{
    for (struct list *link = table->hosts.next; link != &table->hosts; link = link->next) {
        struct http_host *host = container_of(link, struct http_host, link);
        if (host->users == 0 && list_empty(&host->connections)) {
            host_free(table, host);
            return;
        }
    }
}

static struct http_host *host_create(struct host_table *table, const struct host_key *key,
                                     unsigned connections_max)
{
    struct http_host *host = calloc(1, sizeof(*host));
    char *name = strdup(key->name);
    char *peer = strdup(key->peer);
    if (host == NULL || name == NULL || peer == NULL) {
        free(name);
        free(peer);
        free(host);
        return NULL;
    }
    *host = (struct http_host){
        .name = name,
        .peer = peer,
        .port = key->port,
        .peer_port = key->peer_port,
        .tls = key->tls,
        .protocol = key->tls ? HOST_UNKNOWN : HOST_HTTP1,
        .connections_max = connections_max,
        .streams = connections_max,
    };
    request_queue_init(&host->queue);
    list_init(&host->connections);
    list_init(&host->link);
    if (table->n >= HOSTS_MAX)
        forget_one(table);
    table->n++;
    return host;
}

struct http_host *host_table_get(struct host_table *table, const struct host_key *key,
                                 unsigned connections_max)
{
    struct http_host *found = NULL;
    for (struct list *link = table->hosts.prev; found == NULL && link != &table->hosts; link = link->prev) {
        struct http_host *host = container_of(link, struct http_host, link);
        if (has_key(host, key))
            found = host;
    }
    if (found == NULL)
        found = host_create(table, key, connections_max);
    if (found == NULL)
        return NULL;
    list_remove(&found->link);
    list_insert_before(&table->hosts, &found->link);
    return found;
}

/* --- addresses --- */

bool host_has_addresses(const struct http_host *host, const char *addresses, uint64_t now_ms)
{
    return host->addresses != NULL && now_ms - host->addresses_ms < HOST_ADDRESSES_MS &&
           strcmp(host->addresses, addresses) == 0 && host_is_connected(host);
}

void host_gave_addresses(struct http_host *host, const char *addresses, uint64_t given_ms)
{
    if (host->addresses == NULL || strcmp(host->addresses, addresses) != 0) {
        free(host->addresses);
        host->addresses = strdup(addresses); /* without memory curl is given them again */
    }
    host->addresses_ms = given_ms;
}

/* --- limits --- */

static unsigned ready_connections(const struct http_host *host)
{
    unsigned n = 0;
    for (struct list *link = host->connections.next; link != &host->connections; link = link->next)
        n += container_of(link, struct http_connection, link)->ready;
    return n;
}

bool host_is_connected(const struct http_host *host)
{
    return ready_connections(host) > 0;
}

static unsigned let_now(const struct http_host *host, uint64_t now_ms)
{
    uint64_t doublings = (now_ms - host->let_ms) / HOST_LIMITED_MS;
    if (host->connections_let == 0 || doublings >= CHAR_BIT * sizeof(unsigned))
        return host->connections_max;
    uint64_t let = (uint64_t)host->connections_let << doublings;
    return let < host->connections_max ? (unsigned)let : host->connections_max;
}

unsigned host_limit(const struct http_host *host, uint64_t now_ms)
{
    unsigned ready = 0;
    switch (host->protocol) {
    case HOST_HTTP2:
        return host->streams;
    case HOST_UNKNOWN:
        ready = ready_connections(host);
        return ready < 2 ? ready + 1 : let_now(host, now_ms);
    case HOST_HTTP1:
        break;
    }
    return let_now(host, now_ms);
}

static unsigned busy_connections(const struct http_host *host)
{
    unsigned n = 0;
    for (struct list *link = host->connections.next; link != &host->connections; link = link->next)
        n += !list_empty(&container_of(link, struct http_connection, link)->calls);
    return n;
}

void host_responded(struct http_host *host, enum host_protocol protocol)
{
    host->protocol = protocol;
    if (protocol != HOST_HTTP2)
        return;
    unsigned busy = busy_connections(host);
    if (busy < 2 && host->streams < HOST_STREAMS_MAX)
        host->streams++;
    else if (busy > 2 && host->streams > HOST_STREAMS_MIN)
        host->streams--;
}

void host_shares_connection(struct http_host *host)
{
    if (host->protocol == HOST_UNKNOWN)
        host->protocol = HOST_HTTP2;
}

bool host_has_let_through(const struct http_host *host)
{
    unsigned needed = host->protocol == HOST_HTTP1 ? 1 : 2; /* two of an unknown version: not HTTP/2 */
    return host->protocol != HOST_HTTP2 && ready_connections(host) >= needed;
}

/* Those in flight may still be turned away, those that stand were let through. */
bool host_turned_away(struct http_host *host, uint64_t now_ms)
{
    bool is_news = host->connections_let == 0;
    unsigned ready = ready_connections(host);
    host->connections_let = host->in_flight > ready ? host->in_flight : ready;
    host->let_ms = now_ms;
    return is_news;
}

void host_turned_away_again(struct http_host *host)
{
    host->connections_let = 0;
}

/* --- time --- */

/* The longest of late, slowly forgotten. */
static void note_time(uint64_t *usual_ms, uint64_t ms)
{
    if (ms >= *usual_ms)
        *usual_ms = ms;
    else
        *usual_ms -= (*usual_ms - ms + 7) / 8;
}

void host_took(struct http_host *host, uint64_t ms)
{
    note_time(&host->usual_ms, ms);
}

void host_connected(struct http_host *host, uint64_t ms)
{
    note_time(&host->usual_connect_ms, ms);
}

uint64_t host_connect_late_ms(const struct http_host *host)
{
    uint64_t late = 4 * host->usual_connect_ms;
    return late > HOST_CONNECT_LATE_MS ? late : HOST_CONNECT_LATE_MS;
}

uint64_t host_late_ms(const struct http_host *host)
{
    uint64_t late = 4 * host->usual_ms;
    if (late < HOST_LATE_MIN_MS)
        return HOST_LATE_MIN_MS;
    if (late > HOST_LATE_MAX_MS)
        late = HOST_LATE_MAX_MS;
    return late > 2 * host->usual_ms ? late : 2 * host->usual_ms;
}

/* --- connections --- */

struct http_connection *host_connection_add(struct http_host *host, curl_socket_t fd, const void *opener,
                                            uint64_t now_ms)
{
    struct http_connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL)
        return NULL;
    *connection = (struct http_connection){.host = host, .fd = fd, .opener = opener, .heard_ms = now_ms};
    list_init(&connection->link);
    list_init(&connection->calls);
    list_insert_before(&host->connections, &connection->link);
    return connection;
}

void host_connection_remove(struct http_connection *connection)
{
    assert(list_empty(&connection->calls));
    list_remove(&connection->link);
    free(connection);
}

struct http_connection *host_attempt(const struct http_host *host, const void *opener)
{
    for (struct list *link = host->connections.next; link != &host->connections; link = link->next) {
        struct http_connection *connection = container_of(link, struct http_connection, link);
        if (!connection->ready && connection->opener == opener)
            return connection;
    }
    return NULL;
}

void host_forget_attempts(struct http_host *host, const void *opener)
{
    struct list *next = NULL;
    for (struct list *link = host->connections.next; link != &host->connections; link = next) {
        struct http_connection *connection = container_of(link, struct http_connection, link);
        next = link->next;
        if (!connection->ready && connection->opener == opener)
            host_connection_remove(connection);
    }
}

struct http_connection *host_table_connection(const struct host_table *table, curl_socket_t fd)
{
    for (struct list *at = table->hosts.prev; at != &table->hosts; at = at->prev) {
        const struct http_host *host = container_of(at, struct http_host, link);
        for (struct list *link = host->connections.next; link != &host->connections; link = link->next) {
            struct http_connection *connection = container_of(link, struct http_connection, link);
            if (connection->fd == fd)
                return connection;
        }
    }
    return NULL;
}

/* 0 when the socket has none. */
static unsigned local_port_of(curl_socket_t fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } address = {0};
    socklen_t len = sizeof(address);
    if (getsockname(fd, &address.any, &len) != 0)
        return 0;
    if (address.any.sa_family == AF_INET)
        return ntohs(address.v4.sin_port);
    return address.any.sa_family == AF_INET6 ? ntohs(address.v6.sin6_port) : 0;
}

struct http_connection *host_connection_at(const struct http_host *host, unsigned local_port)
{
    for (struct list *link = host->connections.next; link != &host->connections; link = link->next) {
        struct http_connection *connection = container_of(link, struct http_connection, link);
        if (connection->local_port == 0)
            connection->local_port = local_port_of(connection->fd);
        if (local_port != 0 && connection->local_port == local_port)
            return connection;
    }
    return NULL;
}
