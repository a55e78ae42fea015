/*
 * kubeconfig_file.c - the subset of kubeconfig files that a daemon needs.
 */
#include "common/kube/kubeconfig_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/yaml.h"
#include "common/crypto/encoding.h"

struct document {
    const char *path;
    struct yaml_document *yaml;
    const struct yaml_node *root;
};

struct documents {
    struct document items[KUBECONFIG_FILES_MAX];
    size_t n;
};

/* An entry of one of the lists, with the file it stands in. */
struct entry {
    const struct yaml_node *node; /* NULL = not found */
    const char *path;
};

/* The text of a scalar member; "" when it is missing or null. */
static int member(const struct entry *entry, const char *key, const char **ret, struct error **err)
{
    const struct yaml_node *node = yaml_get(entry->node, key);

    *ret = "";
    if (yaml_is_null(node))
        return 0;
    if (node->kind != YAML_SCALAR)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s: line %u: %s must be a string", entry->path,
                         node->line, key);
    *ret = node->text;
    return 0;
}

/* clusters[name == `name`].cluster and the like. */
static int find(const struct documents *documents, const char *list, const char *name, const char *what,
                struct entry *ret, struct error **err)
{
    for (size_t i = 0; i < documents->n; i++) {
        const struct yaml_node *items = yaml_get(documents->items[i].root, list);

        if (items == NULL || items->kind != YAML_SEQUENCE)
            continue;
        for (size_t j = 0; j < items->n; j++) {
            const struct yaml_node *item_name = yaml_get(items->values[j], "name");

            if (item_name != NULL && item_name->kind == YAML_SCALAR && strcmp(item_name->text, name) == 0) {
                *ret = (struct entry){.node = yaml_get(items->values[j], what),
                                      .path = documents->items[i].path};
                return 0;
            }
        }
    }
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "kubeconfig: %s '%s' is not defined", what, name);
}

static int resolve_path(const char *base, const char *path, char **ret, struct error **err)
{
    const char *slash = strrchr(base, '/');

    if (path[0] == '/' || slash == NULL)
        *ret = strdup(path);
    else if (asprintf(ret, "%.*s/%s", (int)(slash - base), base, path) < 0)
        *ret = NULL;
    return *ret == NULL ? error_no_memory(err, NULL) : 0;
}

/* "<key>-data" (base64) wins over "<key>" (a file, resolved into *ret_path). Both may be absent. */
static int read_material(const struct entry *entry, const char *key, const char *data_key,
                         struct secret **ret_data, char **ret_path, struct error **err)
{
    cleanup_error struct error *why = NULL;
    const char *data;
    const char *path;

    if (member(entry, data_key, &data, err) < 0 || member(entry, key, &path, err) < 0)
        return -1;
    if (data[0] != '\0') {
        *ret_data = base64_decode(data, strlen(data), &why);
        if (*ret_data != NULL)
            return 0;
        if (error_code(why) == GRPC_STATUS_FAILED_PRECONDITION)
            (void)error_recode(&why, GRPC_STATUS_INVALID_ARGUMENT);
        (void)error_wrap(&why, "%s: %s", entry->path, data_key);
        return error_move(err, &why);
    }
    return path[0] == '\0' ? 0 : resolve_path(entry->path, path, ret_path, err);
}

/* The same, but a file is read at once: client certificates do not rotate under our hands. */
static int read_pem(const struct entry *entry, const char *key, const char *data_key, struct secret **ret,
                    struct error **err)
{
    cleanup_buffer struct buffer text = {0};
    cleanup_free char *path = NULL;

    if (read_material(entry, key, data_key, ret, &path, err) < 0)
        return -1;
    if (path == NULL)
        return 0;
    if (file_read(path, KUBE_CA_MAX, &text, err) < 0)
        return error_wrap(err, "%s: %s", entry->path, key);
    *ret = secret_from_bytes(text.data, text.len);
    return *ret == NULL ? error_no_memory(err, NULL) : 0;
}

static int refuse(const struct entry *entry, const char *const *keys, struct error **err)
{
    for (; *keys != NULL; keys++)
        if (!yaml_is_null(yaml_get(entry->node, *keys)))
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                             "%s: '%s' is not supported; use a token, a tokenFile or a client certificate",
                             entry->path, *keys);
    return 0;
}

