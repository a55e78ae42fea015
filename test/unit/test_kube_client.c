/*
 * test_kube_client.c - requests to a Kubernetes API server that answers by script: credentials that rotate,
 * repeated tries, errors,
 * and class lookups on top.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>

#include "common/grpc/list.h"
#include "driver/class_kube.h"
#include "driver/kube/kube_client.h"
#include "test/unit/scratch.h"

enum { SCRIPT_MAX = 16, REQUEST_MAX = 4096 };

#define ANSWER(status, headers, body)                                                                        \
    {                                                                                                        \
        status, headers, body                                                                                \
    }

/* One scripted answer; status 0 = hang up, -1 = never answer. */
struct answer {
    int status;
    const char *headers; /* each with its line end */
    const char *body;
};

struct world {
    struct scratch scratch;
    uv_loop_t loop;
    uv_tcp_t listener;
    int port;
    const struct answer *script;
    size_t n_script;
    size_t n_requests;
    char requests[SCRIPT_MAX][REQUEST_MAX]; /* as received */
    void (*on_request)(struct world *world);
    struct http_client *http;
    struct kube_client *client;
    struct class_source classes;

    /* the outcome */
    unsigned callbacks;
    int status;
    enum grpc_status code;
    char message[1024];
    char name[64]; /* metadata.name of what came back */
};

struct connection {
    uv_tcp_t tcp;
    struct world *world;
    char input[REQUEST_MAX];
    size_t len;
    uv_write_t write;
    char output[REQUEST_MAX];
};

/* --- the server: one request per connection --- */

static void connection_closed(uv_handle_t *handle)
{
    free(container_of(handle, struct connection, tcp));
}

static void written(uv_write_t *write, int status)
{
    struct connection *connection = container_of(write, struct connection, write);

    (void)status;
    uv_close((uv_handle_t *)&connection->tcp, connection_closed);
}

static void give_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct connection *connection = container_of(handle, struct connection, tcp);

    (void)suggested;
    *buf = uv_buf_init(connection->input + connection->len,
                       (unsigned)(sizeof(connection->input) - 1 - connection->len));
}

static bool is_whole(const char *input)
{
    const char *end = strstr(input, "\r\n\r\n");
    const char *length = strstr(input, "Content-Length: ");

    return end != NULL && (length == NULL || strlen(end + 4) >= strtoul(length + 16, NULL, 10));
}

static void received(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct connection *connection = container_of(stream, struct connection, tcp);
    struct world *world = connection->world;
    const struct answer *answer;
    uv_buf_t out;

    (void)buf;
    if (n < 0) {
        uv_close((uv_handle_t *)stream, connection_closed);
        return;
    }
    connection->len += (size_t)n;
    connection->input[connection->len] = '\0';
    if (!is_whole(connection->input))
        return;
    assert_true(world->n_requests < SCRIPT_MAX);
    (void)snprintf(world->requests[world->n_requests], REQUEST_MAX, "%s", connection->input);
    assert_true(world->n_requests < world->n_script);
    answer = &world->script[world->n_requests++];
    if (world->on_request != NULL)
        world->on_request(world);
    connection->len = 0;
    if (answer->status < 0)
        return;
    (void)uv_read_stop(stream);
    if (answer->status == 0) {
        uv_close((uv_handle_t *)stream, connection_closed);
        return;
    }
    (void)snprintf(connection->output, sizeof(connection->output),
                   "HTTP/1.1 %d Scripted\r\n%sConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                   answer->status, answer->headers, strlen(answer->body), answer->body);
    out = uv_buf_init(connection->output, (unsigned)strlen(connection->output));
    assert_int_equal(uv_write(&connection->write, stream, &out, 1, written), 0);
}

static void connected(uv_stream_t *listener, int status)
{
    struct world *world = listener->data;
    struct connection *connection = calloc(1, sizeof(*connection));

    assert_int_equal(status, 0);
    assert_non_null(connection);
    connection->world = world;
    assert_int_equal(uv_tcp_init(&world->loop, &connection->tcp), 0);
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&connection->tcp), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&connection->tcp, give_room, received), 0);
}

