/*
 * provider_server.c - the provider protocol (proto/provider.proto) on the gRPC server.
 */
#include "common/provider_server.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/secret.h"
#include "proto/provider.pb-c.h"

enum { SOCKET_MODE = 0700, PERMISSION_MAX = 0777 };
/* Contents and names of one response. The driver refuses far smaller ones; this only protects the node's
 * memory from a provider. */
enum { RESPONSE_BYTES_MAX = 64 * 1024 * 1024 };

struct provider_server {
    const struct provider *provider;
    struct grpc_server *grpc;
    struct grpc_service service;
    struct grpc_method methods[2];
};

struct provider_mount {
    struct grpc_call *call;
    const V1alpha1__MountRequest *request; /* lives as long as the call */
    struct string_map attributes;
    struct string_map secrets;
    int no_secrets; /* JSON null, or nothing */
    mode_t permission;
    V1alpha1__File **files; /* owned, with their content, from the wiping allocator; so are the versions */
    size_t n_files;
    size_t files_cap;
    V1alpha1__ObjectVersion **versions;
    size_t n_versions;
    size_t versions_cap;
    char **warnings; /* owned, from the wiping allocator */
    size_t n_warnings;
    size_t warnings_cap;
    size_t response_bytes;
    void (*cancelled)(struct provider_mount *mount, void *arg);
    void *cancelled_arg;
};

/* --- the response --- */

static void file_free(V1alpha1__File *file)
{
    if (file == NULL)
        return;
    secret_free(file->path);
    secret_free(file->contents.data);
    secret_free(file);
}

static void version_free(V1alpha1__ObjectVersion *version)
{
    if (version == NULL)
        return;
    secret_free(version->id);
    secret_free(version->version);
    secret_free(version);
}

/* Reserves one more pointer in an array from the wiping allocator. */
static int reserve(void **array, size_t n, size_t *cap, struct error **err)
{
    size_t wanted = *cap == 0 ? 16 : *cap * 2;
    void *grown;

    if (n < *cap)
        return 0;
    grown = secret_realloc(*array, wanted * sizeof(void *));
    if (grown == NULL)
        return error_no_memory(err, "a mount response");
    *array = grown;
    *cap = wanted;
    return 0;
}

static int account(struct provider_mount *mount, size_t bytes, struct error **err)
{
    if (bytes > RESPONSE_BYTES_MAX - mount->response_bytes)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED,
                         "the response to the mount would exceed %d bytes", RESPONSE_BYTES_MAX);
    mount->response_bytes += bytes;
    return 0;
}

int provider_mount_add_file(struct provider_mount *mount, const char *path, mode_t mode, const void *contents,
                            size_t len, struct error **err)
{
    V1alpha1__File *file;

    if (account(mount, strlen(path), err) < 0 || account(mount, len, err) < 0)
        return -1;
    if (reserve((void **)&mount->files, mount->n_files, &mount->files_cap, err) < 0)
        return -1;
    file = secret_malloc(sizeof(*file));
    if (file == NULL)
        return error_no_memory(err, "a mount response");
    v1alpha1__file__init(file);
    file->mode = (int32_t)mode;
    file->path = secret_strdup(path);
    file->contents.data = secret_malloc(len + 1);
    file->contents.len = len;
    if (file->path == NULL || file->contents.data == NULL) {
        file_free(file);
        return error_no_memory(err, "a mount response");
    }
    if (len > 0)
        memcpy(file->contents.data, contents, len);
    mount->files[mount->n_files++] = file;
    return 0;
}

int provider_mount_add_version(struct provider_mount *mount, const char *id, const char *version,
                               struct error **err)
{
    V1alpha1__ObjectVersion *entry = NULL;
    char *copy;

    if (account(mount, strlen(id) + strlen(version), err) < 0)
        return -1;
    copy = secret_strdup(version);
    if (copy == NULL)
        return error_no_memory(err, "a mount response");
    for (size_t i = 0; i < mount->n_versions; i++) {
        if (strcmp(mount->versions[i]->id, id) == 0) {
            secret_free(mount->versions[i]->version);
            mount->versions[i]->version = copy;
            return 0;
        }
    }
    if (reserve((void **)&mount->versions, mount->n_versions, &mount->versions_cap, err) < 0) {
        secret_free(copy);
        return -1;
    }
    entry = secret_malloc(sizeof(*entry));
    if (entry == NULL) {
        secret_free(copy);
        return error_no_memory(err, "a mount response");
    }
    v1alpha1__object_version__init(entry);
    entry->version = copy;
    entry->id = secret_strdup(id);
    if (entry->id == NULL) {
        version_free(entry);
        return error_no_memory(err, "a mount response");
    }
    mount->versions[mount->n_versions++] = entry;
    return 0;
}

