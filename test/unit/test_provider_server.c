/*
 * test_provider_server - what a provider sees of a mount, and what the driver sees of its response.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/secret.h"
#include "common/grpc/client.h"
#include "common/provider_server.h"
#include "proto/health.pb-c.h"
#include "proto/provider.pb-c.h"

#define SERVICE "/v1alpha1.CSIDriverProvider/"

struct fixture {
    uv_loop_t loop;
    char dir[32];
    char path[64];
    struct provider provider;
    struct provider_server *server;
    struct grpc_channel *channel;
    bool stopping, stopped;
    unsigned n_cancelled;
    struct provider_mount *held;
    /* the last outcome */
    bool done;
    enum grpc_status code;
    char text[256];
    struct grpc_pushback pushback;
    ProtobufCMessage *response;
};

static void on_stopped(void *arg)
{
    ((struct fixture *)arg)->stopped = true;
}

static void stop(struct fixture *f, uint64_t drain_ms)
{
    if (!f->stopping)
        provider_server_stop(f->server, drain_ms, on_stopped, f);
    f->stopping = true;
}

static void on_cancelled(struct provider_mount *mount, void *arg)
{
    struct fixture *f = arg;
    cleanup_error struct error *err = NULL;

    f->n_cancelled++;
    (void)error_set(&err, provider_mount_cancel_reason(mount), "cancelled");
    provider_mount_fail(mount, err);
}

/* Echoes what it sees; the attribute "mode" chooses something else. */
static void on_mount(struct provider_mount *mount, void *arg)
{
    struct fixture *f = arg;
    const struct string_map *secrets = provider_mount_secrets(mount);
    const char *mode = string_map_get(provider_mount_attributes(mount), "mode");
    const char *current = provider_mount_current_version(mount, "secret/a");
    cleanup_error struct error *err = NULL;

    if (mode != NULL && strcmp(mode, "hold") == 0) {
        provider_mount_on_cancel(mount, on_cancelled, f);
        f->held = mount;
        if (string_map_get(provider_mount_attributes(mount), "stop") != NULL)
            stop(f, 20);
        return;
    }
    if (mode != NULL && strcmp(mode, "fail") == 0) {
        (void)error_set(&err, GRPC_STATUS_PERMISSION_DENIED, "the vault says no");
        if (string_map_get(provider_mount_attributes(mount), "forbid") != NULL)
            provider_mount_forbid_retry(mount);
        provider_mount_fail(mount, err);
        return;
    }
    if (mode != NULL && strcmp(mode, "large") == 0) {
        char *block = calloc(1, 16 << 20);

        for (int i = 0; i < 3; i++)
            assert_int_equal(provider_mount_add_file(mount, "f", 0600, block, 16 << 20, &err), 0);
        assert_int_equal(provider_mount_add_file(mount, "f", 0600, block, 16 << 20, &err), -1);
        free(block);
        provider_mount_fail(mount, err);
        return;
    }
    assert_int_equal(
        provider_mount_add_file(mount, "dir/file", provider_mount_permission(mount), "a\0b", 3, &err), 0);
    assert_int_equal(
        provider_mount_add_file(mount, "secrets", 0600, secrets == NULL ? "none" : "some", 4, &err), 0);
    for (int i = 0; i < 40; i++) {
        char id[16];

        (void)snprintf(id, sizeof(id), "id%d", i);
        assert_int_equal(provider_mount_add_version(mount, id, "old", &err), 0);
    }
    assert_int_equal(provider_mount_add_version(mount, "id0", current == NULL ? "none" : current, &err), 0);
    for (int i = 0; i < 20; i++) {
        char text[24];

        (void)snprintf(text, sizeof(text), "warning %d", i);
        assert_int_equal(provider_mount_add_warning(mount, text, &err), 0);
    }
    provider_mount_done(mount);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct provider_server_config config = {.endpoint = {.kind = ENDPOINT_UNIX, .address = f->path}};
    struct grpc_channel_config channel = {.unix_path = f->path};

    *state = f;
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/provider-test-XXXXXX");
    if (mkdtemp(f->dir) == NULL || uv_loop_init(&f->loop) != 0)
        return -1;
    (void)snprintf(f->path, sizeof(f->path), "%s/p.sock", f->dir);
    f->provider = (struct provider){.name = "test", .version = "1.2.3", .mount = on_mount, .arg = f};
    f->server = provider_server_create(&f->loop, &f->provider, &config, NULL);
    f->channel = grpc_channel_create(&f->loop, &channel, NULL);
    return f->server == NULL || f->channel == NULL ? -1 : 0;
}

