/*
 * token_proxy.c - the endpoint of AKS' token proxy.
 */
#include "provider-azure/identity/token_proxy.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/file.h"
#include "common/base/list.h"
#include "provider-azure/identity/cluster_sni.h"

/* A handshake takes milliseconds; the API server may be starting. */
enum { PROBE_LIMIT_MS = 10 * 1000 };
/* A cluster's id does not change while a node lives; reading its certificate once an hour costs nothing. */
enum { SNI_FRESH_MS = 3600 * 1000 };
enum { CA_MAX_BYTES = 1024 * 1024 };

#define NOT_AVAILABLE "proxy transport not available"

struct token_proxy_waiter {
    struct list link;
    struct token_proxy *proxy;
    struct transport_timer *timer; /* the deadline, or the next turn when the name is known */
    bool known;                    /* the timer delivers the known name */
    bool due;                      /* gets the outcome that is being delivered */
    token_proxy_callback *callback;
    void *arg;
};

struct token_proxy {
    const struct transport *transport;
    struct error *config_error;
    char *connect_to; /* "host:port" */
    char *host;       /* as in the URL: with the port if it gives one */
    char *path;       /* "/" or "/.../" */
    char *fixed_sni;  /* NULL = computed */
    char *ca_file;
    char *api_server;
    struct buffer ca; /* empty: none */
    char *sni;        /* computed, or NULL */
    uint64_t sni_until_ms;
    struct tls_probe *probe;
    struct list waiters; /* struct token_proxy_waiter */
};

/* --- configuration --- */

static int bad_url(struct error **err, const char *why)
{
    return error_set(err, GRPC_STATUS_UNAVAILABLE, NOT_AVAILABLE ": --token-proxy-url %s", why);
}

/* "[host]:port" or "host" taken apart. The port must be digits. */
static int split_authority(struct token_proxy *proxy, const char *authority, struct error **err)
{
    const char *bracket = strrchr(authority, ']');
    const char *colon = strrchr(bracket != NULL ? bracket : authority, ':');
    if (colon == authority || *authority == '\0')
        return bad_url(err, "has no host");
    if (colon != NULL) {
        unsigned long port = strtoul(colon + 1, NULL, 10);
        if (colon[1] == '\0' || colon[1 + strspn(colon + 1, "0123456789")] != '\0' || port == 0 ||
            port > 65535)
            return bad_url(err, "has no valid port");
    }
    proxy->host = strdup(authority);
    if (asprintf(&proxy->connect_to, "%s%s", authority, colon != NULL ? "" : ":443") < 0)
        proxy->connect_to = NULL;
    return proxy->host == NULL || proxy->connect_to == NULL ? error_no_memory(err, NULL) : 0;
}

static int read_url(struct token_proxy *proxy, const char *url, struct error **err)
{
    static const char scheme[] = "https://";
    if (strncasecmp(url, scheme, sizeof(scheme) - 1) != 0)
        return bad_url(err, "is not an https URL");
    const char *rest = url + sizeof(scheme) - 1;
    size_t authority_len = strcspn(rest, "/?#");
    cleanup_free char *authority = strndup(rest, authority_len);
    const char *path = rest + authority_len;
    if (authority == NULL)
        return error_no_memory(err, NULL);
    if (strchr(authority, '@') != NULL)
        return bad_url(err, "must not have a user");
    if (strpbrk(rest, "?#") != NULL)
        return bad_url(err, "must not have a query or a fragment");
    for (const char *at = url; *at != '\0'; at++) {
        if ((unsigned char)*at <= ' ' || *at == 0x7f)
            return bad_url(err, "has blanks or control characters");
    }
    size_t len = strlen(path);
    if (asprintf(&proxy->path, "%s%s", path, len == 0 || path[len - 1] != '/' ? "/" : "") < 0) {
        proxy->path = NULL;
        return error_no_memory(err, NULL);
    }
    return split_authority(proxy, authority, err);
}

static char *default_api_server(void)
{
    const char *port = getenv("KUBERNETES_SERVICE_PORT");
    char *made = NULL;
    if (asprintf(&made, TOKEN_PROXY_API_SERVER ":%s", port != NULL && *port != '\0' ? port : "443") < 0)
        return NULL;
    return made;
}

