/*
 * test_kube_client.c - requests to a Kubernetes API server that responds by script: credentials that rotate,
 * retries and errors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>

#include "common/kube/kube_client.h"
#include "common/kube/kube_queue.h"
#include "test/unit/scratch.h"
#include "test/unit/scripted_api.h"

struct fixture {
    struct scratch scratch;
    uv_loop_t loop;
    struct scripted_api api;
    struct http_client *http;
    struct kube_client *client;

    /* the outcome */
    unsigned callbacks;
    int status;
    bool rejected;
    enum grpc_status code;
    char message[1024];
    unsigned observed;
    int observed_status;
    char observed_resource[64];
    char name[64]; /* metadata.name of what came back */
};

/* --- the fixture --- */

static void write_token(const struct fixture *fixture, const char *token)
{
    char path[128];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/token", fixture->scratch.dir);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(token, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct kube_rest_config config = {0};

    (void)signal(SIGPIPE, SIG_IGN);
    *state = fixture;
    if (scratch_make(&fixture->scratch) < 0)
        return -1;
    write_token(fixture, " first\n");
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    fixture->api.arg = fixture;
    scripted_api_start(&fixture->api, &fixture->loop);
    fixture->http =
        http_client_create(&fixture->loop, &(struct http_client_config){.user_agent = "test"}, NULL);
    assert_non_null(fixture->http);
    assert_true(asprintf(&config.server, "http://127.0.0.1:%d/prefix", fixture->api.port) > 0);
    assert_true(asprintf(&config.token_file, "%s/token", fixture->scratch.dir) > 0);
    config.ns = strdup("");
    fixture->client = kube_client_create(&fixture->loop, fixture->http, &config, NULL, NULL);
    assert_non_null(fixture->client);
    assert_null(config.server); /* taken over */
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    kube_client_destroy(fixture->client);
    http_client_destroy(fixture->http);
    scripted_api_stop(&fixture->api);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    assert_int_equal(fixture->api.n_requests, fixture->api.n_script);
    assert_int_equal(scratch_remove(&fixture->scratch), 0);
    free(fixture);
    return 0;
}

static void call_done(struct kube_response *response, const struct error *error, void *arg)
{
    struct fixture *fixture = arg;
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(response->json, "metadata");
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(metadata, "name");

    fixture->callbacks++;
    fixture->code = error_code(error);
    (void)snprintf(fixture->message, sizeof(fixture->message), "%s", error_message(error));
    fixture->status = response->status;
    fixture->rejected = response->rejected;
    (void)snprintf(fixture->name, sizeof(fixture->name), "%s", cJSON_IsString(name) ? name->valuestring : "");
}

static void run_until_response(struct fixture *fixture)
{
    unsigned before = fixture->callbacks;

    assert_int_equal(before, 0);
    while (fixture->callbacks == before)
        assert_int_not_equal(uv_run(&fixture->loop, UV_RUN_ONCE), 0);
    assert_int_equal(fixture->callbacks, 1);
    fixture->callbacks = 0;
}

static struct scripted_response silence[KUBE_IN_FLIGHT_MAX + 1];

static void call(struct fixture *fixture, const char *method, const cJSON *body, uint64_t timeout_ms)
{
    const struct kube_request request = {
        .method = method, .path = "/api/v1/x", .body = body, .timeout_ms = timeout_ms};

    assert_non_null(kube_call_start(fixture->client, &request, call_done, fixture, NULL));
    run_until_response(fixture);
}

/* --- requests and responses --- */

static void a_request_carries_token_path_and_accept(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, RESPONSE(200, "", OBJECT));
    call(fixture, "GET", NULL, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_int_equal(fixture->status, 200);
    assert_string_equal(fixture->name, "a");
    assert_sent(&fixture->api, 0, "GET /prefix/api/v1/x HTTP/1.1\r\n");
    assert_sent(&fixture->api, 0,
                "Authorization: Bearer first\r\n"); /* without the white space of the file */
    assert_sent(&fixture->api, 0, "Accept: application/json\r\n");
}