static void drop_response(struct fixture *f)
{
    if (f->response != NULL)
        protobuf_c_message_free_unpacked(f->response, secret_protobuf_allocator());
    f->response = NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int rc;

    drop_response(f);
    grpc_channel_destroy(f->channel);
    stop(f, 0);
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    rc = f->stopped ? uv_loop_close(&f->loop) : -1;
    provider_server_destroy(f->server);
    (void)rmdir(f->dir);
    free(f);
    return rc;
}

static void on_outcome(ProtobufCMessage *response, const struct error *error, void *arg)
{
    struct fixture *f = arg;

    f->done = true;
    f->code = error_code(error);
    (void)snprintf(f->text, sizeof(f->text), "%s", error_message(error));
    f->response = response;
}

static void call(struct fixture *f, const char *method, const ProtobufCMessage *request,
                 const ProtobufCMessageDescriptor *type, uint64_t timeout_ms)
{
    struct grpc_client_call *started =
        grpc_client_call_start(f->channel, method, request, type, timeout_ms, on_outcome, f, NULL);

    f->done = false;
    drop_response(f);
    assert_non_null(started);
    grpc_client_call_pushback(started, &f->pushback);
    while (!f->done)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
}

static void mount_with(struct fixture *f, const char *attributes, const char *secrets, const char *permission,
                       uint64_t timeout_ms)
{
    V1alpha1__MountRequest request;
    V1alpha1__ObjectVersion version, *versions[] = {&version};

    v1alpha1__mount_request__init(&request);
    v1alpha1__object_version__init(&version);
    version.id = (char *)(uintptr_t) "secret/a";
    version.version = (char *)(uintptr_t) "v7";
    request.attributes = (char *)(uintptr_t)attributes;
    request.secrets = (char *)(uintptr_t)secrets;
    request.permission = (char *)(uintptr_t)permission;
    request.current_object_version = versions;
    request.n_current_object_version = 1;
    call(f, SERVICE "Mount", &request.base, &v1alpha1__mount_response__descriptor, timeout_ms);
}

/* --- tests --- */

static void version_names_the_protocol_and_the_provider(void **state)
{
    struct fixture *f = *state;
    V1alpha1__VersionRequest request;
    const V1alpha1__VersionResponse *response;

    v1alpha1__version_request__init(&request);
    call(f, SERVICE "Version", &request.base, &v1alpha1__version_response__descriptor, 10000);
    assert_int_equal(f->code, GRPC_STATUS_OK);
    response = (const V1alpha1__VersionResponse *)f->response;
    assert_string_equal(response->version, "v1alpha1");
    assert_string_equal(response->runtime_name, "test");
    assert_string_equal(response->runtime_version, "1.2.3");
}

static void any_service_is_healthy(void **state)
{
    struct fixture *f = *state;
    Grpc__Health__V1__HealthCheckRequest request;

    grpc__health__v1__health_check_request__init(&request);
    request.service = (char *)(uintptr_t) "whatever";
    call(f, "/grpc.health.v1.Health/Check", &request.base,
         &grpc__health__v1__health_check_response__descriptor, 10000);
    assert_int_equal(f->code, GRPC_STATUS_OK);
    assert_int_equal(((const Grpc__Health__V1__HealthCheckResponse *)f->response)->status, 1);
}

static void a_mount_is_decoded_and_its_response_arrives(void **state)
{
    struct fixture *f = *state;
    const V1alpha1__MountResponse *response;

    mount_with(f, "{\"a\":\"b\"}", "{\"clientid\":\"x\"}", "292", 10000);
    assert_int_equal(f->code, GRPC_STATUS_OK);
    response = (const V1alpha1__MountResponse *)f->response;
    assert_int_equal(response->n_files, 2);
    assert_string_equal(response->files[0]->path, "dir/file");
    assert_int_equal(response->files[0]->mode, 0444);
    assert_int_equal(response->files[0]->contents.len, 3);
    assert_memory_equal(response->files[0]->contents.data, "a\0b", 3);
    assert_memory_equal(response->files[1]->contents.data, "some", 4);
    assert_int_equal(response->n_object_version, 40);
    assert_string_equal(response->object_version[0]->id, "id0");
    assert_string_equal(response->object_version[0]->version, "v7"); /* the same id twice: last wins */
    assert_int_equal(response->n_warnings, 20);
    assert_string_equal(response->warnings[0], "warning 0");
    assert_string_equal(response->warnings[19], "warning 19");
    assert_null(response->error);
}

