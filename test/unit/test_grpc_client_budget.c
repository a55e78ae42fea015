/*
 * test_grpc_client_budget - responses that wait for bytes of a budget.
 */
#include "common/grpc/server.h"
#include "test/unit/grpc_client_fixture.h"

enum { LARGE = 900 * 1024, LARGE_BUDGET = 1024 * 1024 };

/* A response of LARGE bytes for each call, which counts the call. */
static void reply_large(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    V1alpha1__VersionResponse response;
    char *text = malloc(LARGE + 1);

    (void)request;
    ++*(unsigned *)arg;
    memset(text, 'x', LARGE);
    text[LARGE] = '\0';
    v1alpha1__version_response__init(&response);
    response.version = text;
    grpc_call_reply(call, &response.base);
    free(text);
}

struct large_calls {
    struct fixture *fixture;
    struct grpc_server *server;
    struct byte_budget *budget;
    unsigned served;
};

static const struct grpc_method large_methods[] = {
    {"Version", &v1alpha1__version_request__descriptor, reply_large}};

static void large_calls_begin(struct large_calls *calls, struct grpc_service *service, struct fixture *f)
{
    *calls = (struct large_calls){.fixture = f};
    *service = (struct grpc_service){"v1alpha1.CSIDriverProvider", large_methods, 1, &calls->served};
    calls->server = grpc_server_create(&f->loop, &(struct grpc_server_config){0}, NULL);
    grpc_server_add_service(calls->server, service);
    assert_int_equal(grpc_server_listen_unix(calls->server, f->path, 0600, NULL), 0);
    calls->budget = byte_budget_create(&f->loop, LARGE_BUDGET, BYTE_BUDGET_PATIENCE_MS, NULL);
    assert_non_null(calls->budget);
    open_channel(f, (struct grpc_channel_config){0});
}

static void large_calls_end(struct large_calls *calls)
{
    bool stopped = false;

    assert_int_equal(byte_budget_state(calls->budget).bytes, 0);
    byte_budget_destroy(calls->budget);
    grpc_server_stop(calls->server, 0, on_stopped, &stopped);
    while (!stopped)
        (void)uv_run(&calls->fixture->loop, UV_RUN_NOWAIT);
    grpc_server_destroy(calls->server);
}

static struct grpc_client_call *send_large(const struct large_calls *calls, struct byte_reservation *bytes,
                                           uint64_t timeout_ms, struct outcome *outcome)
{
    struct grpc_client_call *call = send_request(calls->fixture, timeout_ms, on_outcome, outcome);

    byte_reservation_init(bytes);
    grpc_client_call_reserve(call, calls->budget, bytes);
    return call;
}

static void wait_for_waiting(const struct large_calls *calls, size_t n)
{
    uint64_t end = uv_hrtime() / 1000000 + WIRE_PATIENCE_MS;

    while (byte_budget_state(calls->budget).waiting != n && uv_hrtime() / 1000000 < end)
        (void)uv_run(&calls->fixture->loop, UV_RUN_NOWAIT);
    assert_int_equal(byte_budget_state(calls->budget).waiting, n);
}

static void a_response_waits_until_it_has_its_bytes(void **state)
{
    struct fixture *f = *state;
    struct outcome outcomes[3] = {{0}};
    struct byte_reservation bytes[3];
    struct grpc_service service;
    struct large_calls calls;

    large_calls_begin(&calls, &service, f);
    for (size_t i = 0; i < 3; i++)
        (void)send_large(&calls, &bytes[i], WIRE_PATIENCE_MS, &outcomes[i]);
    for (size_t i = 0; i < 3; i++) {
        wait_for(f, &outcomes[i], 1);
        assert_int_equal(outcomes[i].code, GRPC_STATUS_OK);
        assert_int_equal(calls.served, 3);
        assert_true(byte_reservation_is_granted(&bytes[i])); /* until the receiver has used them */
        wait_for_waiting(&calls, 2 - i);
        assert_in_range(byte_budget_state(calls.budget).bytes, LARGE, LARGE_BUDGET);
        byte_reservation_release(&bytes[i]);
    }
    large_calls_end(&calls);
}

