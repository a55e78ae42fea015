/*
 * kube_config_load.h - finds the configuration of the Kubernetes API: --kubeconfig, then $KUBECONFIG (a ':'
 * list, first definition wins), then the service account of the pod (KUBERNETES_SERVICE_HOST), then
 * $HOME/.kube/config.
 */
#ifndef COMMON_KUBE_KUBE_CONFIG_LOAD_H
#define COMMON_KUBE_KUBE_CONFIG_LOAD_H

#include "common/kube/kube_rest_config.h"

/* From the environment, read once in main(). Members may be NULL. */
struct kube_environment {
    const char *kubeconfig;          /* --kubeconfig, "" = not given */
    const char *kubeconfig_env;      /* $KUBECONFIG */
    const char *service_host;        /* $KUBERNETES_SERVICE_HOST */
    const char *service_port;        /* $KUBERNETES_SERVICE_PORT */
    const char *home;                /* $HOME */
    const char *service_account_dir; /* NULL = KUBE_SERVICE_ACCOUNT_DIR */
};

/* NOT_FOUND when none of the sources exists: the caller may go on without Kubernetes. Any other error: a
 * source is there but unusable. */
int kube_config_load(const struct kube_environment *environment, struct kube_rest_config *ret,
                     struct error **err);

#endif
