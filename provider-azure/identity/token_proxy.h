/*
 * token_proxy.h - the way to AKS' token proxy, which identity bindings go through.
 *
 * The proxy listens where the API server does and is told apart by its TLS server name (SNI), which is
 * computed from the cluster's id in the API server's certificate, unless --sni-name gives it. So the first
 * mount that needs it looks at that certificate: in the background, within its deadline, together with all
 * others that wait. What was found is kept for SNI_FRESH_MS; a failure is told to those who waited and is
 * not kept.
 *
 * The trusted CA is read anew for each request, as Kubernetes may change it at any time.
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
    const char *api_server; /* "host:port" whose certificate is looked at; "" = TOKEN_PROXY_API_SERVER, port
                               $KUBERNETES_SERVICE_PORT or 443 */
};

struct token_proxy;
struct token_proxy_waiter;

/* Copies what it needs; `transport` is borrowed. A URL that breaks the rules (https; no user, query or
 * fragment) is not an error here: it is told by each mount that needs the proxy. NULL with err set on
 * lack of memory. */
struct token_proxy *token_proxy_create(const struct transport *transport,
                                       const struct token_proxy_config *config, struct error **err);
/* No wait may be left. Accepts NULL. */
void token_proxy_destroy(struct token_proxy *proxy);

/* Why the proxy can never be used as it is configured, or NULL. */
const struct error *token_proxy_config_error(const struct token_proxy *proxy);

/* Where a request goes: the URL's host is the TLS server name, the connection goes to `connect_to`, the
 * Host header names the proxy. All borrowed for the time of the callback. */
struct token_proxy_endpoint {
    const char *base; /* "https://<server name><path of the proxy URL>", ends with a slash */
    const char *connect_to;
    const char *host;
    const char *ca_pem; /* NULL: the system's trust store */
    size_t ca_pem_len;
};

/* Either `route` or `error` (UNAVAILABLE "proxy transport not available: <cause>"). */
typedef void token_proxy_callback(const struct token_proxy_endpoint *endpoint, const struct error *error,
                                  void *arg);

/* Contract: common/grpc/client.h. */
struct token_proxy_waiter *token_proxy_resolve(struct token_proxy *proxy, uint64_t deadline_ms,
                                               token_proxy_callback *callback, void *arg, struct error **err);
void token_proxy_waiter_cancel(struct token_proxy_waiter **waiter);

/* The route did not lead anywhere: the certificate is looked at again next time. */
void token_proxy_invalidate(struct token_proxy *proxy);

/* The server name for a cluster id; the caller frees. */
char *token_proxy_sni_name(const char *cluster_id);

#endif
