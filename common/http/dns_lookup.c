/*
 * dns_lookup.c - one lookup: a channel of c-ares, its sockets on the loop, and what becomes of the responses.
 */
#include "common/http/dns_lookup.h"

/* ares_query() and the parsers exist in all versions; newer ones recommend others. */
#define CARES_NO_DEPRECATED
#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/base/cleanup.h"
#include "common/base/list.h"
#include "common/http/proxy.h"
#include "common/process/loop_timer.h"

enum { DNS_CLASS_IN = 1, DNS_TYPE_A = 1, DNS_TYPE_AAAA = 28, DISCARD_PORT = 9 };

struct address {
    int family;
    union {
        struct in_addr v4;
        struct in6_addr v6;
    } bytes;
};

/* One of the two questions. */
struct dns_query {
    struct dns_lookup *lookup;
    bool pending;
    int status; /* ARES_... */
};

/* A socket of the channel. */
struct socket_watch {
    uv_poll_t poll;
    struct list link;
    struct dns_lookup *lookup;
    ares_socket_t fd;
};

struct dns_lookup {
    uv_loop_t *loop;
    ares_channel channel;
    struct list watches;
    struct loop_timer *timer; /* the next of: a timeout of the channel, the end of the grace, at once */
    char *name;
    bool may_search; /* the name may be one of a domain of the search list */
    bool searching;  /* with the search list */
    struct dns_query a;
    struct dns_query aaaa;
    bool all_servers;  /* the first response was a failure or did not come: now all servers are queried */
    bool ending;       /* the channel is being closed: its callbacks mean nothing */
    uint64_t grace_ms; /* the end of the grace, loop time; 0 = not begun */
    struct address found[2 * DNS_MAX_ADDRESSES];
    size_t n_found;
    uint32_t ttl_s;
    dns_callback *callback;
    void *arg;
};

/* --- sockets --- */

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void watch_close(struct socket_watch *watch)
{
    list_remove(&watch->link);
    (void)uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

static void go_on(struct dns_lookup *lookup);

static void on_poll(uv_poll_t *poll, int status, int events)
{
    const struct socket_watch *watch = poll->data;
    struct dns_lookup *lookup = watch->lookup;
    bool readable = status < 0 || (events & UV_READABLE) != 0;
    bool writable = status < 0 || (events & UV_WRITABLE) != 0;
    ares_process_fd(lookup->channel, readable ? watch->fd : ARES_SOCKET_BAD,
                    writable ? watch->fd : ARES_SOCKET_BAD);
    go_on(lookup);
}

static struct socket_watch *watch_find(struct dns_lookup *lookup, ares_socket_t fd)
{
    for (struct list *link = lookup->watches.next; link != &lookup->watches; link = link->next) {
        struct socket_watch *watch = container_of(link, struct socket_watch, link);
        if (watch->fd == fd)
            return watch;
    }
    return NULL;
}

static struct socket_watch *watch_create(struct dns_lookup *lookup, ares_socket_t fd)
{
    struct socket_watch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL || uv_poll_init_socket(lookup->loop, &watch->poll, fd) != 0) {
        free(watch);
        return NULL;
    }
    watch->poll.data = watch;
    watch->lookup = lookup;
    watch->fd = fd;
    list_init(&watch->link);
    list_insert_before(&lookup->watches, &watch->link);
    return watch;
}

/* c-ares says what it waits for; neither: it is about to close the socket. A socket that cannot be watched is
 * one whose server does not respond. */
static void on_socket(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct dns_lookup *lookup = arg;
    struct socket_watch *watch = watch_find(lookup, fd);

    if (!readable && !writable) {
        if (watch != NULL)
            watch_close(watch);
        return;
    }
    if (watch == NULL)
        watch = watch_create(lookup, fd);
    if (watch != NULL)
        (void)uv_poll_start(&watch->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0),
                            on_poll);
}

/* --- responses --- */

static void add_address(struct dns_lookup *lookup, int family, const void *bytes, uint32_t ttl_s)
{
    if (lookup->n_found == ARRAY_SIZE(lookup->found))
        return;
    struct address *address = &lookup->found[lookup->n_found++];
    address->family = family;
    memcpy(&address->bytes, bytes, family == AF_INET ? sizeof(address->bytes.v4) : sizeof(address->bytes.v6));
    if (lookup->n_found == 1 || ttl_s < lookup->ttl_s)
        lookup->ttl_s = ttl_s;
}