static void a_body_is_sent_as_json(void **state)
{
    struct fixture *fixture = *state;
    cleanup_json cJSON *body = cJSON_Parse(OBJECT);

    SCRIPT(&fixture->api, RESPONSE(201, "", OBJECT));
    call(fixture, "POST", body, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_sent(&fixture->api, 0, "Content-Type: application/json\r\n");
    assert_sent(&fixture->api, 0, "\r\n\r\n" OBJECT);
}

static void failures_carry_the_servers_message(void **state)
{
    static const struct {
        int status;
        const char *body;
        enum grpc_status code;
        const char *text;
    } table[] = {
        {400, STATUS("BadRequest", "bad"), GRPC_STATUS_INVALID_ARGUMENT, "bad"},
        {403, STATUS("Forbidden", "no"), GRPC_STATUS_PERMISSION_DENIED, "no"},
        {404, STATUS("NotFound", "x not found"), GRPC_STATUS_NOT_FOUND, "x not found"},
        {404, "404 page not found", GRPC_STATUS_NOT_FOUND, "not found"},
        {409, STATUS("AlreadyExists", "twice"), GRPC_STATUS_ALREADY_EXISTS, "twice"},
        {409, STATUS("Conflict", "changed"), GRPC_STATUS_ABORTED, "changed"},
        {410, STATUS("Expired", "old"), GRPC_STATUS_OUT_OF_RANGE, "old"},
        {413, "", GRPC_STATUS_RESOURCE_EXHAUSTED, "responded 413"},
        {418, "{\"message\":5}", GRPC_STATUS_INTERNAL, "responded 418"},
        {422, STATUS("Invalid", "wrong"), GRPC_STATUS_INVALID_ARGUMENT, "wrong"},
        {429, "", GRPC_STATUS_UNAVAILABLE, "responded 429"},
        {500, STATUS("InternalError", "oops"), GRPC_STATUS_UNAVAILABLE, "oops"},
        {504, STATUS("Timeout", "slow"), GRPC_STATUS_DEADLINE_EXCEEDED, "slow"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        cleanup_json cJSON *json = json_parse(table[i].body, strlen(table[i].body), 1000, NULL);
        cleanup_error struct error *error = NULL;

        assert_int_equal(kube_status_error(table[i].status, json, &error), -1);
        if (error_code(error) != table[i].code || strstr(error_message(error), table[i].text) == NULL)
            fail_msg("%d: %d %s", table[i].status, (int)error_code(error), error_message(error));
    }
}

static void a_response_that_is_no_json_is_an_error(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, RESPONSE(200, "", "<html>"));
    call(fixture, "GET", NULL, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_INTERNAL);
    assert_non_null(strstr(fixture->message, "the Kubernetes API server's response"));
}

/* --- tries --- */

static void a_token_that_rotated_is_read_again_after_401(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, RESPONSE(401, "", STATUS("Unauthorized", "who")), RESPONSE(200, "", OBJECT));
    write_token(fixture, "second");
    call(fixture, "GET", NULL, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_sent(&fixture->api, 0, "Bearer first\r\n");
    assert_sent(&fixture->api, 1, "Bearer second\r\n");
}

static void a_second_401_is_returned(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, RESPONSE(401, "", ""), RESPONSE(401, "", STATUS("Unauthorized", "who are you")));
    call(fixture, "GET", NULL, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_UNAUTHENTICATED);
    assert_string_equal(fixture->message, "who are you");
}

static void a_token_file_that_went_away_leaves_the_old_token_in_use(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, RESPONSE(401, "", ""), RESPONSE(200, "", OBJECT));
    assert_int_equal(scratch_run(&fixture->scratch, "rm token"), 0);
    call(fixture, "GET", NULL, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_sent(&fixture->api, 1, "Bearer first\r\n");
}

static void reads_are_repeated_when_the_server_is_in_trouble(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, RESPONSE(429, "Retry-After: 0\r\n", ""), RESPONSE(503, "Retry-After: 0\r\n", ""),
           RESPONSE(500, "", ""), RESPONSE(200, "", OBJECT));
    call(fixture, "GET", NULL, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
}

