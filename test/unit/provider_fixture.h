/*
 * provider_fixture.h - for tests: a registry of providers with two directories, and providers that are played
 * in the same loop. `set_up` and `tear_down` belong to each test.
 */
#ifndef TEST_UNIT_PROVIDER_FIXTURE_H
#define TEST_UNIT_PROVIDER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/provider_server.h"
#include "driver/provider/provider_client.h"
#include "test/unit/scratch.h"

enum { TIMEOUT_MS = 10 * 1000, MAX_RESPONSE = 64 * 1024 };

/* One provider process, played in the same loop. */
struct fake {
    struct provider provider;
    struct provider_server *server;
    void (*respond)(struct provider_mount *mount); /* ends the mount; NULL: held until the driver hangs up */
    unsigned calls, cancels;
    char attribute[64];
    bool has_secrets;
    char current[64];
    mode_t permission;
};

struct fixture {
    struct scratch scratch;
    uv_loop_t loop;
    char first[160], second[160]; /* directories, searched in this order */
    struct fake fakes[2];
    struct provider_registry *registry;

    unsigned callbacks;
    enum grpc_status code;
    char message[1024];
    char type[64];
    size_t n_files;
    bool no_files;
    bool may_be_empty;
    bool must_return_files; /* of the next call */
    char version[64];
    size_t n_warnings;
    char warning[PROVIDER_WARNING_BYTES_MAX + 2]; /* the first one */
    size_t last_warning_len;
};

static void respond_with_a_file(struct provider_mount *mount)
{
    assert_int_equal(provider_mount_add_file(mount, "b/file", 0100640, "text", 4, NULL), 0);
    assert_int_equal(provider_mount_add_file(mount, "a", 0600, "", 0, NULL), 0);
    assert_int_equal(provider_mount_add_version(mount, "secret/a", "7", NULL), 0);
    provider_mount_done(mount);
}

static void hung_up(struct provider_mount *mount, void *arg)
{
    struct fake *fake = arg;
    cleanup_error struct error *error = NULL;

    fake->cancels++;
    (void)error_set(&error, GRPC_STATUS_CANCELLED, "cancelled");
    provider_mount_fail(mount, error);
}

static void provide(struct provider_mount *mount, void *arg)
{
    struct fake *fake = arg;
    const char *current = provider_mount_current_version(mount, "secret/a");

    fake->calls++;
    (void)snprintf(fake->attribute, sizeof(fake->attribute), "%s",
                   string_map_get(provider_mount_attributes(mount), "key"));
    (void)snprintf(fake->current, sizeof(fake->current), "%s", current != NULL ? current : "none");
    fake->has_secrets = provider_mount_secrets(mount) != NULL;
    fake->permission = provider_mount_permission(mount);
    if (fake->respond != NULL)
        fake->respond(mount);
    else
        provider_mount_on_cancel(mount, hung_up, fake);
}

static void serve(struct fixture *fixture, struct fake *fake, const char *directory)
{
    char address[256];
    cleanup_error struct error *error = NULL;

    (void)snprintf(address, sizeof(address), "%s/fake.sock", directory);
    fake->provider = (struct provider){.name = "fake", .version = "1.0.0", .mount = provide, .arg = fake};
    fake->server = provider_server_create(
        &fixture->loop, &fake->provider,
        &(struct provider_server_config){.endpoint = {.kind = ENDPOINT_UNIX, .address = address}}, &error);
    if (fake->server == NULL)
        fail_msg("%s", error_message(error));
}

static void destroy_server(void *arg)
{
    struct fake *fake = arg;

    provider_server_destroy(fake->server);
    fake->server = NULL;
}