/* --- the world --- */

static void write_token(const struct world *world, const char *token)
{
    char path[128];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/token", world->scratch.dir);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(token, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct sockaddr_in address;
    int len = sizeof(address);
    struct kube_config config = {0};

    (void)signal(SIGPIPE, SIG_IGN);
    *state = world;
    if (scratch_make(&world->scratch) < 0)
        return -1;
    write_token(world, " first\n");
    assert_int_equal(uv_loop_init(&world->loop), 0);
    assert_int_equal(uv_tcp_init(&world->loop, &world->listener), 0);
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &address), 0);
    assert_int_equal(uv_tcp_bind(&world->listener, (const struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_tcp_getsockname(&world->listener, (struct sockaddr *)&address, &len), 0);
    world->port = ntohs(address.sin_port);
    world->listener.data = world;
    assert_int_equal(uv_listen((uv_stream_t *)&world->listener, 10, connected), 0);
    world->http = http_client_create(&world->loop, &(struct http_client_config){.user_agent = "test"}, NULL);
    assert_non_null(world->http);
    assert_true(asprintf(&config.server, "http://127.0.0.1:%d/prefix", world->port) > 0);
    assert_true(asprintf(&config.token_file, "%s/token", world->scratch.dir) > 0);
    config.ns = strdup("");
    world->client = kube_client_create(&world->loop, world->http, &config, NULL, NULL);
    assert_non_null(world->client);
    assert_null(config.server); /* taken over */
    assert_int_equal(class_kube_create(world->client, &world->classes, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    class_source_destroy(&world->classes);
    kube_client_destroy(world->client);
    http_client_destroy(world->http);
    uv_close((uv_handle_t *)&world->listener, NULL);
    assert_int_equal(uv_run(&world->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    assert_int_equal(world->n_requests, world->n_script);
    assert_int_equal(scratch_remove(&world->scratch), 0);
    free(world);
    return 0;
}

#define SCRIPT(world, ...)                                                                                   \
    do {                                                                                                     \
        static const struct answer script[] = {__VA_ARGS__};                                                 \
        (world)->script = script;                                                                            \
        (world)->n_script = ARRAY_SIZE(script);                                                              \
        (world)->n_requests = 0;                                                                             \
    } while (0)

static void note(struct world *world, const struct error *error)
{
    world->callbacks++;
    world->code = error_code(error);
    (void)snprintf(world->message, sizeof(world->message), "%s", error_message(error));
}

static void answered(struct kube_answer *answer, const struct error *error, void *arg)
{
    struct world *world = arg;
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(answer->json, "metadata");
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(metadata, "name");

    note(world, error);
    world->status = answer->status;
    (void)snprintf(world->name, sizeof(world->name), "%s", cJSON_IsString(name) ? name->valuestring : "");
}

static void run_until_answered(struct world *world)
{
    unsigned before = world->callbacks;

    assert_int_equal(before, 0);
    while (world->callbacks == before)
        assert_int_not_equal(uv_run(&world->loop, UV_RUN_ONCE), 0);
    assert_int_equal(world->callbacks, 1);
    world->callbacks = 0;
}

static void call(struct world *world, const char *method, const cJSON *body, uint64_t timeout_ms)
{
    const struct kube_request request = {
        .method = method, .path = "/api/v1/x", .body = body, .timeout_ms = timeout_ms};

    assert_non_null(kube_call_start(world->client, &request, answered, world, NULL));
    run_until_answered(world);
}

static void assert_sent(const struct world *world, size_t i, const char *text)
{
    if (strstr(world->requests[i], text) == NULL)
        fail_msg("'%s' is not in request %zu:\n%s", text, i, world->requests[i]);
}

#define OBJECT                  "{\"metadata\":{\"name\":\"a\"}}"
#define STATUS(reason, message) "{\"kind\":\"Status\",\"reason\":\"" reason "\",\"message\":\"" message "\"}"

/* --- requests and answers --- */

static void a_request_carries_token_path_and_accept(void **state)
{
    struct world *world = *state;

    SCRIPT(world, ANSWER(200, "", OBJECT));
    call(world, "GET", NULL, 0);
    assert_int_equal(world->code, GRPC_STATUS_OK);
    assert_int_equal(world->status, 200);
    assert_string_equal(world->name, "a");
    assert_sent(world, 0, "GET /prefix/api/v1/x HTTP/1.1\r\n");
    assert_sent(world, 0, "Authorization: Bearer first\r\n"); /* without the white space of the file */
    assert_sent(world, 0, "Accept: application/json\r\n");
}

static void a_body_is_sent_as_json(void **state)
{
    struct world *world = *state;
    cleanup_json cJSON *body = cJSON_Parse(OBJECT);

    SCRIPT(world, ANSWER(201, "", OBJECT));
    call(world, "POST", body, 0);
    assert_int_equal(world->code, GRPC_STATUS_OK);
    assert_sent(world, 0, "Content-Type: application/json\r\n");
    assert_sent(world, 0, "\r\n\r\n" OBJECT);
}

static void failures_are_told_in_the_servers_words(void **state)
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
        {413, "", GRPC_STATUS_RESOURCE_EXHAUSTED, "answered 413"},
        {418, "{\"message\":5}", GRPC_STATUS_INTERNAL, "answered 418"},
        {422, STATUS("Invalid", "wrong"), GRPC_STATUS_INVALID_ARGUMENT, "wrong"},
        {429, "", GRPC_STATUS_UNAVAILABLE, "answered 429"},
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

static void an_answer_that_is_no_json_is_an_error(void **state)
{
    struct world *world = *state;

    SCRIPT(world, ANSWER(200, "", "<html>"));
    call(world, "GET", NULL, 0);
    assert_int_equal(world->code, GRPC_STATUS_INTERNAL);
    assert_non_null(strstr(world->message, "the Kubernetes API server's answer"));
}

/* --- tries --- */

static void a_token_that_rotated_is_read_again_after_401(void **state)
{
    struct world *world = *state;

    SCRIPT(world, ANSWER(401, "", STATUS("Unauthorized", "who")), ANSWER(200, "", OBJECT));
    write_token(world, "second");
    call(world, "GET", NULL, 0);
    assert_int_equal(world->code, GRPC_STATUS_OK);
    assert_sent(world, 0, "Bearer first\r\n");
    assert_sent(world, 1, "Bearer second\r\n");
}

static void a_second_401_is_the_answer(void **state)
{
    struct world *world = *state;

    SCRIPT(world, ANSWER(401, "", ""), ANSWER(401, "", STATUS("Unauthorized", "who are you")));
    call(world, "GET", NULL, 0);
    assert_int_equal(world->code, GRPC_STATUS_UNAUTHENTICATED);
    assert_string_equal(world->message, "who are you");
}

static void a_token_file_that_went_away_leaves_the_old_token_in_use(void **state)
{
    struct world *world = *state;

    SCRIPT(world, ANSWER(401, "", ""), ANSWER(200, "", OBJECT));
    assert_int_equal(scratch_run(&world->scratch, "rm token"), 0);
    call(world, "GET", NULL, 0);
    assert_int_equal(world->code, GRPC_STATUS_OK);
    assert_sent(world, 1, "Bearer first\r\n");
}

static void reads_are_repeated_when_the_server_is_in_trouble(void **state)
{
    struct world *world = *state;

    SCRIPT(world, ANSWER(429, "Retry-After: 0\r\n", ""), ANSWER(503, "Retry-After: 0\r\n", ""),
           ANSWER(500, "", ""), ANSWER(200, "", OBJECT));
    call(world, "GET", NULL, 0);
    assert_int_equal(world->code, GRPC_STATUS_OK);
}

static void a_read_is_given_up_after_so_many_tries(void **state)
{
    struct world *world = *state;
#define BUSY ANSWER(503, "Retry-After: 0\r\n", STATUS("ServiceUnavailable", "busy"))

    SCRIPT(world, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY);
    assert_int_equal(world->n_script, KUBE_TRIES_MAX);
    call(world, "GET", NULL, 0);
    assert_int_equal(world->code, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(world->message, "busy");
}

static void a_pause_beyond_the_deadline_is_not_waited_for(void **state)
{
    struct world *world = *state;

    SCRIPT(world, ANSWER(429, "Retry-After: 60\r\n", STATUS("TooManyRequests", "later")));
    call(world, "GET", NULL, 5000);
    assert_int_equal(world->code, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(world->message, "later");
}

static void a_write_is_repeated_only_when_the_server_asks_for_it(void **state)
{
    struct world *world = *state;
    cleanup_json cJSON *body = cJSON_Parse(OBJECT);

    SCRIPT(world, ANSWER(500, "", STATUS("InternalError", "who knows")));
    call(world, "POST", body, 0);
    assert_int_equal(world->code, GRPC_STATUS_UNAVAILABLE);
    SCRIPT(world, ANSWER(429, "Retry-After: 0\r\n", ""), ANSWER(201, "", OBJECT));
    call(world, "POST", body, 0);
    assert_int_equal(world->code, GRPC_STATUS_OK);
    assert_sent(world, 1, "\r\n\r\n" OBJECT);
}

static void a_read_that_was_hung_up_on_is_repeated(void **state)
{
    struct world *world = *state;

    SCRIPT(world, ANSWER(0, "", ""), ANSWER(200, "", OBJECT));
    call(world, "GET", NULL, 0);
    assert_int_equal(world->code, GRPC_STATUS_OK);
}

static void a_server_that_is_silent_runs_into_the_deadline(void **state)
{
    struct world *world = *state;

    SCRIPT(world, ANSWER(-1, "", ""));
    call(world, "GET", NULL, 100);
    assert_int_equal(world->code, GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(world->status, 0);
}

static struct kube_call *call_to_cancel;

static void cancel_it(struct world *world)
{
    (void)world;
    kube_call_cancel(&call_to_cancel);
}

static void a_cancelled_call_does_not_call_back(void **state)
{
    struct world *world = *state;
    const struct kube_request request = {.method = "GET", .path = "/api"};

    SCRIPT(world, ANSWER(-1, "", ""));
    call_to_cancel = kube_call_start(world->client, &request, answered, world, NULL);
    kube_call_cancel(&call_to_cancel); /* before anything was sent */
    assert_null(call_to_cancel);
    world->on_request = cancel_it; /* while the server thinks */
    call_to_cancel = kube_call_start(world->client, &request, answered, world, NULL);
    while (call_to_cancel != NULL)
        assert_int_not_equal(uv_run(&world->loop, UV_RUN_ONCE), 0);
    assert_int_equal(world->callbacks, 0);
}

static void a_client_without_a_readable_token_is_not_made(void **state)
{
    struct world *world = *state;
    struct kube_config config = {.server = strdup("http://x"), .token_file = strdup("/nonexistent/token")};
    cleanup_error struct error *error = NULL;

    SCRIPT(world, ANSWER(200, "", OBJECT));
    assert_null(kube_client_create(&world->loop, world->http, &config, NULL, &error));
    assert_non_null(strstr(error_message(error), "Kubernetes credentials"));
    assert_null(config.server);
    call(world, "GET", NULL, 0);
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
}

/* --- classes --- */

#define CLASS(version)                                                                                       \
    "{\"apiVersion\":\"secrets-store.csi.x-k8s.io/" version "\",\"kind\":\"SecretProviderClass\","           \
    "\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"uid\":\"u\"},\"spec\":{\"provider\":\"azure\"}" \
    "}"

static void looked_up(struct secret_provider_class *class, const struct error *error, void *arg)
{
    struct world *world = arg;

    note(world, error);
    (void)snprintf(world->name, sizeof(world->name), "%s", class != NULL ? class->provider : "");
    secret_provider_class_free(class);
}

static void look_up(struct world *world)
{
    assert_non_null(class_source_start(&world->classes, "shop", "web", 10000, looked_up, world, NULL));
    run_until_answered(world);
}

static void a_class_is_one_get(void **state)
{
    struct world *world = *state;

    SCRIPT(world, ANSWER(200, "", CLASS("v1")));
    look_up(world);
    assert_string_equal(world->name, "azure");
    assert_sent(world, 0,
                "GET /prefix/apis/secrets-store.csi.x-k8s.io/v1/namespaces/shop/secretproviderclasses/web ");
}

static void an_old_server_is_asked_for_v1alpha1(void **state)
{
    struct world *world = *state;

    SCRIPT(world, ANSWER(404, "", "404 page not found\n"), ANSWER(200, "", CLASS("v1alpha1")));
    look_up(world);
    assert_string_equal(world->name, "azure");
    assert_sent(world, 1, "/v1alpha1/namespaces/shop/");
}

static void a_server_that_serves_no_classes_is_told_from_a_missing_class(void **state)
{
    struct world *world = *state;

    SCRIPT(world, ANSWER(404, "", "404 page not found"), ANSWER(404, "", "404 page not found"));
    look_up(world);
    assert_int_equal(world->code, GRPC_STATUS_NOT_FOUND);
    assert_non_null(strstr(world->message, "custom resource definitions"));
    SCRIPT(world,
           ANSWER(404, "",
                  "{\"message\":\"\\\"web\\\" not found\",\"reason\":\"NotFound\",\"details\":{\"name\":"
                  "\"web\",\"kind\":\"secretproviderclasses\"}}"));
    look_up(world);
    assert_int_equal(world->code, GRPC_STATUS_NOT_FOUND);
    assert_string_equal(world->message, "\"web\" not found");
}

static void a_class_that_may_not_be_read_or_is_malformed_is_an_error(void **state)
{
    struct world *world = *state;

    SCRIPT(world, ANSWER(403, "", STATUS("Forbidden", "no")));
    look_up(world);
    assert_int_equal(world->code, GRPC_STATUS_PERMISSION_DENIED);
    SCRIPT(world, ANSWER(200, "", OBJECT));
    look_up(world);
    assert_int_equal(world->code, GRPC_STATUS_INVALID_ARGUMENT);
}

static void a_cancelled_lookup_does_not_call_back(void **state)
{
    struct world *world = *state;
    struct class_lookup *lookup =
        class_source_start(&world->classes, "shop", "web", 10000, looked_up, world, NULL);

    assert_non_null(lookup);
    class_source_cancel(&world->classes, &lookup);
    SCRIPT(world, ANSWER(200, "", CLASS("v1")));
    look_up(world);
    assert_string_equal(world->name, "azure");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_request_carries_token_path_and_accept),
        TEST(a_body_is_sent_as_json),
        TEST(failures_are_told_in_the_servers_words),
        TEST(an_answer_that_is_no_json_is_an_error),
        TEST(a_token_that_rotated_is_read_again_after_401),
        TEST(a_second_401_is_the_answer),
        TEST(a_token_file_that_went_away_leaves_the_old_token_in_use),
        TEST(reads_are_repeated_when_the_server_is_in_trouble),
        TEST(a_read_is_given_up_after_so_many_tries),
        TEST(a_pause_beyond_the_deadline_is_not_waited_for),
        TEST(a_write_is_repeated_only_when_the_server_asks_for_it),
        TEST(a_read_that_was_hung_up_on_is_repeated),
        TEST(a_server_that_is_silent_runs_into_the_deadline),
        TEST(a_cancelled_call_does_not_call_back),
        TEST(a_client_without_a_readable_token_is_not_made),
        TEST(paths_are_built_and_escaped),
        TEST(a_class_is_one_get),
        TEST(an_old_server_is_asked_for_v1alpha1),
        TEST(a_server_that_serves_no_classes_is_told_from_a_missing_class),
        TEST(a_class_that_may_not_be_read_or_is_malformed_is_an_error),
        TEST(a_cancelled_lookup_does_not_call_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