static void a_read_is_given_up_after_so_many_tries(void **state)
{
    struct fixture *fixture = *state;
#define BUSY RESPONSE(503, "Retry-After: 0\r\n", STATUS("ServiceUnavailable", "busy"))

    SCRIPT(&fixture->api, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY);
    assert_int_equal(fixture->api.n_script, KUBE_TRIES_MAX);
    call(fixture, "GET", NULL, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(fixture->message, "busy");
}

static void a_pause_beyond_the_deadline_is_not_waited_for(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, RESPONSE(429, "Retry-After: 60\r\n", STATUS("TooManyRequests", "later")));
    call(fixture, "GET", NULL, 5000);
    assert_int_equal(fixture->code, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(fixture->message, "later");
}

static void a_write_is_retried_only_after_a_retry_after(void **state)
{
    struct fixture *fixture = *state;
    cleanup_json cJSON *body = cJSON_Parse(OBJECT);

    SCRIPT(&fixture->api, RESPONSE(500, "", STATUS("InternalError", "who knows")));
    call(fixture, "POST", body, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_UNAVAILABLE);
    SCRIPT(&fixture->api, RESPONSE(429, "Retry-After: 0\r\n", ""), RESPONSE(201, "", OBJECT));
    call(fixture, "POST", body, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_sent(&fixture->api, 1, "\r\n\r\n" OBJECT);
}

static void a_read_that_was_hung_up_on_is_repeated(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, RESPONSE(0, "", ""), RESPONSE(200, "", OBJECT));
    call(fixture, "GET", NULL, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
}

static void a_server_that_is_silent_runs_into_the_deadline(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, RESPONSE(-1, "", ""));
    call(fixture, "GET", NULL, 100);
    assert_int_equal(fixture->code, GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(fixture->status, 0);
}

static struct kube_call *call_to_cancel;

static void cancel_it(void *arg)
{
    (void)arg;
    kube_call_cancel(&call_to_cancel);
}

static void a_cancelled_call_does_not_call_back(void **state)
{
    struct fixture *fixture = *state;
    const struct kube_request request = {.method = "GET", .path = "/api"};

    SCRIPT(&fixture->api, RESPONSE(-1, "", ""));
    call_to_cancel = kube_call_start(fixture->client, &request, call_done, fixture, NULL);
    kube_call_cancel(&call_to_cancel); /* before anything was sent */
    assert_null(call_to_cancel);
    fixture->api.on_request = cancel_it; /* while the server thinks */
    call_to_cancel = kube_call_start(fixture->client, &request, call_done, fixture, NULL);
    while (call_to_cancel != NULL)
        assert_int_not_equal(uv_run(&fixture->loop, UV_RUN_ONCE), 0);
    assert_int_equal(fixture->callbacks, 0);
}

static void a_client_without_a_readable_token_is_not_made(void **state)
{
    struct fixture *fixture = *state;
    struct kube_rest_config config = {.server = strdup("http://x"),
                                      .token_file = strdup("/nonexistent/token")};
    cleanup_error struct error *error = NULL;

    SCRIPT(&fixture->api, RESPONSE(200, "", OBJECT));
    assert_null(kube_client_create(&fixture->loop, fixture->http, &config, NULL, &error));
    assert_non_null(strstr(error_message(error), "Kubernetes credentials"));
    assert_null(config.server);
    call(fixture, "GET", NULL, 0);
}

static void paths_are_built_and_escaped(void **state)
{
    static const struct {
        const char *group, *name, *expected;
    } table[] = {
        {"", "n", "/api/v1/namespaces/a%2Fb/things/n"},
        {"g.io", NULL, "/apis/g.io/v1/namespaces/a%2Fb/things"},
        {"g.io", "x y", "/apis/g.io/v1/namespaces/a%2Fb/things/x%20y"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        cleanup_free char *path = kube_path(table[i].group, "v1", "a/b", "things", table[i].name, NULL);
        assert_string_equal(path, table[i].expected);
    }
    cleanup_free char *node = kube_path("", "v1", "", "nodes", "n 1", NULL);
    assert_string_equal(node, "/api/v1/nodes/n%201");
}

static void the_resource_is_found_in_a_path(void **state)
{
    static const char *const table[][2] = {
        {"/api/v1/namespaces/shop/events", "events"},
        {"/apis/g.io/v1/namespaces/shop/things/a?x=/y", "things"},
        {"/apis/g.io/v1/things/a", "things"},
        {"/api/v1/nodes/a", "nodes"},
        {"/api/v1/namespaces/shop", "namespaces"},
        {"/api/v1", ""},
        {"/version", ""},
        {"", ""},
    };
    char resource[16];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        kube_path_resource(table[i][0], resource, sizeof(resource));
        assert_string_equal(resource, table[i][1]);
    }
    kube_path_resource("/api/v1/aVeryLongResourceName", resource, 4);
    assert_string_equal(resource, "aVe");
}

/* --- many requests, no responses --- */

static void count_response(const char *method, const char *resource, int status, double seconds, void *arg)
{
    struct fixture *fixture = arg;

    assert_string_equal(method, "GET");
    assert_true(seconds > 0 && seconds < 60);
    fixture->observed++;
    fixture->observed_status = status;
    (void)snprintf(fixture->observed_resource, sizeof(fixture->observed_resource), "%s", resource);
}

static void every_try_is_observed(void **state)
{
    struct fixture *fixture = *state;

    kube_client_observe(fixture->client, count_response, fixture);
    SCRIPT(&fixture->api, RESPONSE(429, "Retry-After: 0\r\n", ""), RESPONSE(200, "", OBJECT));
    call(fixture, "GET", NULL, 0);
    assert_int_equal(fixture->observed, 2);
    assert_int_equal(fixture->observed_status, 200);
    assert_string_equal(fixture->observed_resource, "x");
}

static void it_is_known_whether_the_server_responds(void **state)
{
    struct fixture *fixture = *state;

    assert_true(kube_client_reachable(fixture->client));
    SCRIPT(&fixture->api, RESPONSE(-1, "", ""));
    call(fixture, "GET", NULL, 100);
    assert_false(kube_client_reachable(fixture->client));
    SCRIPT(&fixture->api, RESPONSE(500, "Retry-After: 60\r\n", "")); /* it is a response */
    call(fixture, "GET", NULL, 0);
    assert_true(kube_client_reachable(fixture->client));
}

static void a_server_that_went_away_is_probed_and_all_requests_are_rejected(void **state)
{
    struct fixture *fixture = *state;
    cleanup_json cJSON *body = cJSON_Parse(OBJECT);
    size_t probes;

    kube_client_observe(fixture->client, count_response, fixture);
    fixture->api.probe_status = -1;
    SCRIPT(&fixture->api, RESPONSE(0, "", ""));
    call(fixture, "GET", NULL, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_UNAVAILABLE);
    assert_true(fixture->rejected);
    assert_non_null(strstr(fixture->message, "Kubernetes API: the API server has not responded for "));
    call(fixture, "POST", body, 0);
    assert_true(fixture->rejected);
    assert_int_equal(fixture->api.n_requests, 1);
    assert_int_equal(fixture->observed, 2); /* the request and one probe */
    assert_string_equal(fixture->observed_resource, "readyz");
    fixture->api.probe_status = 0;
    probes = fixture->api.n_probes;
    while (!kube_client_reachable(fixture->client))
        assert_int_not_equal(uv_run(&fixture->loop, UV_RUN_ONCE), 0);
    assert_int_equal(fixture->api.n_probes, probes + 1);
    SCRIPT(&fixture->api, RESPONSE(200, "", OBJECT));
    call(fixture, "GET", NULL, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
}

static void a_probe_carries_the_token_and_any_status_is_a_response(void **state)
{
    struct fixture *fixture = *state;

    fixture->api.probe_status = 403;
    SCRIPT(&fixture->api, RESPONSE(0, "", ""), RESPONSE(200, "", OBJECT));
    call(fixture, "GET", NULL, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_int_equal(fixture->api.n_probes, 1);
    assert_non_null(strstr(fixture->api.probe, "GET /prefix/readyz HTTP/1.1\r\n"));
    assert_non_null(strstr(fixture->api.probe, "Authorization: Bearer first\r\n"));
}

static void a_silent_server_that_responds_to_probes_is_waited_for(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, RESPONSE(-1, "", ""));
    call(fixture, "GET", NULL, KUBE_SILENCE_MS + KUBE_PROBE_TIMEOUT_MS);
    assert_int_equal(fixture->code, GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_false(fixture->rejected);
    assert_int_equal(fixture->api.n_probes, 1);
}

static void a_retry_after_to_one_request_binds_the_next_one(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, RESPONSE(429, "Retry-After: 20\r\n", STATUS("TooManyRequests", "later")));
    call(fixture, "GET", NULL, 5000);
    assert_string_equal(fixture->message, "later");
    call(fixture, "GET", NULL, 5000);
    assert_int_equal(fixture->code, GRPC_STATUS_UNAVAILABLE);
    assert_true(fixture->rejected);
    assert_non_null(strstr(fixture->message, "Kubernetes API: the API server asks for a pause of 2"));
    assert_int_equal(fixture->api.n_requests, 1);
    assert_true(kube_client_reachable(fixture->client));
}

static void a_limited_number_is_in_flight_and_the_others_are_queued(void **state)
{
    struct fixture *fixture = *state;
    const struct kube_request request = {.method = "GET", .path = "/api/v1/x"};
    struct kube_call *calls[KUBE_IN_FLIGHT_MAX];
    const struct kube_request second = {.method = "GET", .path = "/api/v1/second"};
    struct kube_call *dropped;

    for (size_t i = 0; i < ARRAY_SIZE(silence); i++)
        silence[i] = (struct scripted_response){-1, "", ""};
    silence[KUBE_IN_FLIGHT_MAX] = (struct scripted_response){200, "", OBJECT};
    fixture->api.script = silence;
    fixture->api.n_script = KUBE_IN_FLIGHT_MAX;
    for (size_t i = 0; i < KUBE_IN_FLIGHT_MAX; i++)
        calls[i] = kube_call_start(fixture->client, &request, call_done, fixture, NULL);
    dropped = kube_call_start(fixture->client, &request, call_done, fixture, NULL);
    assert_non_null(kube_call_start(fixture->client, &second, call_done, fixture, NULL));
    while (fixture->api.n_requests < KUBE_IN_FLIGHT_MAX)
        assert_int_not_equal(uv_run(&fixture->loop, UV_RUN_ONCE), 0);
    for (unsigned i = 0; i < 20; i++) /* one more would be one too many for the script */
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
    kube_call_cancel(&dropped); /* out of the line */
    fixture->api.n_script++;
    kube_call_cancel(&calls[3]);
    run_until_response(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_sent(&fixture->api, KUBE_IN_FLIGHT_MAX, "GET /prefix/api/v1/second ");
    for (size_t i = 0; i < KUBE_IN_FLIGHT_MAX; i++)
        if (calls[i] != NULL)
            kube_call_cancel(&calls[i]);
}

static void waiting_in_the_queue_counts_against_the_deadline(void **state)
{
    struct fixture *fixture = *state;
    const struct kube_request request = {.method = "GET", .path = "/api/v1/x"};
    struct kube_call *calls[KUBE_IN_FLIGHT_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(silence); i++)
        silence[i] = (struct scripted_response){-1, "", ""};
    fixture->api.script = silence;
    fixture->api.n_script = KUBE_IN_FLIGHT_MAX;
    for (size_t i = 0; i < KUBE_IN_FLIGHT_MAX; i++)
        calls[i] = kube_call_start(fixture->client, &request, call_done, fixture, NULL);
    while (fixture->api.n_requests < KUBE_IN_FLIGHT_MAX)
        assert_int_not_equal(uv_run(&fixture->loop, UV_RUN_ONCE), 0);
    call(fixture, "GET", NULL, 50);
    assert_int_equal(fixture->code, GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_non_null(strstr(fixture->message, "other requests"));
    for (size_t i = 0; i < KUBE_IN_FLIGHT_MAX; i++)
        kube_call_cancel(&calls[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_request_carries_token_path_and_accept),
        TEST(a_body_is_sent_as_json),
        TEST(failures_carry_the_servers_message),
        TEST(a_response_that_is_no_json_is_an_error),
        TEST(a_token_that_rotated_is_read_again_after_401),
        TEST(a_second_401_is_returned),
        TEST(a_token_file_that_went_away_leaves_the_old_token_in_use),
        TEST(reads_are_repeated_when_the_server_is_in_trouble),
        TEST(a_read_is_given_up_after_so_many_tries),
        TEST(a_pause_beyond_the_deadline_is_not_waited_for),
        TEST(a_write_is_retried_only_after_a_retry_after),
        TEST(a_read_that_was_hung_up_on_is_repeated),
        TEST(a_server_that_is_silent_runs_into_the_deadline),
        TEST(a_cancelled_call_does_not_call_back),
        TEST(a_client_without_a_readable_token_is_not_made),
        TEST(paths_are_built_and_escaped),
        TEST(the_resource_is_found_in_a_path),
        TEST(every_try_is_observed),
        TEST(it_is_known_whether_the_server_responds),
        TEST(a_server_that_went_away_is_probed_and_all_requests_are_rejected),
        TEST(a_probe_carries_the_token_and_any_status_is_a_response),
        TEST(a_silent_server_that_responds_to_probes_is_waited_for),
        TEST(a_retry_after_to_one_request_binds_the_next_one),
        TEST(a_limited_number_is_in_flight_and_the_others_are_queued),
        TEST(waiting_in_the_queue_counts_against_the_deadline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
