/*
 * provider.c - a complete provider in C, which reads secrets from a directory of the node.
 *
 * A class with `provider: directory` and the parameter `objects: "db-password,api-key"` mounts the files
 * <root>/<namespace of the pod>/db-password and .../api-key. A pod cannot mount files of another namespace,
 * because its namespace comes from the kubelet.
 *
 *     directory-provider --endpoint=unix:///run/providers/directory.sock --root=/etc/node-secrets
 *
 * provider_server.h handles gRPC, deadlines, health and the JSON inside the messages. This provider reads
 * its files on the loop, because they are small and local. A provider that calls a server would start the
 * request in on_mount() and end the mount later, from the request's callback.
 */
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/secret.h"
#include "common/crypto/digest.h"
#include "common/process/lifecycle.h"
#include "common/process/options.h"
#include "common/provider_server.h"

enum {
    MAX_FILE_BYTES = 1024 * 1024, /* the limit of a Kubernetes Secret */
    MAX_OBJECTS = 100,
    DRAIN_MS = 5000,
};

struct settings {
    const char *endpoint;
    const char *root;
};

static const struct option_row rows[] = {
    {"endpoint", OPTION_STRING, offsetof(struct settings, endpoint),
     "unix:///run/secrets-store-providers/directory.sock", 0, 0, "Listen `address`"},
    {"root", OPTION_STRING, offsetof(struct settings, root), "/etc/node-secrets", 0, 0,
     "`directory` with one directory per namespace"},
};
enum { N_ROWS = sizeof(rows) / sizeof(rows[0]) };

struct program {
    struct settings settings;
    uv_loop_t loop;
    struct log *log;
    struct endpoint endpoint;
    struct provider_server *server;
    struct lifecycle *lifecycle;
};

/* --- one mount --- */

/* The class's author chooses the name: accept only one path component that is not hidden. */
static int check_name(const char *name, struct error **err)
{
    for (const char *c = name; *c != '\0'; c++) {
        if (!isalnum((unsigned char)*c) && strchr("-_.", *c) == NULL)
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                             "object '%s': a name must have only [A-Za-z0-9._-]", name);
    }
    if (*name == '\0' || *name == '.')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "object '%s': a name must not be empty or start with a dot", name);
    return 0;
}

/* Adds the file to the response. Its version is its digest, so a changed file has a new version. */
static int add_object(struct provider_mount *mount, int directory, const char *name, struct error **err)
{
    struct buffer content;
    char version[DIGEST_SHA256_HEX_LEN + 1];
    int ret = -1;

    if (check_name(name, err) < 0)
        return -1;
    buffer_init(&content, MAX_FILE_BYTES);
    if (file_read_at(directory, name, MAX_FILE_BYTES, &content, err) == 0) {
        (void)digest_sha256_hex(content.data, content.len, version);
        if (provider_mount_add_file(mount, name, provider_mount_permission(mount), content.data, content.len,
                                    err) == 0)
            ret = provider_mount_add_version(mount, name, version, err);
    }
    buffer_finish(&content); /* wipes */
    return ret < 0 ? error_wrap(err, "object '%s'", name) : 0;
}

static int add_all(struct provider_mount *mount, const char *root, struct error **err)
{
    const struct string_map *attributes = provider_mount_attributes(mount);
    const char *objects = string_map_get(attributes, "objects");
    const char *namespace = string_map_get(attributes, "csi.storage.k8s.io/pod.namespace");
    cleanup_close int root_fd = -1;
    cleanup_close int directory = -1;
    unsigned n = 0;

    if (objects == NULL)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "parameter objects is not set");
    if (namespace == NULL || check_name(namespace, NULL) < 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "the driver sent no valid namespace of the pod");
    root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root_fd == -1)
        return error_set_errno(err, GRPC_STATUS_UNAVAILABLE, errno, "open %s", root);
    directory = openat(root_fd, namespace, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory == -1)
        return error_set_errno(err, GRPC_STATUS_NOT_FOUND, errno, "open %s/%s", root, namespace);

    cleanup_free char *list = strdup(objects);
    char *rest = NULL;
    if (list == NULL)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    for (char *name = strtok_r(list, ", \n", &rest); name != NULL; name = strtok_r(NULL, ", \n", &rest)) {
        if (++n > MAX_OBJECTS)
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "more than %d objects", MAX_OBJECTS);
        if (add_object(mount, directory, name, err) < 0)
            return -1;
    }
    return n > 0 ? 0 : error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "parameter objects names no object");
}

static void on_mount(struct provider_mount *mount, void *arg)
{
    const struct program *program = arg;
    cleanup_error struct error *error = NULL;

    if (add_all(mount, program->settings.root, &error) < 0) {
        log_error(program->log, "mount failed", LOG_ERR(error)); /* never contents, attributes or secrets */
        provider_mount_fail(mount, error);
        return;
    }
    provider_mount_done(mount);
}

/* --- the process --- */

static void on_stopped(void *arg)
{
    struct program *program = arg;
    lifecycle_destroy(program->lifecycle);
}

static void on_signal(void *arg)
{
    struct program *program = arg;
    provider_server_stop(program->server, DRAIN_MS, on_stopped, program);
}

static int run(struct program *program, const struct provider *provider, struct error **err)
{
    if (endpoint_parse(program->settings.endpoint, &program->endpoint, err) < 0)
        return -1;
    const struct provider_server_config config = {.log = program->log, .endpoint = program->endpoint};
    program->server = provider_server_create(&program->loop, provider, &config, err);
    if (program->server == NULL)
        return -1;
    program->lifecycle = lifecycle_create(&program->loop, program->log, on_signal, program, err);
    if (program->lifecycle == NULL)
        return -1;
    log_info(program->log, "listening", LOG_STR("endpoint", program->settings.endpoint));
    (void)uv_run(&program->loop, UV_RUN_DEFAULT);
    return 0;
}

int main(int argc, char **argv)
{
    static struct program program;
    const struct provider provider = {
        .name = "directory-provider", .version = "1.0.0", .mount = on_mount, .arg = &program};
    cleanup_error struct error *error = NULL;
    int rest = 0;

    secret_install_json_hooks();
    if (secret_forbid_core_dumps(&error) < 0) {
        (void)fprintf(stderr, "%s\n", error_message(error));
        return 1;
    }
    switch (options_parse(rows, N_ROWS, argc, argv, &program.settings, &rest, &error)) {
    case OPTIONS_HELP:
        options_usage(rows, N_ROWS, "directory-provider", stdout);
        return 0;
    case OPTIONS_ERROR:
        (void)fprintf(stderr, "%s\n", error_message(error));
        return 2;
    case OPTIONS_RUN:
        break;
    }
    program.log = log_create(STDERR_FILENO, LOG_FORMAT_TEXT, 0);
    if (uv_loop_init(&program.loop) != 0)
        return 1;
    if (run(&program, &provider, &error) < 0) {
        log_error(program.log, "start failed", LOG_ERR(error));
        log_destroy(program.log);
        return 1;
    }
    lifecycle_close_loop(&program.loop, program.log);
    provider_server_destroy(program.server);
    endpoint_finish(&program.endpoint);
    log_destroy(program.log);
    return 0;
}
