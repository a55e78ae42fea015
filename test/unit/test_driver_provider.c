/*
 * test_driver_provider.c - finding providers by their sockets, and what a Mount sends and takes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

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

static void respond_without_versions(struct provider_mount *mount)
{
    assert_int_equal(provider_mount_add_file(mount, "a", 0600, "", 0, NULL), 0);
    provider_mount_done(mount);
}

static void respond_without_files(struct provider_mount *mount)
{
    assert_int_equal(provider_mount_add_version(mount, "secret/a", "7", NULL), 0);
    provider_mount_done(mount);
}

static void respond_with_an_evil_path(struct provider_mount *mount)
{
    assert_int_equal(provider_mount_add_file(mount, "../../etc/passwd", 0600, "", 0, NULL), 0);
    assert_int_equal(provider_mount_add_version(mount, "secret/a", "7", NULL), 0);
    provider_mount_done(mount);
}

/* More than the driver takes; one is longer than it takes, and one is no line. */
static void respond_with_warnings(struct provider_mount *mount)
{
    char text[2 * PROVIDER_WARNING_BYTES_MAX];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(provider_mount_add_warning(mount, "one\ntwo", NULL), 0);
    assert_int_equal(provider_mount_add_warning(mount, "", NULL), 0);
    for (int i = 0; i < 2 * PROVIDER_WARNINGS_MAX; i++)
        assert_int_equal(provider_mount_add_warning(mount, text, NULL), 0);
    respond_with_a_file(mount);
}

static void respond_with_too_much(struct provider_mount *mount)
{
    static char bytes[2 * MAX_RESPONSE];

    assert_int_equal(provider_mount_add_file(mount, "a", 0600, bytes, sizeof(bytes), NULL), 0);
    assert_int_equal(provider_mount_add_version(mount, "secret/a", "7", NULL), 0);
    provider_mount_done(mount);
}