static void stop(struct fake *fake)
{
    provider_server_stop(fake->server, 0, destroy_server, fake);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    char additional[200];

    (void)signal(SIGPIPE, SIG_IGN);
    *state = fixture;
    if (scratch_make(&fixture->scratch) < 0 || scratch_run(&fixture->scratch, "mkdir one two") != 0)
        return -1;
    (void)snprintf(fixture->first, sizeof(fixture->first), "%s/one", fixture->scratch.dir);
    (void)snprintf(fixture->second, sizeof(fixture->second), "%s/two", fixture->scratch.dir);
    (void)snprintf(additional, sizeof(additional), ", %s\t,,", fixture->first);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    fixture->registry =
        provider_registry_create(&fixture->loop,
                                 &(struct provider_registry_config){.additional_directories = additional,
                                                                    .directory = fixture->second,
                                                                    .max_response_bytes = MAX_RESPONSE},
                                 NULL);
    assert_non_null(fixture->registry);
    for (size_t i = 0; i < ARRAY_SIZE(fixture->fakes); i++)
        fixture->fakes[i].respond = respond_with_a_file;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    provider_registry_destroy(fixture->registry);
    for (size_t i = 0; i < ARRAY_SIZE(fixture->fakes); i++)
        if (fixture->fakes[i].server != NULL)
            stop(&fixture->fakes[i]);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    assert_int_equal(scratch_remove(&fixture->scratch), 0);
    free(fixture);
    return 0;
}

static void mounted(struct provider_response *response, const struct error *error, const char *type,
                    void *arg)
{
    struct fixture *fixture = arg;
    const char *version = response == NULL ? NULL : string_map_get(&response->versions, "secret/a");

    assert_true((response == NULL) == (error != NULL));
    fixture->callbacks++;
    fixture->code = error_code(error);
    (void)snprintf(fixture->message, sizeof(fixture->message), "%s", error_message(error));
    (void)snprintf(fixture->type, sizeof(fixture->type), "%s", type);
    (void)snprintf(fixture->version, sizeof(fixture->version), "%s", version != NULL ? version : "");
    fixture->n_files = response == NULL ? 0 : response->payload.n;
    fixture->no_files = response != NULL && response->no_files;
    fixture->may_be_empty = response != NULL && response->may_be_empty;
    fixture->n_warnings = response != NULL ? response->n_warnings : 0;
    if (fixture->n_warnings > 0) {
        (void)snprintf(fixture->warning, sizeof(fixture->warning), "%s", response->warnings[0]);
        fixture->last_warning_len = strlen(response->warnings[fixture->n_warnings - 1]);
    }
    if (fixture->n_files == 2) {
        assert_string_equal(response->payload.files[0].path, "a"); /* sealed: sorted */
        assert_string_equal(response->payload.files[1].path, "b/file");
        assert_int_equal(response->payload.files[1].mode, 0640); /* no type bits */
        assert_memory_equal(secret_bytes(response->payload.files[1].contents), "text", 4);
    }
}

static struct provider_call *start_mount(struct fixture *fixture, const struct string_map *secrets,
                                         const struct string_map *versions, uint64_t timeout_ms)
{
    cleanup_string_map struct string_map attributes = {0};
    struct provider_call *call;
    cleanup_error struct error *error = NULL;

    assert_int_equal(string_map_set(&attributes, "key", "value", NULL), 0);
    call = provider_call_start(fixture->registry, "fake",
                               &(struct provider_mount_request){.attributes = &attributes,
                                                                .secrets = secrets,
                                                                .target_path = "/t",
                                                                .may_write = !fixture->must_return_files,
                                                                .current_versions = versions,
                                                                .timeout_ms = timeout_ms},
                               mounted, fixture, &error);
    if (call == NULL)
        fail_msg("%s", error_message(error));
    return call;
}

static void run_until(struct fixture *fixture, const unsigned *counter, unsigned value)
{
    while (*counter < value)
        assert_int_not_equal(uv_run(&fixture->loop, UV_RUN_ONCE), 0);
}

static void call_provider(struct fixture *fixture)
{
    const struct string_map none = {0};

    (void)start_mount(fixture, &none, NULL, TIMEOUT_MS);
    run_until(fixture, &fixture->callbacks, fixture->callbacks + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