static void no_secrets_come_as_null_or_empty(void **state)
{
    static const char *const forms[] = {"null", ""};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        mount_with(f, "{}", forms[i], "420", 10000);
        assert_int_equal(f->code, GRPC_STATUS_OK);
        assert_memory_equal(((const V1alpha1__MountResponse *)f->response)->files[1]->contents.data, "none",
                            4);
        assert_int_equal(((const V1alpha1__MountResponse *)f->response)->files[0]->mode, 0644);
    }
}

static void an_undecodable_request_is_an_invalid_argument(void **state)
{
    static const char *const cases[][4] = {
        {"", "null", "420", "attributes"},
        {"[]", "null", "420", "attributes"},
        {"{\"a\":1}", "null", "420", "attributes"},
        {"{}", "[1]", "420", "secrets"},
        {"{}", "null", "0644x", "permission"},
        {"{}", "null", "512", "permission"},
        {"{}", "null", "", "permission"},
        {"{}", "null", "0644", "permission"},
        {"{}", "null", "-1", "permission"},
        {"{}", "null", "\"420\"", "permission"},
        {"{\"a\":\"b\"} x", "null", "420", "attributes"},
        {"{}", "{\"clientid\":1}", "420", "secrets"},
        {"{}", "null", "4.5", "permission"},
        {"{}", "{} x", "420", "secrets"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        mount_with(f, cases[i][0], cases[i][1], cases[i][2], 10000);
        assert_int_equal(f->code, GRPC_STATUS_INVALID_ARGUMENT);
        assert_non_null(strstr(f->text, cases[i][3]));
    }
}

static void a_failed_mount_carries_its_code_and_text(void **state)
{
    struct fixture *f = *state;

    mount_with(f, "{\"mode\":\"fail\"}", "null", "420", 10000);
    assert_int_equal(f->code, GRPC_STATUS_PERMISSION_DENIED);
    assert_string_equal(f->text, "the vault says no");
    assert_int_equal(f->pushback.kind, GRPC_PUSHBACK_NONE);
    mount_with(f, "{\"mode\":\"fail\",\"forbid\":\"\"}", "null", "420", 10000);
    assert_string_equal(f->text, "the vault says no");
    assert_int_equal(f->pushback.kind, GRPC_PUSHBACK_NO_RETRY);
}

static void a_response_beyond_64_mib_is_refused(void **state)
{
    struct fixture *f = *state;

    mount_with(f, "{\"mode\":\"large\"}", "null", "420", 60000);
    assert_int_equal(f->code, GRPC_STATUS_RESOURCE_EXHAUSTED);
}

static void a_caller_that_gives_up_cancels_the_mount(void **state)
{
    struct fixture *f = *state;

    mount_with(f, "{\"mode\":\"hold\"}", "null", "420", 50);
    assert_int_equal(f->code, GRPC_STATUS_DEADLINE_EXCEEDED);
    while (f->n_cancelled == 0)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(f->n_cancelled, 1);
}

/* So that the driver calls the next provider. */
static void a_mount_that_outlives_its_server_is_unavailable(void **state)
{
    struct fixture *f = *state;

    mount_with(f, "{\"mode\":\"hold\",\"stop\":\"\"}", "null", "420", 60000);
    assert_int_equal(f->n_cancelled, 1);
    assert_int_equal(f->code, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(f->text, "cancelled");
}

static void the_socket_is_private_by_default(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(version_names_the_protocol_and_the_provider),
        TEST(any_service_is_healthy),
        TEST(a_mount_is_decoded_and_its_response_arrives),
        TEST(no_secrets_come_as_null_or_empty),
        TEST(an_undecodable_request_is_an_invalid_argument),
        TEST(a_failed_mount_carries_its_code_and_text),
        TEST(a_response_beyond_64_mib_is_refused),
        TEST(a_caller_that_gives_up_cancels_the_mount),
        TEST(a_mount_that_outlives_its_server_is_unavailable),
        TEST(the_socket_is_private_by_default),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* as lifecycle.c does for the daemons */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