static void respond_with_a_failure(struct provider_mount *mount)
{
    cleanup_error struct error *error = NULL;

    (void)error_set(&error, GRPC_STATUS_NOT_FOUND, "no such secret");
    provider_mount_fail(mount, error);
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

/* --- Mount --- */

static void a_mount_sends_what_it_is_given_and_takes_files_and_versions(void **state)
{
    struct fixture *fixture = *state;
    struct fake *fake = &fixture->fakes[0];
    cleanup_string_map struct string_map secrets = {0}, versions = {0};

    serve(fixture, fake, fixture->second);
    call_provider(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_int_equal(fixture->n_files, 2);
    assert_false(fixture->no_files);
    assert_string_equal(fixture->version, "7");
    assert_string_equal(fake->attribute, "value");
    assert_string_equal(fake->current, "none");
    assert_false(fake->has_secrets);
    assert_int_equal(fake->permission, 0644);
    assert_int_equal(string_map_set(&secrets, "clientid", "me", NULL), 0);
    assert_int_equal(string_map_set(&versions, "secret/a", "6", NULL), 0);
    (void)start_mount(fixture, &secrets, &versions, TIMEOUT_MS);
    run_until(fixture, &fixture->callbacks, 2);
    assert_true(fake->has_secrets);
    assert_string_equal(fake->current, "6");
}

static void warnings_are_taken_as_short_lines_and_not_too_many(void **state)
{
    struct fixture *fixture = *state;

    serve(fixture, &fixture->fakes[0], fixture->second);
    call_provider(fixture);
    assert_int_equal(fixture->n_warnings, 0);
    fixture->fakes[0].respond = respond_with_warnings;
    call_provider(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_int_equal(fixture->n_files, 2);
    assert_int_equal(fixture->n_warnings, PROVIDER_WARNINGS_MAX);
    assert_string_equal(fixture->warning, "one two");
    assert_int_equal(fixture->last_warning_len, PROVIDER_WARNING_BYTES_MAX);
}

static void responses_that_break_the_rules_are_failures(void **state)
{
    static const struct {
        void (*respond)(struct provider_mount *mount);
        enum grpc_status code;
        const char *text, *type;
    } table[] = {
        {respond_with_a_failure, GRPC_STATUS_NOT_FOUND, "provider \"fake\": no such secret",
         "GRPCProviderError"},
        {respond_without_versions, GRPC_STATUS_INTERNAL, "missing object versions", "GRPCProviderError"},
        {respond_with_an_evil_path, GRPC_STATUS_INVALID_ARGUMENT, "passwd", "FileWriteError"},
        {respond_with_too_much, GRPC_STATUS_RESOURCE_EXHAUSTED, "raise --max-call-recv-msg-size",
         "GRPCProviderError"},
    };
    struct fixture *fixture = *state;

    serve(fixture, &fixture->fakes[0], fixture->second);
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        fixture->fakes[0].respond = table[i].respond;
        call_provider(fixture);
        assert_int_equal(fixture->code, table[i].code);
        if (strstr(fixture->message, table[i].text) == NULL)
            fail_msg("'%s' is not in '%s'", table[i].text, fixture->message);
        assert_string_equal(fixture->type, table[i].type);
    }
}

static void a_response_without_files_leaves_the_volume_as_it_is(void **state)
{
    struct fixture *fixture = *state;

    serve(fixture, &fixture->fakes[0], fixture->second);
    fixture->fakes[0].respond = respond_without_files;
    call_provider(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_true(fixture->no_files);
    assert_string_equal(fixture->version, "7");
}

static void respond_that_nothing_is_there(struct provider_mount *mount)
{
    assert_int_equal(provider_mount_add_version(mount, "secret/a", "", NULL), 0);
    provider_mount_done(mount);
}

static bool returns_files(struct fixture *fixture)
{
    bool known = false;

    assert_int_equal(provider_returns_files(fixture->registry, "fake", &known, NULL), 0);
    return known;
}

static void a_provider_is_known_to_return_files_by_its_last_response(void **state)
{
    static const struct {
        void (*respond)(struct provider_mount *mount);
        bool may_be_empty, known;
    } table[] = {
        {respond_with_a_failure, false, false}, {respond_that_nothing_is_there, true, false},
        {respond_without_files, false, false},  {respond_with_a_file, false, true},
        {respond_with_a_failure, false, true},  {respond_that_nothing_is_there, true, true},
        {respond_without_files, false, false},
    };
    struct fixture *fixture = *state;

    serve(fixture, &fixture->fakes[0], fixture->second);
    assert_false(returns_files(fixture));
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        fixture->fakes[0].respond = table[i].respond;
        call_provider(fixture);
        assert_int_equal(fixture->may_be_empty, table[i].may_be_empty);
        assert_int_equal(returns_files(fixture), table[i].known);
    }
}

static void a_silent_provider_runs_into_the_deadline(void **state)
{
    struct fixture *fixture = *state;
    const struct string_map none = {0};

    serve(fixture, &fixture->fakes[0], fixture->second);
    fixture->fakes[0].respond = NULL;
    (void)start_mount(fixture, &none, NULL, 200);
    run_until(fixture, &fixture->callbacks, 1);
    assert_int_equal(fixture->code, GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_non_null(strstr(fixture->message, "provider \"fake\" did not respond within 0.2 s"));
    run_until(fixture, &fixture->fakes[0].cancels, 1);
}

static void respond_unavailable(struct provider_mount *mount)
{
    cleanup_error struct error *error = NULL;

    (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "the vault is away");
    provider_mount_fail(mount, error);
}

static void without_a_tmpfs_only_a_provider_that_returns_files_is_called(void **state)
{
    const struct string_map none = {0};
    struct fixture *fixture = *state;
    cleanup_error struct error *error = NULL;

    serve(fixture, &fixture->fakes[0], fixture->second);
    assert_null(provider_call_start(
        fixture->registry, "fake",
        &(struct provider_mount_request){
            .attributes = &none, .secrets = &none, .target_path = "/t", .timeout_ms = TIMEOUT_MS},
        mounted, fixture, &error));
    assert_int_equal(error_code(error), GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(error_type(error), PROVIDER_MAY_WRITE);
    call_provider(fixture);
    fixture->must_return_files = true;
    call_provider(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    /* Replaced while the call waits for its next try. */
    fixture->fakes[0].respond = respond_unavailable;
    (void)start_mount(fixture, &none, NULL, TIMEOUT_MS);
    run_until(fixture, &fixture->fakes[0].calls, 3);
    assert_int_equal(scratch_run(&fixture->scratch, "rm two/fake.sock"), 0);
    serve(fixture, &fixture->fakes[1], fixture->second);
    run_until(fixture, &fixture->callbacks, 3);
    assert_int_equal(fixture->code, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(fixture->type, PROVIDER_MAY_WRITE);
    assert_int_equal(fixture->fakes[1].calls, 0);
}

static struct fake *recovering;

static void respond_unavailable_once(struct provider_mount *mount)
{
    recovering->respond = respond_with_a_file;
    respond_unavailable(mount);
}

static void a_provider_that_is_unavailable_is_called_three_times_in_all(void **state)
{
    struct fixture *fixture = *state;
    uint64_t start;

    recovering = &fixture->fakes[0];
    serve(fixture, recovering, fixture->first);
    recovering->respond = respond_unavailable_once;
    start = uv_now(&fixture->loop);
    call_provider(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_string_equal(recovering->attribute, "value"); /* the whole request comes again */
    assert_int_equal(recovering->calls, 2);
    assert_true(uv_now(&fixture->loop) - start >= PROVIDER_REFUSED_PAUSE_MS);
    recovering->respond = respond_unavailable;
    call_provider(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(fixture->message, "provider \"fake\": the vault is away");
    assert_int_equal(recovering->calls, 2 + PROVIDER_TRIES_MAX);
    recovering->respond = respond_with_a_failure;
    call_provider(fixture);
    assert_int_equal(recovering->calls, 2 + PROVIDER_TRIES_MAX + 1); /* other codes are final */
}

static void without_time_for_a_pause_there_is_no_retry(void **state)
{
    struct fixture *fixture = *state;
    const struct string_map none = {0};

    serve(fixture, &fixture->fakes[0], fixture->first);
    fixture->fakes[0].respond = respond_unavailable;
    (void)start_mount(fixture, &none, NULL, PROVIDER_REFUSED_PAUSE_MS / 2);
    run_until(fixture, &fixture->callbacks, 1);
    assert_int_equal(fixture->code, GRPC_STATUS_UNAVAILABLE);
    assert_int_equal(fixture->fakes[0].calls, 1);
}

static void a_mount_can_be_cancelled_between_two_tries(void **state)
{
    struct fixture *fixture = *state;
    const struct string_map none = {0};
    struct provider_call *call;

    serve(fixture, &fixture->fakes[0], fixture->first);
    fixture->fakes[0].respond = respond_unavailable;
    call = start_mount(fixture, &none, NULL, TIMEOUT_MS);
    run_until(fixture, &fixture->fakes[0].calls, 1);
    for (unsigned turn = 0; turn < 20; turn++) /* the response arrives, the pause begins */
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
    provider_call_cancel(&call);
    assert_null(call);
    assert_int_equal(fixture->callbacks, 0);
}

static void a_cancelled_mount_reaches_the_provider_and_does_not_call_back(void **state)
{
    struct fixture *fixture = *state;
    const struct string_map none = {0};
    struct provider_call *call;

    serve(fixture, &fixture->fakes[0], fixture->second);
    fixture->fakes[0].respond = NULL;
    call = start_mount(fixture, &none, NULL, TIMEOUT_MS);
    run_until(fixture, &fixture->fakes[0].calls, 1);
    provider_call_cancel(&call);
    assert_null(call);
    run_until(fixture, &fixture->fakes[0].cancels, 1);
    assert_int_equal(fixture->callbacks, 0);
}

/* --- the registry --- */

static void the_error_of_a_missing_socket_names_the_directories(void **state)
{
    static const struct {
        const char *name;
        enum grpc_status code;
        const char *text;
    } table[] = {
        {"fake", GRPC_STATUS_FAILED_PRECONDITION,
         "provider not found: provider \"fake\": no socket fake.sock in /"},
        {"file", GRPC_STATUS_FAILED_PRECONDITION, "not found"},
        {"", GRPC_STATUS_INVALID_ARGUMENT, "invalid provider \"\""},
        {"a/b", GRPC_STATUS_INVALID_ARGUMENT, "invalid provider"},
        {"../x", GRPC_STATUS_INVALID_ARGUMENT, "invalid provider"},
        {"a.b", GRPC_STATUS_INVALID_ARGUMENT, "invalid provider"},
        {"abcdefghijklmnopqrstuvwxyz_-123", GRPC_STATUS_INVALID_ARGUMENT, "invalid provider"},
        {"abcdefghijklmnopqrstuvwxyz_-12", GRPC_STATUS_FAILED_PRECONDITION, "not found"},
    };
    struct fixture *fixture = *state;

    assert_int_equal(scratch_run(&fixture->scratch, "touch one/file.sock"), 0); /* not a socket */
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        cleanup_error struct error *error = NULL;

        assert_null(provider_registry_find(fixture->registry, table[i].name, &error));
        assert_int_equal(error_code(error), table[i].code);
        if (strstr(error_message(error), table[i].text) == NULL)
            fail_msg("'%s' is not in '%s'", table[i].text, error_message(error));
        if (table[i].code == GRPC_STATUS_FAILED_PRECONDITION) {
            assert_non_null(strstr(error_message(error), fixture->first));
            assert_non_null(strstr(error_message(error), fixture->second));
        }
    }
}

static void additional_directories_come_first_and_a_move_is_noticed(void **state)
{
    struct fixture *fixture = *state;

    serve(fixture, &fixture->fakes[1], fixture->second);
    call_provider(fixture);
    assert_int_equal(fixture->fakes[1].calls, 1);
    serve(fixture, &fixture->fakes[0], fixture->first);
    call_provider(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_int_equal(fixture->fakes[0].calls, 1);
    assert_int_equal(fixture->fakes[1].calls, 1);
}

/* The old connection serves its calls to their end; new calls go to the new process. */
static void a_provider_that_is_replaced_during_a_call_is_noticed(void **state)
{
    struct fixture *fixture = *state;
    const struct string_map none = {0};
    struct provider_call *old;

    serve(fixture, &fixture->fakes[0], fixture->second);
    fixture->fakes[0].respond = NULL;
    old = start_mount(fixture, &none, NULL, TIMEOUT_MS);
    run_until(fixture, &fixture->fakes[0].calls, 1);
    assert_int_equal(scratch_run(&fixture->scratch, "rm two/fake.sock"), 0);
    serve(fixture, &fixture->fakes[1], fixture->second);
    call_provider(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_int_equal(fixture->fakes[1].calls, 1);
    provider_call_cancel(&old); /* the last user of the retired connection */
    run_until(fixture, &fixture->fakes[0].cancels, 1);
    assert_int_equal(fixture->callbacks, 1);
}

static void connections_are_shared_and_counted(void **state)
{
    struct fixture *fixture = *state;
    struct provider_ref *a, *b;

    serve(fixture, &fixture->fakes[0], fixture->second);
    a = provider_registry_find(fixture->registry, "fake", NULL);
    b = provider_registry_find(fixture->registry, "fake", NULL);
    assert_non_null(a);
    assert_non_null(b);
    assert_ptr_equal(provider_ref_channel(a), provider_ref_channel(b));
    assert_non_null(strstr(provider_ref_path(a), "/two/fake.sock"));
    provider_ref_release(a);
    provider_ref_release(b);
    provider_ref_release(NULL);
}

/* The socket is away for a short time: a provider that was known is waited for. */
static void come_back(uv_timer_t *timer)
{
    struct fixture *fixture = timer->data;

    serve(fixture, &fixture->fakes[1], fixture->second);
    uv_close((uv_handle_t *)timer, NULL);
}

static void a_known_provider_that_restarts_is_waited_for(void **state)
{
    struct fixture *fixture = *state;
    const struct string_map none = {0};
    uv_timer_t timer;

    serve(fixture, &fixture->fakes[0], fixture->second);
    call_provider(fixture);
    stop(&fixture->fakes[0]);
    while (fixture->fakes[0].server != NULL)
        (void)uv_run(&fixture->loop, UV_RUN_ONCE); /* 0 when that was the last handle */
    assert_int_equal(scratch_run(&fixture->scratch, "test ! -e two/fake.sock"), 0);
    assert_int_equal(uv_timer_init(&fixture->loop, &timer), 0);
    timer.data = fixture;
    assert_int_equal(uv_timer_start(&timer, come_back, 300, 0), 0);
    (void)start_mount(fixture, &none, NULL, TIMEOUT_MS);
    run_until(fixture, &fixture->callbacks, 2);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_int_equal(fixture->fakes[1].calls, 1);
}

static void the_error_of_a_socket_without_listener_names_the_provider(void **state)
{
    struct fixture *fixture = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct string_map none = {0};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/two/fake.sock", fixture->scratch.dir);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(close(fd), 0);
    (void)start_mount(fixture, &none, NULL, 400); /* shorter than the time a restart may take */
    run_until(fixture, &fixture->callbacks, 1);
    assert_true(fixture->code == GRPC_STATUS_DEADLINE_EXCEEDED || fixture->code == GRPC_STATUS_UNAVAILABLE);
    assert_non_null(strstr(fixture->message, "provider \"fake\" "));
}

static void collect(const char *name, void *arg)
{
    char *names = arg;

    (void)snprintf(names + strlen(names), 64 - strlen(names), "%s;", name);
}

static void only_providers_in_use_are_visited(void **state)
{
    struct fixture *fixture = *state;
    char names[64] = "";

    provider_registry_each(fixture->registry, collect, names);
    assert_string_equal(names, "");
    serve(fixture, &fixture->fakes[0], fixture->second);
    call_provider(fixture);
    provider_registry_each(fixture->registry, collect, names);
    assert_string_equal(names, "fake;");
}

static void too_many_directories_are_refused(void **state)
{
    struct fixture *fixture = *state;
    cleanup_error struct error *error = NULL;

    assert_null(provider_registry_create(
        &fixture->loop,
        &(struct provider_registry_config){.additional_directories = "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p",
                                           .directory = "q"},
        &error));
    assert_int_equal(error_code(error), GRPC_STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(error_message(error), "more than 16 provider directories"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_mount_sends_what_it_is_given_and_takes_files_and_versions),
        TEST(warnings_are_taken_as_short_lines_and_not_too_many),
        TEST(responses_that_break_the_rules_are_failures),
        TEST(a_response_without_files_leaves_the_volume_as_it_is),
        TEST(a_provider_is_known_to_return_files_by_its_last_response),
        TEST(without_a_tmpfs_only_a_provider_that_returns_files_is_called),
        TEST(a_silent_provider_runs_into_the_deadline),
        TEST(a_provider_that_is_unavailable_is_called_three_times_in_all),
        TEST(without_time_for_a_pause_there_is_no_retry),
        TEST(a_mount_can_be_cancelled_between_two_tries),
        TEST(a_cancelled_mount_reaches_the_provider_and_does_not_call_back),
        TEST(the_error_of_a_missing_socket_names_the_directories),
        TEST(additional_directories_come_first_and_a_move_is_noticed),
        TEST(a_provider_that_is_replaced_during_a_call_is_noticed),
        TEST(connections_are_shared_and_counted),
        TEST(a_known_provider_that_restarts_is_waited_for),
        TEST(the_error_of_a_socket_without_listener_names_the_provider),
        TEST(only_providers_in_use_are_visited),
        TEST(too_many_directories_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
