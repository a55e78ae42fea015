/*
 * kube_credentials.c - configuration, token and CA of the Kubernetes API.
 */
#include "common/kube/kube_credentials.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buffer.h"
#include "common/base/file.h"

enum {
    RELOAD_AFTER_MS = 60 * 1000, /* as client-go; the kubelet renews tokens at 80 % of their life */
};

struct kube_credentials {
    uv_loop_t *loop;
    struct log *log;
    struct kube_rest_config config;
    struct secret *token; /* without white space around it; NULL = anonymous */
    struct secret *ca;    /* PEM; NULL = the system's */
    uint64_t loaded_ms;   /* on uv_now()'s clock */
};

static struct secret *read_trimmed(const char *path, size_t max, struct error **err)
{
    cleanup_buffer struct buffer text = {0};
    const char *start;
    size_t len;
    struct secret *secret;

    if (file_read(path, max, &text, err) < 0)
        return NULL;
    start = buffer_str(&text);
    start += strspn(start, " \t\r\n");
    len = strlen(start);
    while (len > 0 && strchr(" \t\r\n", start[len - 1]) != NULL)
        len--;
    if (len == 0) {
        (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "%s is empty", path);
        return NULL;
    }
    secret = secret_from_bytes(start, len);
    if (secret == NULL)
        (void)error_no_memory(err, NULL);
    return secret;
}

static int reload_one(struct kube_credentials *credentials, const char *path, size_t max,
                      struct secret **held, struct error **err)
{
    struct error *error = NULL;
    struct secret *fresh;

    if (path == NULL)
        return 0;
    fresh = read_trimmed(path, max, &error);
    if (fresh != NULL) {
        secret_destroy(*held);
        *held = fresh;
        return 0;
    }
    if (*held == NULL)
        return error_move(err, &error);
    log_warning(credentials->log, "credentials cannot be read again, the old ones stay in use",
                LOG_STR("file", path), LOG_ERR(error));
    error_free(error);
    return 0;
}

int kube_credentials_reload(struct kube_credentials *credentials, struct error **err)
{
    if (reload_one(credentials, credentials->config.token_file, KUBE_TOKEN_MAX, &credentials->token, err) <
            0 ||
        reload_one(credentials, credentials->config.ca_file, KUBE_CA_MAX, &credentials->ca, err) < 0)
        return -1;
    credentials->loaded_ms = uv_now(credentials->loop);
    return 0;
}

int kube_credentials_apply(struct kube_credentials *credentials, struct http_request *request,
                           struct error **err)
{
    if (uv_now(credentials->loop) - credentials->loaded_ms > RELOAD_AFTER_MS &&
        kube_credentials_reload(credentials, err) < 0)
        return -1;
    request->bearer_token =
        credentials->token == NULL ? NULL : (const char *)secret_bytes(credentials->token);
    request->proxy = credentials->config.use_environment_proxy ? HTTP_PROXY_ENVIRONMENT : HTTP_PROXY_NONE;
    request->proxy_url = credentials->config.proxy_url;
    request->ca_blob = credentials->ca == NULL ? NULL : secret_bytes(credentials->ca);
    request->ca_blob_len = secret_len(credentials->ca);
    request->connect_to = credentials->config.connect_to;
    request->client_cert_pem =
        credentials->config.client_cert == NULL ? NULL : secret_bytes(credentials->config.client_cert);
    request->client_cert_pem_len = secret_len(credentials->config.client_cert);
    request->client_key_pem =
        credentials->config.client_key == NULL ? NULL : secret_bytes(credentials->config.client_key);
    request->client_key_pem_len = secret_len(credentials->config.client_key);
    request->insecure_skip_verify = credentials->config.insecure_skip_verify;
    return 0;
}

bool kube_credentials_rotate(const struct kube_credentials *credentials)
{
    return credentials->config.token_file != NULL || credentials->config.ca_file != NULL;
}

const char *kube_credentials_server(const struct kube_credentials *credentials)
{
    return credentials->config.server;
}

struct kube_credentials *kube_credentials_create(uv_loop_t *loop, struct kube_rest_config *config,
                                                 struct log *log, struct error **err)
{
    struct kube_credentials *credentials = calloc(1, sizeof(*credentials));

    if (credentials == NULL) {
        kube_rest_config_finish(config);
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *credentials = (struct kube_credentials){.loop = loop, .log = log, .config = *config};
    *config = (struct kube_rest_config){0};
    credentials->token = steal_ptr(&credentials->config.token);
    credentials->ca = steal_ptr(&credentials->config.ca);
    if (kube_credentials_reload(credentials, err) < 0) {
        (void)error_wrap(err, "Kubernetes credentials");
        kube_credentials_destroy(credentials);
        return NULL;
    }
    return credentials;
}

void kube_credentials_destroy(struct kube_credentials *credentials)
{
    if (credentials == NULL)
        return;
    kube_rest_config_finish(&credentials->config);
    secret_destroy(credentials->token);
    secret_destroy(credentials->ca);
    free(credentials);
}