struct token_proxy *token_proxy_create(const struct transport *transport,
                                       const struct token_proxy_config *config, struct error **err)
{
    struct token_proxy *proxy = calloc(1, sizeof(*proxy));
    if (proxy == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    proxy->transport = transport;
    list_init(&proxy->waiters);
    buffer_init(&proxy->ca, CA_MAX_BYTES);
    proxy->ca_file = strdup(config->ca_file);
    proxy->api_server = *config->api_server != '\0' ? strdup(config->api_server) : default_api_server();
    proxy->fixed_sni = *config->sni_name != '\0' ? strdup(config->sni_name) : NULL;
    if (proxy->ca_file == NULL || proxy->api_server == NULL ||
        (*config->sni_name != '\0' && proxy->fixed_sni == NULL)) {
        (void)error_no_memory(err, NULL);
        token_proxy_destroy(proxy);
        return NULL;
    }
    (void)read_url(proxy, *config->url != '\0' ? config->url : "https://" TOKEN_PROXY_API_SERVER,
                   &proxy->config_error);
    return proxy;
}

void token_proxy_destroy(struct token_proxy *proxy)
{
    if (proxy == NULL)
        return;
    assert(list_empty(&proxy->waiters));
    transport_probe_cancel(proxy->transport, &proxy->probe);
    error_free(proxy->config_error);
    free(proxy->connect_to);
    free(proxy->host);
    free(proxy->path);
    free(proxy->fixed_sni);
    free(proxy->ca_file);
    free(proxy->api_server);
    free(proxy->sni);
    buffer_finish(&proxy->ca);
    free(proxy);
}

const struct error *token_proxy_config_error(const struct token_proxy *proxy)
{
    return proxy->config_error;
}

/* --- the endpoint --- */

/* Reads the CA file. One that is empty, as while it is being replaced, leaves the last content. */
static int read_ca(struct token_proxy *proxy, struct error **err)
{
    cleanup_buffer struct buffer now = {0};
    cleanup_error struct error *failure = NULL;
    if (file_read(proxy->ca_file, CA_MAX_BYTES, &now, &failure) < 0) {
        if (access(proxy->ca_file, F_OK) != 0 && errno == ENOENT) {
            buffer_finish(&proxy->ca); /* the system's trust store */
            return 0;
        }
        return error_set(err, GRPC_STATUS_UNAVAILABLE, NOT_AVAILABLE ": CA file: %s", error_message(failure));
    }
    if (now.len == 0)
        return 0;
    buffer_finish(&proxy->ca);
    proxy->ca = now;
    now = (struct buffer){0};
    return 0;
}

static const char *known_sni(const struct token_proxy *proxy)
{
    if (proxy->fixed_sni != NULL)
        return proxy->fixed_sni;
    if (proxy->sni != NULL && transport_now_ms(proxy->transport) < proxy->sni_until_ms)
        return proxy->sni;
    return NULL;
}

static void waiter_free(struct token_proxy_waiter *waiter)
{
    list_remove(&waiter->link);
    transport_stop(waiter->proxy->transport, &waiter->timer);
    free(waiter);
}

/* Ends one wait. */
static void deliver(struct token_proxy_waiter *waiter, const char *sni, const struct error *error)
{
    struct token_proxy *proxy = waiter->proxy;
    token_proxy_callback *callback = waiter->callback;
    void *arg = waiter->arg;
    cleanup_free char *base = NULL;
    cleanup_error struct error *none = NULL;

    waiter_free(waiter);
    if (error != NULL) {
        callback(NULL, error, arg);
        return;
    }
    if (asprintf(&base, "https://%s%s", sni, proxy->path) < 0) {
        base = NULL;
        (void)error_no_memory(&none, NULL);
        callback(NULL, none, arg);
        return;
    }
    const struct token_proxy_endpoint endpoint = {
        .base = base,
        .connect_to = proxy->connect_to,
        .host = proxy->host,
        .ca_pem = proxy->ca.len > 0 ? buffer_str(&proxy->ca) : NULL,
        .ca_pem_len = proxy->ca.len,
    };
    callback(&endpoint, NULL, arg);
}

static struct token_proxy_waiter *waiter_of(struct list *link)
{
    return container_of(link, struct token_proxy_waiter, link);
}

static struct token_proxy_waiter *first_due(struct token_proxy *proxy)
{
    for (struct list *link = proxy->waiters.next; link != &proxy->waiters; link = link->next) {
        if (waiter_of(link)->due)
            return waiter_of(link);
    }
    return NULL;
}

/* Delivers an outcome to all waiters. Waiters that are added meanwhile wait for the next outcome. */
static void deliver_all(struct token_proxy *proxy, const char *sni, const struct error *error)
{
    struct token_proxy_waiter *waiter = NULL;

    for (struct list *link = proxy->waiters.next; link != &proxy->waiters; link = link->next)
        waiter_of(link)->due = !waiter_of(link)->known;
    while ((waiter = first_due(proxy)) != NULL) /* a callback may cancel any other wait */
        deliver(waiter, sni, error);
}

static void on_probe(const char *const *names, const struct error *error, void *arg)
{
    struct token_proxy *proxy = arg;
    cleanup_error struct error *failure = NULL;
    cleanup_free char *sni = NULL;
    cleanup_free char *id = NULL;

    proxy->probe = NULL;
    for (size_t i = 0; names != NULL && names[i] != NULL && id == NULL; i++)
        id = cluster_id_from_name(names[i]);
    if (id != NULL)
        sni = cluster_sni_name(id);
    if (names == NULL) {
        (void)error_set(&failure, GRPC_STATUS_UNAVAILABLE, NOT_AVAILABLE ": %s", error_message(error));
    } else if (id == NULL) {
        (void)error_set(
            &failure, GRPC_STATUS_UNAVAILABLE,
            NOT_AVAILABLE
            ": cluster ID SAN not found in API server certificate (use --sni-name flag to provide SNI name explicitly)");
    } else if (sni == NULL) {
        (void)error_no_memory(&failure, NULL);
    } else {
        free(proxy->sni);
        proxy->sni = strdup(sni);
        proxy->sni_until_ms = transport_now_ms(proxy->transport) + SNI_FRESH_MS;
    }
    deliver_all(proxy, sni, failure);
}

static int start_probe(struct token_proxy *proxy, struct error **err)
{
    const struct tls_probe_request request = {
        .address = proxy->api_server,
        .server_name = TOKEN_PROXY_API_SERVER,
        .ca_pem = proxy->ca.len > 0 ? buffer_str(&proxy->ca) : NULL,
        .ca_pem_len = proxy->ca.len,
        .timeout_ms = PROBE_LIMIT_MS,
    };
    proxy->probe = transport_probe(proxy->transport, &request, on_probe, proxy, err);
    return proxy->probe == NULL ? error_wrap(err, NOT_AVAILABLE) : 0;
}

static void on_timer(void *arg)
{
    struct token_proxy_waiter *waiter = arg;
    cleanup_error struct error *late = NULL;
    waiter->timer = NULL;
    if (waiter->known) {
        /* The name may have been invalidated since; there is no better one yet. */
        const char *sni = waiter->proxy->fixed_sni != NULL ? waiter->proxy->fixed_sni : waiter->proxy->sni;
        deliver(waiter, sni, NULL);
        return;
    }
    (void)error_set(&late, GRPC_STATUS_DEADLINE_EXCEEDED,
                    NOT_AVAILABLE
                    ": the API server's certificate was not received before the caller's deadline");
    deliver(waiter, NULL, late);
}

struct token_proxy_waiter *token_proxy_resolve(struct token_proxy *proxy, uint64_t deadline_ms,
                                               token_proxy_callback *callback, void *arg, struct error **err)
{
    uint64_t now = transport_now_ms(proxy->transport);
    if (proxy->config_error != NULL) {
        (void)error_set(err, error_code(proxy->config_error), "%s", error_message(proxy->config_error));
        return NULL;
    }
    if (read_ca(proxy, err) < 0)
        return NULL;
    struct token_proxy_waiter *waiter = calloc(1, sizeof(*waiter));
    if (waiter == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *waiter = (struct token_proxy_waiter){
        .proxy = proxy, .known = known_sni(proxy) != NULL, .callback = callback, .arg = arg};
    list_insert_before(&proxy->waiters, &waiter->link);
    uint64_t left = deadline_ms > now ? deadline_ms - now : 0;
    waiter->timer = transport_after(proxy->transport, waiter->known ? 0 : left, on_timer, waiter, err);
    if (waiter->timer == NULL || (!waiter->known && proxy->probe == NULL && start_probe(proxy, err) < 0)) {
        waiter_free(waiter);
        return NULL;
    }
    return waiter;
}

void token_proxy_waiter_cancel(struct token_proxy_waiter **waiter)
{
    struct token_proxy_waiter *gone = *waiter;
    *waiter = NULL;
    if (gone != NULL)
        waiter_free(gone); /* a running probe goes on: its result serves the next request */
}

void token_proxy_invalidate(struct token_proxy *proxy)
{
    proxy->sni_until_ms = 0;
}