static uint32_t positive(int ttl)
{
    return ttl > 0 ? (uint32_t)ttl : 0;
}

static int add_a(struct dns_lookup *lookup, const unsigned char *bytes, int len)
{
    struct ares_addrttl records[DNS_MAX_ADDRESSES];
    int n = ARRAY_SIZE(records);
    int status = ares_parse_a_reply(bytes, len, NULL, records, &n);
    for (int i = 0; status == ARES_SUCCESS && i < n; i++)
        add_address(lookup, AF_INET, &records[i].ipaddr, positive(records[i].ttl));
    return status == ARES_SUCCESS && n == 0 ? ARES_ENODATA : status;
}

static int add_aaaa(struct dns_lookup *lookup, const unsigned char *bytes, int len)
{
    struct ares_addr6ttl records[DNS_MAX_ADDRESSES];
    int n = ARRAY_SIZE(records);
    int status = ares_parse_aaaa_reply(bytes, len, NULL, records, &n);
    for (int i = 0; status == ARES_SUCCESS && i < n; i++)
        add_address(lookup, AF_INET6, &records[i].ip6addr, positive(records[i].ttl));
    return status == ARES_SUCCESS && n == 0 ? ARES_ENODATA : status;
}

static void on_response(void *arg, int status, int timeouts, unsigned char *bytes, int len)
{
    struct dns_query *query = arg;
    struct dns_lookup *lookup = query->lookup;
    bool is_a = query == &lookup->a;
    (void)timeouts;

    if (lookup->ending)
        return;
    if (status == ARES_SUCCESS)
        status = is_a ? add_a(lookup, bytes, len) : add_aaaa(lookup, bytes, len);
    query->pending = false;
    query->status = status;
    if (lookup->grace_ms == 0 && (status == ARES_SUCCESS || (is_a && status != ARES_ENODATA))) {
        uv_update_time(lookup->loop);
        lookup->grace_ms = uv_now(lookup->loop) + DNS_GRACE_MS;
    }
}

/* --- the addresses as text --- */

/* Whether the node has a route: "connecting" a datagram socket sends nothing. */
static bool is_reachable(const struct address *address)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } peer = {.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(DISCARD_PORT)}};
    socklen_t len = sizeof(peer.v6);

    if (address->family == AF_INET) {
        peer.v4 = (struct sockaddr_in){
            .sin_family = AF_INET, .sin_port = htons(DISCARD_PORT), .sin_addr = address->bytes.v4};
        len = sizeof(peer.v4);
    } else {
        peer.v6.sin6_addr = address->bytes.v6;
    }
    cleanup_close int fd = socket(address->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, &peer.any, len) == 0;
}

static int append_address(const struct address *address, struct buffer *out)
{
    char text[INET6_ADDRSTRLEN];
    bool v6 = address->family == AF_INET6;
    if (inet_ntop(address->family, &address->bytes, text, sizeof(text)) == NULL)
        return 0;
    return buffer_printf(out, NULL, "%s%s%s%s", out->len > 0 ? "," : "", v6 ? "[" : "", text, v6 ? "]" : "");
}

/* Appends those of one family that are reachable, or those that are not. */
static int append_family(const struct dns_lookup *lookup, int family, const bool *reachable, bool wanted,
                         struct buffer *out)
{
    for (size_t i = 0; i < lookup->n_found; i++) {
        if (lookup->found[i].family == family && reachable[i] == wanted &&
            append_address(&lookup->found[i], out) < 0)
            return -1;
    }
    return 0;
}

static int append_addresses(const struct dns_lookup *lookup, struct buffer *out)
{
    bool reachable[ARRAY_SIZE(lookup->found)];
    for (size_t i = 0; i < lookup->n_found; i++)
        reachable[i] = is_reachable(&lookup->found[i]);
    if (append_family(lookup, AF_INET6, reachable, true, out) < 0 ||
        append_family(lookup, AF_INET, reachable, true, out) < 0 ||
        append_family(lookup, AF_INET, reachable, false, out) < 0)
        return -1;
    return append_family(lookup, AF_INET6, reachable, false, out);
}

/* --- the life of a lookup --- */

static void channel_close(struct dns_lookup *lookup)
{
    lookup->ending = true;
    if (lookup->channel != NULL)
        ares_destroy(lookup->channel);
    lookup->channel = NULL;
    while (!list_empty(&lookup->watches))
        watch_close(container_of(lookup->watches.next, struct socket_watch, link));
    lookup->ending = false;
}

