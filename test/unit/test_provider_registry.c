/*
 * test_provider_registry.c - finding providers by their sockets, and their connections.
 */
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "test/unit/provider_fixture.h"

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

static void the_error_of_a_missing_socket_names_those_that_are_there(void **state)
{
    struct fixture *fixture = *state;
    cleanup_error struct error *error = NULL;

    serve(fixture, &fixture->fakes[0], fixture->first);
    assert_int_equal(scratch_run(&fixture->scratch,
                                 "touch two/file.sock; mkdir two/dir.sock; ln -s fake.sock one/link.sock"),
                     0);
    assert_null(provider_registry_find(fixture->registry, "Fake", &error));
    const char *hint = strstr(error_message(error), " [hint: ");
    assert_non_null(hint);
    assert_string_equal(hint, " [hint: the providers on this node are fake]");
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
        TEST(the_error_of_a_missing_socket_names_the_directories),
        TEST(the_error_of_a_missing_socket_names_those_that_are_there),
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