int provider_mount_add_warning(struct provider_mount *mount, const char *text, struct error **err)
{
    if (account(mount, strlen(text), err) < 0 ||
        reserve((void **)&mount->warnings, mount->n_warnings, &mount->warnings_cap, err) < 0)
        return -1;
    char *copy = secret_strdup(text);
    if (copy == NULL)
        return error_no_memory(err, "a mount response");
    mount->warnings[mount->n_warnings++] = copy;
    return 0;
}

static void mount_free(struct provider_mount *mount)
{
    for (size_t i = 0; i < mount->n_files; i++)
        file_free(mount->files[i]);
    for (size_t i = 0; i < mount->n_versions; i++)
        version_free(mount->versions[i]);
    for (size_t i = 0; i < mount->n_warnings; i++)
        secret_free(mount->warnings[i]);
    secret_free((void *)mount->files);
    secret_free((void *)mount->versions);
    secret_free((void *)mount->warnings);
    string_map_finish(&mount->attributes);
    string_map_finish(&mount->secrets);
    free(mount);
}

void provider_mount_done(struct provider_mount *mount)
{
    V1alpha1__MountResponse response = V1ALPHA1__MOUNT_RESPONSE__INIT;

    response.n_files = mount->n_files;
    response.files = mount->files;
    response.n_object_version = mount->n_versions;
    response.object_version = mount->versions;
    response.n_warnings = mount->n_warnings;
    response.warnings = mount->warnings;
    grpc_call_reply(mount->call, &response.base);
    mount_free(mount);
}

void provider_mount_forbid_retry(struct provider_mount *mount)
{
    grpc_call_forbid_retry(mount->call);
}

void provider_mount_fail(struct provider_mount *mount, const struct error *error)
{
    grpc_call_fail(mount->call, error);
    mount_free(mount);
}

/* --- the request --- */

/* A JSON number of permission bits in decimal ("420"); JSON null means none. */
static int parse_permission(const char *text, mode_t *ret_mode, struct error **err)
{
    unsigned mode = 0;
    size_t len = strlen(text);

    if (strcmp(text, "null") == 0) {
        *ret_mode = 0;
        return 0;
    }
    bool is_number =
        len >= 1 && len <= 3 && strspn(text, "0123456789") == len && (text[0] != '0' || len == 1);
    for (size_t i = 0; is_number && i < len; i++)
        mode = mode * 10 + (unsigned)(text[i] - '0');
    if (!is_number || mode > PERMISSION_MAX)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "permission is not a number of 0 to %d",
                         PERMISSION_MAX);
    *ret_mode = mode;
    return 0;
}

static int decode(struct provider_mount *mount, struct error **err)
{
    const V1alpha1__MountRequest *request = mount->request;

    if (string_map_from_json(&mount->attributes, request->attributes, strlen(request->attributes),
                             /* ret_null= */ NULL, err) < 0)
        return error_wrap(err, "failed to unmarshal attributes, error");
    /* Callers send null or nothing when there is no nodePublishSecretRef; {} is a Secret without keys. */
    mount->no_secrets = 1;
    if (request->secrets[0] != '\0' &&
        string_map_from_json(&mount->secrets, request->secrets, strlen(request->secrets), &mount->no_secrets,
                             err) < 0)
        return error_wrap(err, "failed to unmarshal secrets, error");
    if (parse_permission(request->permission, &mount->permission, err) < 0)
        return error_wrap(err, "failed to unmarshal file permission, error");
    return 0;
}

static void on_mount(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    const struct provider_server *server = arg;
    struct provider_mount *mount = calloc(1, sizeof(*mount));
    cleanup_error struct error *err = NULL;

    if (mount == NULL) {
        (void)error_no_memory(&err, "a mount response");
        grpc_call_fail(call, err);
        return;
    }
    mount->call = call;
    mount->request = (const V1alpha1__MountRequest *)request;
    if (decode(mount, &err) < 0) {
        provider_mount_fail(mount, err);
        return;
    }
    server->provider->mount(mount, server->provider->arg);
}

/* protobuf-c's strings lack the const; packing only reads them. */
static char *unconst(const char *text)
{
    union {
        const char *in;
        char *out;
    } both = {.in = text};

    return both.out;
}

static void on_version(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    const struct provider_server *server = arg;
    V1alpha1__VersionResponse response;

    (void)request; /* there is one version of the protocol */
    v1alpha1__version_response__init(&response);
    response.version = unconst("v1alpha1");
    response.runtime_name = unconst(server->provider->name);
    response.runtime_version = unconst(server->provider->version);
    grpc_call_reply(call, &response.base);
}