static void small_responses_pass_a_large_one_that_waits(void **state)
{
    struct fixture *f = *state;
    struct outcome outcomes[2] = {{0}}, small = {0};
    struct byte_reservation bytes[2];
    struct grpc_service service;
    struct large_calls calls;

    large_calls_begin(&calls, &service, f);
    for (size_t i = 0; i < 2; i++)
        (void)send_large(&calls, &bytes[i], WIRE_PATIENCE_MS, &outcomes[i]);
    wait_for(f, &outcomes[0], 1);
    wait_for_waiting(&calls, 1);
    for (int i = 0; i < 20; i++) /* on the same connection, without a reservation */
        (void)send_request(f, WIRE_PATIENCE_MS, on_outcome, &small);
    wait_for(f, &small, 20);
    assert_int_equal(small.code, GRPC_STATUS_OK);
    assert_int_equal(outcomes[1].n, 0);
    byte_reservation_release(&bytes[0]);
    wait_for(f, &outcomes[1], 1);
    byte_reservation_release(&bytes[1]);
    large_calls_end(&calls);
}

static void a_response_without_bytes_fails_at_its_deadline_and_names_the_flag(void **state)
{
    struct fixture *f = *state;
    struct outcome outcomes[2] = {{0}};
    struct byte_reservation bytes[2];
    struct grpc_service service;
    struct large_calls calls;

    large_calls_begin(&calls, &service, f);
    (void)send_large(&calls, &bytes[0], WIRE_PATIENCE_MS, &outcomes[0]);
    wait_for(f, &outcomes[0], 1);
    (void)send_large(&calls, &bytes[1], 2000, &outcomes[1]); /* to get that far, on a busy machine */
    wait_for(f, &outcomes[1], 1);
    assert_int_equal(outcomes[1].code, GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_non_null(strstr(outcomes[1].text, "--max-bytes-in-flight"));
    assert_int_equal(byte_budget_state(calls.budget).waiting, 0);
    byte_reservation_release(&bytes[0]);
    large_calls_end(&calls);
}

static void a_cancelled_call_gives_its_bytes_back(void **state)
{
    struct fixture *f = *state;
    struct outcome outcomes[3] = {{0}};
    struct byte_reservation bytes[3];
    struct grpc_client_call *running[3];
    struct grpc_service service;
    struct large_calls calls;

    large_calls_begin(&calls, &service, f);
    for (size_t i = 0; i < 3; i++)
        running[i] = send_large(&calls, &bytes[i], WIRE_PATIENCE_MS, &outcomes[i]);
    wait_for(f, &outcomes[0], 1);
    wait_for_waiting(&calls, 2);
    grpc_client_call_cancel(&running[1]);
    assert_int_equal(byte_budget_state(calls.budget).waiting, 1);
    byte_reservation_release(&bytes[0]);
    wait_for(f, &outcomes[2], 1);
    assert_int_equal(outcomes[1].n, 0);
    byte_reservation_release(&bytes[2]);
    large_calls_end(&calls);
}

/* A response that has arrived as a whole waits as well, and the end of its connection does not lose it. */
static void a_small_response_waits_too(void **state)
{
    struct fixture *f = *state;
    struct outcome outcome = {0};
    struct byte_reservation other, bytes;
    struct byte_budget *budget = byte_budget_create(&f->loop, 100, BYTE_BUDGET_PATIENCE_MS, NULL);
    struct wire *wire;

    byte_reservation_init(&other);
    byte_reservation_init(&bytes);
    assert_true(byte_reservation_request(&other, budget, 100, NULL, NULL));
    listen_here(f);
    open_channel(f, (struct grpc_channel_config){0});
    grpc_client_call_reserve(send_request(f, WIRE_PATIENCE_MS, on_outcome, &outcome), budget, &bytes);
    wire = accept_client(f);
    assert_true(wire_wait(wire, "END\n"));
    reply(wire, 1);
    while (byte_budget_state(budget).waiting == 0)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    wire_close(wire);
    for (int i = 0; i < 100; i++)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(outcome.n, 0);
    byte_reservation_release(&other);
    wait_for(f, &outcome, 1);
    assert_int_equal(outcome.code, GRPC_STATUS_OK);
    assert_string_equal(outcome.text, "v1");
    byte_reservation_release(&bytes);
    byte_budget_destroy(budget);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_response_waits_until_it_has_its_bytes),
        TEST(small_responses_pass_a_large_one_that_waits),
        TEST(a_response_without_bytes_fails_at_its_deadline_and_names_the_flag),
        TEST(a_cancelled_call_gives_its_bytes_back),
        TEST(a_small_response_waits_too),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* as lifecycle.c does for the daemons */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
