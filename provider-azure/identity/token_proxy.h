/*
 * token_proxy.h - the endpoint of AKS' token proxy, for identity bindings.
 *
 * The proxy has the API server's address and a TLS server name (SNI) of its own, which is computed from the
 * cluster's id in the API server's certificate, unless --sni-name sets it. The first mount that needs the
 * proxy starts a probe of that certificate, in the background and within the mount's deadline; other mounts
 * wait for the same probe. The name is kept for SNI_FRESH_MS; a failure goes to the waiting mounts and is not
 * kept.
 *
 * The trusted CA file is read for each request, as Kubernetes may replace it at any time.
 */
#ifndef PROVIDER_AZURE_IDENTITY_TOKEN_PROXY_H
#define PROVIDER_AZURE_IDENTITY_TOKEN_PROXY_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "provider-azure/network/transport.h"

/* The name of the API server's certificate. */
#define TOKEN_PROXY_API_SERVER "kubernetes.default.svc.cluster.local"

struct token_proxy_config {
    const char *url;        /* --token-proxy-url; "" = https://kubernetes.default.svc.cluster.local */
    const char *sni_name;   /* --sni-name; "" = computed */
    const char *ca_file;    /* in a pod /var/run/secrets/kubernetes.io/serviceaccount/ca.crt */
    const char *api_server; /* "host:port" of the certificate; "" = TOKEN_PROXY_API_SERVER, port
                               $KUBERNETES_SERVICE_PORT or 443 */
};

struct token_proxy;
struct token_proxy_waiter;

/* Copies the configuration; `transport` is borrowed. An invalid URL (https; no user, query or fragment) is
 * not an error here: each mount that needs the proxy reports it. NULL with err set on lack of memory. */
struct token_proxy *token_proxy_create(const struct transport *transport,
                                       const struct token_proxy_config *config, struct error **err);

/* No waiter may be left. Accepts NULL. */
void token_proxy_destroy(struct token_proxy *proxy);

/* The reason why the proxy cannot be used with this configuration, or NULL. */
const struct error *token_proxy_config_error(const struct token_proxy *proxy);

/* The target of a request: the URL's host is the TLS server name, the connection goes to `connect_to`, the
 * Host header names the proxy. All borrowed during the callback. */
struct token_proxy_endpoint {
    const char *base; /* "https://<server name><path of the proxy URL>", ends with a slash */
    const char *connect_to;
    const char *host;
    const char *ca_pem; /* NULL: the system's trust store */
    size_t ca_pem_len;
};

/* Either `endpoint` or `error` (UNAVAILABLE "proxy transport not available: <cause>"). */
typedef void token_proxy_callback(const struct token_proxy_endpoint *endpoint, const struct error *error,
                                  void *arg);

/* Finds the endpoint. Contract: common/grpc/client.h. */
struct token_proxy_waiter *token_proxy_resolve(struct token_proxy *proxy, uint64_t deadline_ms,
                                               token_proxy_callback *callback, void *arg, struct error **err);

/* The callback does not run any more. Sets *waiter to NULL; accepts a pointer to NULL. */
void token_proxy_waiter_cancel(struct token_proxy_waiter **waiter);

/* There was no response from the endpoint: the next token_proxy_resolve() probes the certificate again. */
void token_proxy_invalidate(struct token_proxy *proxy);

#endif
