/*
 * fuzz_provider_mount.c - a provider's side of the protocol: from the bytes of a request to what a provider
 * reads of it, and to its response. The first byte chooses the method.
 *
 * The provider returns each attribute as a file and as a version: all of them must be in the response.
 */
#include "common/provider_server.h"
#include "proto/provider.pb-c.h"
#include "test/fuzz/fuzz_call.h"

struct grpc_server *grpc_server_create(uv_loop_t *loop, const struct grpc_server_config *config,
                                       struct error **err)
{
    static char server;

    (void)loop;
    (void)config;
    (void)err;
    return (struct grpc_server *)(void *)&server;
}

void grpc_server_add_health(struct grpc_server *server, enum grpc_health_mode mode)
{
    (void)server;
    (void)mode;
}

int grpc_server_listen_unix(struct grpc_server *server, const char *path, mode_t mode, struct error **err)
{
    (void)server;
    (void)path;
    (void)mode;
    (void)err;
    return 0;
}

int grpc_server_listen_tcp(struct grpc_server *server, const char *address, struct error **err)
{
    (void)server;
    (void)address;
    (void)err;
    return 0;
}

int grpc_server_check_sockets(struct grpc_server *server, struct error **err)
{
    (void)server;
    (void)err;
    return 0;
}

void grpc_server_stop(struct grpc_server *server, uint64_t drain_ms, void (*done)(void *arg), void *arg)
{
    (void)server;
    (void)drain_ms;
    done(arg);
}

void grpc_server_destroy(struct grpc_server *server)
{
    (void)server;
}

/* --- the provider --- */

static struct string_map served;
static mode_t served_mode;
static bool ends_when_cancelled;

static void end_cancelled(struct provider_mount *mount, void *arg)
{
    cleanup_error struct error *error = NULL;

    (void)arg;
    (void)error_set(&error, GRPC_STATUS_CANCELLED, "cancelled");
    provider_mount_fail(mount, error);
}

static void mount(struct provider_mount *mount, void *arg)
{
    const struct string_map *attributes = provider_mount_attributes(mount);
    const struct string_map *secrets = provider_mount_secrets(mount);

    (void)arg;
    EXPECT(secrets == NULL || secrets->n == 0 || secrets->entries[0].key != NULL);
    EXPECT(provider_mount_target_path(mount) != NULL && provider_mount_permission(mount) <= 0777);
    EXPECT(provider_mount_time_left_ms(mount) == UINT64_MAX);
    served_mode = provider_mount_permission(mount);
    string_map_finish(&served);
    EXPECT(string_map_merge(&served, attributes, NULL) == 0);
    for (size_t i = 0; i < attributes->n; i++) {
        const struct string_map_entry *entry = &attributes->entries[i];
        const char *version = provider_mount_current_version(mount, entry->key);

        EXPECT(version == NULL || provider_mount_current_count(mount) > 0);
        EXPECT(provider_mount_add_file(mount, entry->key, served_mode, entry->value, strlen(entry->value),
                                       NULL) == 0);
        EXPECT(provider_mount_add_version(mount, entry->key, "earlier", NULL) == 0);
        EXPECT(provider_mount_add_version(mount, entry->key, entry->value, NULL) == 0);
    }
    if (ends_when_cancelled)
        provider_mount_on_cancel(mount, end_cancelled, NULL);
    else
        provider_mount_done(mount);
}

static void check_reply(const ProtobufCMessage *reply)
{
    const V1alpha1__MountResponse *response = (const V1alpha1__MountResponse *)reply;

    if (reply->descriptor != &v1alpha1__mount_response__descriptor)
        return;
    EXPECT(response->n_files == served.n && response->n_object_version == served.n);
    for (size_t i = 0; i < served.n; i++) {
        const struct string_map_entry *entry = &served.entries[i];
        const V1alpha1__File *file = response->files[i];

        EXPECT(strcmp(file->path, entry->key) == 0 && (mode_t)file->mode == served_mode);
        EXPECT(file->contents.len == strlen(entry->value) &&
               memcmp(file->contents.data, entry->value, file->contents.len) == 0);
        EXPECT(strcmp(response->object_version[i]->version, entry->value) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct provider provider = {.name = "fuzz", .version = "1.0.0", .mount = mount};
    struct provider_server_config config = {.endpoint = {.kind = ENDPOINT_UNIX}};
    struct grpc_call call = {.on_reply = check_reply};
    ProtobufCMessage *message;

    if (fuzz_service == NULL)
        EXPECT(provider_server_create(/* loop= */ NULL, &provider, &config, NULL) != NULL);
    if (size < 1)
        return 0;
    ends_when_cancelled = (data[0] & 0x80) != 0;
    message = fuzz_serve(&call, data[0] & 0x7f, data + 1, size - 1);
    if (call.cancelled != NULL && call.n_ended == 0)
        call.cancelled(&call, call.arg);
    EXPECT(call.n_ended == (message != NULL ? 1 : 0));
    message_free(message);
    string_map_finish(&served);
    return 0;
}