/* Replaces the host in the URL by the name the certificate is for, and connects to the host instead. */
static int apply_tls_server_name(struct kube_rest_config *config, const char *name, struct error **err)
{
    static const char scheme[] = "https://";
    const char *authority = config->server + sizeof(scheme) - 1;
    size_t len = strcspn(authority, "/");
    const char *port;
    char *server = NULL;

    if (name[strspn(name, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-")] != '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "kubeconfig: tls-server-name '%s' is not a host name", name);
    port = memchr(authority, ']', len);
    port = port == NULL ? memchr(authority, ':', len) : memchr(port, ':', len - (size_t)(port - authority));
    if (asprintf(&config->connect_to, "%.*s%s", (int)len, authority, port == NULL ? ":443" : "") < 0) {
        config->connect_to = NULL;
        return error_no_memory(err, NULL);
    }
    if (asprintf(&server, "https://%s%.*s%s", name,
                 port == NULL ? 0 : (int)(len - (size_t)(port - authority)), port == NULL ? "" : port,
                 authority + len) < 0)
        return error_no_memory(err, NULL);
    free(config->server);
    config->server = server;
    return 0;
}

/* "http[s]://<host>...": what stands for a host is left to the HTTP client, but something must. */
static bool is_server_url(const char *server)
{
    size_t scheme_len = strncmp(server, "https://", 8) == 0 ? 8 : strncmp(server, "http://", 7) == 0 ? 7 : 0;

    return scheme_len > 0 && server[scheme_len] != '\0' && server[scheme_len] != '/';
}

static int read_cluster(const struct entry *cluster, struct kube_rest_config *config, struct error **err)
{
    const char *server;
    const char *tls_server_name;
    const char *skip_verify;
    const char *proxy;
    size_t len;

    if (member(cluster, "server", &server, err) < 0 ||
        member(cluster, "tls-server-name", &tls_server_name, err) < 0 ||
        member(cluster, "insecure-skip-tls-verify", &skip_verify, err) < 0 ||
        member(cluster, "proxy-url", &proxy, err) < 0 ||
        read_material(cluster, "certificate-authority", "certificate-authority-data", &config->ca,
                      &config->ca_file, err) < 0)
        return -1;
    if (!is_server_url(server))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s: server '%s' is not an http(s) URL",
                         cluster->path, server);
    len = strlen(server);
    while (len > 0 && server[len - 1] == '/')
        len--;
    config->server = strndup(server, len);
    config->proxy_url = proxy[0] == '\0' ? NULL : strdup(proxy);
    if (config->server == NULL || (proxy[0] != '\0' && config->proxy_url == NULL))
        return error_no_memory(err, NULL);
    config->use_environment_proxy = true;
    config->insecure_skip_verify = strcmp(skip_verify, "true") == 0;
    if (tls_server_name[0] != '\0' && strncmp(config->server, "https://", 8) == 0)
        return apply_tls_server_name(config, tls_server_name, err);
    return 0;
}

static int read_user(const struct entry *user, struct kube_rest_config *config, struct error **err)
{
    static const char *const unsupported[] = {"exec",   "auth-provider", "username",      "password", "as",
                                              "as-uid", "as-groups",     "as-user-extra", NULL};
    const char *token;
    const char *token_file;

    if (refuse(user, unsupported, err) < 0 || member(user, "token", &token, err) < 0 ||
        member(user, "tokenFile", &token_file, err) < 0 ||
        read_pem(user, "client-certificate", "client-certificate-data", &config->client_cert, err) < 0 ||
        read_pem(user, "client-key", "client-key-data", &config->client_key, err) < 0)
        return -1;
    if ((config->client_cert == NULL) != (config->client_key == NULL))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "%s: client-certificate and client-key belong together", user->path);
    if (token_file[0] != '\0' && resolve_path(user->path, token_file, &config->token_file, err) < 0)
        return -1;
    if (token[0] != '\0') {
        config->token = secret_from_bytes(token, strlen(token));
        if (config->token == NULL)
            return error_no_memory(err, NULL);
    }
    return 0;
}

static int read_context(const struct documents *documents, const char *name, struct kube_rest_config *config,
                        struct error **err)
{
    struct entry context = {.path = ""};
    struct entry cluster = {.path = ""};
    struct entry user = {.path = ""};
    const char *cluster_name;
    const char *user_name;
    const char *ns;

    if (find(documents, "contexts", name, "context", &context, err) < 0 ||
        member(&context, "cluster", &cluster_name, err) < 0 ||
        member(&context, "user", &user_name, err) < 0 || member(&context, "namespace", &ns, err) < 0 ||
        find(documents, "clusters", cluster_name, "cluster", &cluster, err) < 0 ||
        read_cluster(&cluster, config, err) < 0)
        return -1;
    config->ns = strdup(ns);
    if (config->ns == NULL)
        return error_no_memory(err, NULL);
    if (user_name[0] == '\0')
        return 0; /* anonymous */
    if (find(documents, "users", user_name, "user", &user, err) < 0)
        return -1;
    return read_user(&user, config, err);
}

static int parse_all(const struct kubeconfig_text *texts, size_t n, struct documents *documents,
                     struct error **err)
{
    for (size_t i = 0; i < n && i < KUBECONFIG_FILES_MAX; i++) {
        struct document *document = &documents->items[i];

        document->path = texts[i].path;
        document->yaml = yaml_parse(texts[i].text, texts[i].len, KUBECONFIG_MAX, &document->root, err);
        if (document->yaml == NULL)
            return error_wrap(err, "%s", texts[i].path);
        documents->n++;
    }
    return 0;
}

static int current_context(const struct documents *documents, const char **ret, struct error **err)
{
    for (size_t i = 0; i < documents->n; i++) {
        const struct entry root = {.node = documents->items[i].root, .path = documents->items[i].path};

        if (member(&root, "current-context", ret, err) < 0)
            return -1;
        if ((*ret)[0] != '\0')
            return 0;
    }
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "kubeconfig: no current-context");
}

int kubeconfig_parse(const struct kubeconfig_text *texts, size_t n, struct kube_rest_config *ret,
                     struct error **err)
{
    cleanup_kube_rest_config struct kube_rest_config config = {0};
    struct documents documents = {0};
    const char *context = NULL;
    int result = parse_all(texts, n, &documents, err);

    if (result == 0)
        result = current_context(&documents, &context, err);
    if (result == 0)
        result = read_context(&documents, context, &config, err);
    if (result == 0) {
        *ret = config;
        config = (struct kube_rest_config){0};
    }
    for (size_t i = 0; i < documents.n; i++)
        yaml_document_free(documents.items[i].yaml);
    return result;
}