/* Reads the configuration. With ARES_FLAG_NOCHECKRESP the first response counts, also one of failure. */
static int channel_open(struct dns_lookup *lookup)
{
    struct ares_options options = {
        .flags = lookup->all_servers ? 0 : ARES_FLAG_NOCHECKRESP,
        .timeout = DNS_TRY_MS,
        .tries = lookup->all_servers ? DNS_TRIES : 1,
        .sock_state_cb = on_socket,
        .sock_state_cb_data = lookup,
    };
    return ares_init_options(&lookup->channel, &options,
                             ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
}

static void lookup_free(struct dns_lookup *lookup)
{
    channel_close(lookup);
    loop_timer_destroy(lookup->timer);
    free(lookup->name);
    free(lookup);
}

static void deliver(struct dns_lookup *lookup, struct dns_result result)
{
    dns_callback *callback = lookup->callback;
    void *arg = lookup->arg;
    cleanup_buffer struct buffer text;

    buffer_init(&text, ARRAY_SIZE(lookup->found) * DNS_MAX_ADDRESS_TEXT);
    if (result.outcome == DNS_FOUND) {
        if (append_addresses(lookup, &text) < 0)
            result = (struct dns_result){.outcome = DNS_FAILED, .reason = ares_strerror(ARES_ENOMEM)};
        else
            result.addresses = buffer_str(&text);
    }
    lookup_free(lookup);
    callback(&result, arg);
}

static void send_query(struct dns_lookup *lookup, int type, struct dns_query *query)
{
    if (lookup->searching)
        ares_search(lookup->channel, lookup->name, DNS_CLASS_IN, type, on_response, query);
    else
        ares_query(lookup->channel, lookup->name, DNS_CLASS_IN, type, on_response, query);
}

/* Sends both queries. Responses may be there when it returns. */
static void send_queries(struct dns_lookup *lookup)
{
    lookup->grace_ms = 0;
    lookup->a = (struct dns_query){.lookup = lookup, .pending = true};
    lookup->aaaa = (struct dns_query){.lookup = lookup, .pending = true};
    send_query(lookup, DNS_TYPE_A, &lookup->a);
    send_query(lookup, DNS_TYPE_AAAA, &lookup->aaaa);
}

static bool grace_is_over(const struct dns_lookup *lookup)
{
    return lookup->grace_ms != 0 && uv_now(lookup->loop) >= lookup->grace_ms;
}

/* The responses are there, or those that are worth waiting for. */
static bool is_settled(const struct dns_lookup *lookup)
{
    return (!lookup->a.pending && !lookup->aaaa.pending) || grace_is_over(lookup);
}

static bool server_failed(int status)
{
    return status == ARES_ESERVFAIL || status == ARES_EREFUSED || status == ARES_ENOTIMP ||
           status == ARES_EFORMERR || status == ARES_EBADRESP;
}

static bool nothing_there(int status)
{
    return status == ARES_ENOTFOUND || status == ARES_ENODATA;
}

/* The status that counts for a name without addresses: that of A, unless only AAAA could not be queried. */
static int status_of(const struct dns_lookup *lookup)
{
    if (lookup->a.status == ARES_ENODATA && !lookup->aaaa.pending && !nothing_there(lookup->aaaa.status))
        return lookup->aaaa.status;
    return lookup->a.status;
}

static void arm(struct dns_lookup *lookup)
{
    struct timeval left;
    uint64_t now = uv_now(lookup->loop);
    uint64_t wait = DNS_TRY_MS;

    if (is_settled(lookup)) {
        loop_timer_start(lookup->timer, 0);
        return;
    }
    if (ares_timeout(lookup->channel, NULL, &left) != NULL)
        wait = (uint64_t)left.tv_sec * 1000 + (uint64_t)left.tv_usec / 1000 + 1;
    if (lookup->grace_ms != 0 && lookup->grace_ms - now < wait)
        wait = lookup->grace_ms - now;
    loop_timer_start(lookup->timer, wait);
}

/* Queries again, all name servers or with the search list. False when there is nothing left to try. */
static bool query_again(struct dns_lookup *lookup, int status)
{
    if ((server_failed(status) || status == ARES_ETIMEOUT) && !lookup->all_servers) {
        lookup->all_servers = true;
    } else if (nothing_there(status) && lookup->may_search && !lookup->searching) {
        lookup->searching = true;
        lookup->all_servers = false;
    } else {
        return false;
    }
    channel_close(lookup);
    if (channel_open(lookup) != ARES_SUCCESS)
        return false;
    send_queries(lookup);
    return true;
}

static void go_on(struct dns_lookup *lookup)
{
    if (!is_settled(lookup)) {
        arm(lookup);
        return;
    }
    if (lookup->n_found > 0) {
        deliver(lookup, (struct dns_result){.outcome = DNS_FOUND, .ttl_s = lookup->ttl_s});
        return;
    }
    int status = status_of(lookup);
    if (query_again(lookup, status)) {
        arm(lookup);
        return;
    }
    deliver(lookup, (struct dns_result){.outcome = nothing_there(status) ? DNS_NOT_FOUND : DNS_FAILED,
                                        .reason = ares_strerror(status)});
}

static void on_timer(void *arg)
{
    struct dns_lookup *lookup = arg;
    if (lookup->channel != NULL)
        ares_process_fd(lookup->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    go_on(lookup);
}

/* --- the start --- */

static void read_hosts(struct dns_lookup *lookup, const char *name, int family)
{
    struct hostent *host = NULL;
    if (ares_gethostbyname_file(lookup->channel, name, family, &host) != ARES_SUCCESS)
        return;
    for (char **address = host->h_addr_list; *address != NULL; address++)
        add_address(lookup, family, *address, 0);
    ares_free_hostent(host);
}

/* Addresses, and the names that always mean this node (RFC 6761 6.3). */
static void read_literal(struct dns_lookup *lookup, const char *name)
{
    struct address address = {.family = AF_INET};
    if (inet_pton(AF_INET, name, &address.bytes) == 1)
        add_address(lookup, AF_INET, &address.bytes, 0);
    else if (inet_pton(AF_INET6, name, &address.bytes) == 1)
        add_address(lookup, AF_INET6, &address.bytes, 0);
    if (lookup->n_found > 0 || !proxy_is_loopback(name))
        return;
    address.bytes.v4.s_addr = htonl(INADDR_LOOPBACK);
    add_address(lookup, AF_INET, &address.bytes, 0);
    address.bytes.v6 = in6addr_loopback;
    add_address(lookup, AF_INET6, &address.bytes, 0);
}

/* What needs no name server. */
static void read_local(struct dns_lookup *lookup, const char *name)
{
    read_literal(lookup, name);
    if (lookup->n_found > 0)
        return;
    read_hosts(lookup, name, AF_INET6);
    read_hosts(lookup, name, AF_INET);
}

static int begin(struct dns_lookup *lookup, const char *name, struct error **err)
{
    size_t len = strlen(name);
    lookup->searching = strchr(name, '.') == NULL;
    lookup->may_search = len > 0 && name[len - 1] != '.';
    lookup->timer = loop_timer_create(lookup->loop, on_timer, lookup, err);
    if (lookup->timer == NULL)
        return -1;
    lookup->name = strdup(name);
    int status = lookup->name != NULL ? channel_open(lookup) : ARES_ENOMEM;
    if (status == ARES_ENOMEM)
        return error_no_memory(err, "a DNS lookup");
    if (status != ARES_SUCCESS)
        return error_set(err, GRPC_STATUS_UNAVAILABLE, "DNS lookup of '%s' failed: %s", name,
                         ares_strerror(status));
    read_local(lookup, name);
    if (lookup->n_found == 0)
        send_queries(lookup);
    arm(lookup);
    return 0;
}

struct dns_lookup *dns_lookup_start(uv_loop_t *loop, const char *name, dns_callback *callback, void *arg,
                                    struct error **err)
{
    struct dns_lookup *lookup = calloc(1, sizeof(*lookup));
    if (lookup == NULL) {
        (void)error_no_memory(err, "a DNS lookup");
        return NULL;
    }
    *lookup = (struct dns_lookup){.loop = loop, .callback = callback, .arg = arg};
    list_init(&lookup->watches);
    if (begin(lookup, name, err) < 0) {
        lookup_free(lookup);
        return NULL;
    }
    return lookup;
}

void dns_lookup_cancel(struct dns_lookup **lookup)
{
    struct dns_lookup *gone = steal_ptr(lookup);
    if (gone != NULL)
        lookup_free(gone);
}