const struct string_map *provider_mount_attributes(const struct provider_mount *mount)
{
    return &mount->attributes;
}

const struct string_map *provider_mount_secrets(const struct provider_mount *mount)
{
    return mount->no_secrets ? NULL : &mount->secrets;
}

mode_t provider_mount_permission(const struct provider_mount *mount)
{
    return mount->permission;
}

const char *provider_mount_target_path(const struct provider_mount *mount)
{
    return mount->request->target_path != NULL ? mount->request->target_path : "";
}

const char *provider_mount_current_version(const struct provider_mount *mount, const char *id)
{
    for (size_t i = mount->request->n_current_object_version; i > 0;
         i--) { /* of duplicates the last one counts */
        const V1alpha1__ObjectVersion *version = mount->request->current_object_version[i - 1];

        if (strcmp(version->id, id) == 0)
            return version->version;
    }
    return NULL;
}

size_t provider_mount_current_count(const struct provider_mount *mount)
{
    return mount->request->n_current_object_version;
}

uint64_t provider_mount_time_left_ms(const struct provider_mount *mount)
{
    return grpc_call_time_left_ms(mount->call);
}

static void on_cancelled(struct grpc_call *call, void *arg)
{
    struct provider_mount *mount = arg;

    (void)call;
    mount->cancelled(mount, mount->cancelled_arg);
}

void provider_mount_on_cancel(struct provider_mount *mount,
                              void (*cancelled)(struct provider_mount *mount, void *arg), void *arg)
{
    mount->cancelled = cancelled;
    mount->cancelled_arg = arg;
    grpc_call_on_cancel(mount->call, cancelled == NULL ? NULL : on_cancelled, mount);
}

enum grpc_status provider_mount_cancel_reason(const struct provider_mount *mount)
{
    return grpc_call_cancel_reason(mount->call);
}

void provider_mount_on_released(struct provider_mount *mount, void (*released)(void *arg), void *arg)
{
    grpc_call_on_released(mount->call, released, arg);
}

/* --- the server --- */

static int listen_at(struct provider_server *server, const struct provider_server_config *config,
                     struct error **err)
{
    mode_t mode = config->socket_mode == 0 ? SOCKET_MODE : config->socket_mode;

    if (config->endpoint.kind == ENDPOINT_UNIX)
        return grpc_server_listen_unix(server->grpc, config->endpoint.address, mode, err);
    return grpc_server_listen_tcp(server->grpc, config->endpoint.address, err);
}

struct provider_server *provider_server_create(uv_loop_t *loop, const struct provider *provider,
                                               const struct provider_server_config *config,
                                               struct error **err)
{
    struct grpc_server_config grpc_config = {
        .log = config->log,
        .max_calls = config->max_calls,
        .observer = config->observer,
        .observer_arg = config->observer_arg,
        .socket_observer = config->socket_observer,
        .socket_observer_arg = config->socket_observer_arg,
    };
    struct provider_server *server = calloc(1, sizeof(*server));

    if (server == NULL) {
        (void)error_no_memory(err, "a provider server");
        return NULL;
    }
    server->provider = provider;
    server->methods[0] = (struct grpc_method){"Version", &v1alpha1__version_request__descriptor, on_version};
    server->methods[1] = (struct grpc_method){"Mount", &v1alpha1__mount_request__descriptor, on_mount};
    server->service = (struct grpc_service){
        .name = "v1alpha1.CSIDriverProvider", .methods = server->methods, .n_methods = 2, .arg = server};
    server->grpc = grpc_server_create(loop, &grpc_config, err);
    if (server->grpc == NULL)
        goto fail;
    grpc_server_add_service(server->grpc, &server->service);
    if (config->service != NULL)
        grpc_server_add_service(server->grpc, config->service);
    grpc_server_add_health(server->grpc, GRPC_HEALTH_ANY_SERVICE);
    if (listen_at(server, config, err) < 0)
        goto fail;
    return server;
fail:
    grpc_server_destroy(server->grpc);
    free(server);
    return NULL;
}

int provider_server_check_socket(struct provider_server *server, struct error **err)
{
    return grpc_server_check_sockets(server->grpc, err);
}

void provider_server_stop(struct provider_server *server, uint64_t drain_ms, void (*done)(void *arg),
                          void *arg)
{
    grpc_server_stop(server->grpc, drain_ms, done, arg);
}

void provider_server_destroy(struct provider_server *server)
{
    if (server == NULL)
        return;
    grpc_server_destroy(server->grpc);
    free(server);
}
