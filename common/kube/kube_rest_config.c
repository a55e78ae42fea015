/*
 * kube_rest_config.c - how to reach the Kubernetes API; the pod's own service account.
 */
#include "common/kube/kube_rest_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/base/file.h"

void kube_rest_config_finish(struct kube_rest_config *config)
{
    free(config->server);
    free(config->connect_to);
    free(config->ns);
    free(config->token_file);
    secret_destroy(config->token);
    free(config->ca_file);
    secret_destroy(config->ca);
    secret_destroy(config->client_cert);
    secret_destroy(config->client_key);
    free(config->proxy_url);
    *config = (struct kube_rest_config){0};
}

static int join(const char *dir, const char *file, char **ret, struct error **err)
{
    return asprintf(ret, "%s/%s", dir, file) < 0 ? error_no_memory(err, NULL) : 0;
}

/* "10.0.0.1" -> "10.0.0.1:443", "fd00::1" -> "[fd00::1]:443". */
static int host_port(const char *host, const char *port, char **ret, struct error **err)
{
    const char *format = strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s";
    char *end;
    long number;

    errno = 0;
    number = strtol(port, &end, 10);
    if (port[0] < '0' || port[0] > '9' || errno != 0 || *end != '\0' || number < 1 || number > 65535)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "KUBERNETES_SERVICE_PORT '%s' is not a port",
                         port);
    if (host[strspn(host, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.:-_%")] != '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "KUBERNETES_SERVICE_HOST '%s' is not a host",
                         host);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    if (asprintf(ret, format, host, port) < 0)
        return error_no_memory(err, NULL);
#pragma GCC diagnostic pop
    return 0;
}

/* The pod's namespace: informative, so its absence is no failure. */
static char *read_namespace(const char *service_account_dir)
{
    cleanup_buffer struct buffer text = {0};
    cleanup_free char *path = NULL;

    if (join(service_account_dir, "namespace", &path, /* err= */ NULL) < 0 ||
        file_read(path, 253, &text, /* err= */ NULL) < 0)
        return strdup("");
    return strndup(buffer_str(&text), strcspn(buffer_str(&text), " \r\n"));
}

int kube_rest_config_in_cluster(const char *host, const char *port, const char *service_account_dir,
                                struct kube_rest_config *ret, struct error **err)
{
    cleanup_kube_rest_config struct kube_rest_config config = {0};
    const char *dir = service_account_dir != NULL ? service_account_dir : KUBE_SERVICE_ACCOUNT_DIR;

    config.server = strdup("https://kubernetes.default.svc");
    config.ns = read_namespace(dir);
    if (config.server == NULL || config.ns == NULL)
        return error_no_memory(err, NULL);
    if (host_port(host, port, &config.connect_to, err) < 0 ||
        join(dir, "token", &config.token_file, err) < 0 || join(dir, "ca.crt", &config.ca_file, err) < 0)
        return -1;
    if (access(config.token_file, R_OK) < 0)
        return error_set_errno(
            err, GRPC_STATUS_FAILED_PRECONDITION, errno,
            "KUBERNETES_SERVICE_HOST is set, but the service account token %s cannot be read",
            config.token_file);
    *ret = config;
    config = (struct kube_rest_config){0};
    return 0;
}
