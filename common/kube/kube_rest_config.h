/*
 * kube_rest_config.h - how to reach the Kubernetes API: server, credentials, TLS and proxy.
 */
#ifndef COMMON_KUBE_KUBE_REST_CONFIG_H
#define COMMON_KUBE_KUBE_REST_CONFIG_H

#include <stdbool.h>

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "common/base/secret.h"

enum {
    KUBE_TOKEN_MAX = 64 * 1024, /* bytes of a token file; a service account token has about 1 KiB */
    KUBE_CA_MAX = 1024 * 1024,  /* bytes of a CA bundle or client certificate */
};

#define KUBE_SERVICE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

/* All pointers are owned; {0} is empty. */
struct kube_rest_config {
    char *server;     /* "https://host[:port][/prefix]", no trailing slash */
    char *connect_to; /* "host:port" to connect to, the TLS name stays the server's; NULL = the server */
    char *ns;         /* default namespace; "" when not given */
    char *token_file; /* read again as it rotates; NULL = `token` or none */
    struct secret *token;
    char *ca_file;              /* read again as it rotates; NULL = `ca` or the system's */
    struct secret *ca;          /* PEM */
    struct secret *client_cert; /* PEM, with client_key for mutual TLS; NULL without */
    struct secret *client_key;
    char *proxy_url; /* NULL = as `use_environment_proxy` says */
    bool use_environment_proxy;
    bool insecure_skip_verify;
};

/* The pod's service account, in `service_account_dir` (NULL = KUBE_SERVICE_ACCOUNT_DIR). The URL is
 * https://kubernetes.default.svc whatever the service's IP is, and only the connection goes to the IP:
 * mbedTLS 2.28 does not match IP addresses in certificates, and every API server's certificate has this name.
 * No proxy is ever used. */
int kube_rest_config_in_cluster(const char *host, const char *port, const char *service_account_dir,
                                struct kube_rest_config *ret, struct error **err);

/* Wipes and frees; empty afterwards. */
void kube_rest_config_finish(struct kube_rest_config *config);
#define cleanup_kube_rest_config CLEANUP(kube_rest_config_finish)

#endif
