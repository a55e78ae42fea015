/*
 * kube_config.h - how to reach the Kubernetes API: from inside a pod, or by a kubeconfig file.
 *
 * Order, as ever: --kubeconfig, then $KUBECONFIG (a ':' list, first definition wins), then the service
 * account of the pod (KUBERNETES_SERVICE_HOST), then $HOME/.kube/config.
 *
 * Of kubeconfig these are understood: current-context; contexts' cluster, user, namespace; clusters' server,
 * certificate-authority[-data], tls-server-name, insecure-skip-tls-verify, proxy-url; users' token,
 * tokenFile, client-certificate[-data], client-key[-data]. What would need a program run (exec), an
 * auth-provider, a password or impersonation is refused by name.
 */
#ifndef DRIVER_KUBE_REST_CONFIG_H
#define DRIVER_KUBE_REST_CONFIG_H

#include <stdbool.h>

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "common/base/secret.h"

enum {
    KUBE_TOKEN_MAX = 64 * 1024,   /* bytes of a token file; a service account token has about 1 KiB */
    KUBE_CA_MAX = 1024 * 1024,    /* bytes of a CA bundle or client certificate */
    KUBECONFIG_MAX = 1024 * 1024, /* bytes of a kubeconfig file */
    KUBECONFIG_FILES_MAX = 16,    /* files in $KUBECONFIG */
};

#define KUBE_SERVICE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

struct kube_config {
    char *server; /* "https://host[:port][/prefix]", no trailing slash */
    char *
        connect_to; /* "host:port" to connect to while the TLS name stays the server's; NULL = the server's */
    char *ns;       /* default namespace; "" when not given */
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

void kube_config_finish(struct kube_config *config);
#define cleanup_kube_config CLEANUP(kube_config_finish)

/* What the environment says; read once in main(). Members may be NULL. */
struct kube_environment {
    const char *kubeconfig;          /* --kubeconfig, "" = not given */
    const char *kubeconfig_env;      /* $KUBECONFIG */
    const char *service_host;        /* $KUBERNETES_SERVICE_HOST */
    const char *service_port;        /* $KUBERNETES_SERVICE_PORT */
    const char *home;                /* $HOME */
    const char *service_account_dir; /* NULL = KUBE_SERVICE_ACCOUNT_DIR */
};

/* Finds and reads the configuration. NOT_FOUND when none of the sources exists (then the caller may go on
 * without Kubernetes); any other error: a source is there but unusable. */
int kube_config_load(const struct kube_environment *environment, struct kube_config *ret, struct error **err);

/* The pod's service account. The URL is https://kubernetes.default.svc whatever the service's IP is, and only
 * the connection goes to the IP: mbedTLS 2.28 does not match IP addresses in certificates, and every API
 * server's certificate has this name. No proxy is ever used. */
int kube_config_in_cluster(const char *host, const char *port, const char *service_account_dir,
                           struct kube_config *ret, struct error **err);

/* kubeconfig text(s): `paths` name them in errors and resolve relative file names. Files named inside are not
 * opened unless they hold a client certificate or key. */
struct kubeconfig_text {
    const char *path;
    const char *text;
    size_t len;
};
int kubeconfig_parse(const struct kubeconfig_text *texts, size_t n, struct kube_config *ret,
                     struct error **err);

#endif
