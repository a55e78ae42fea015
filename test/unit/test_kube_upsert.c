/*
 * test_kube_upsert.c - one object made as it is wanted, against an API server that responds by script.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>

#include "driver/kube/kube_upsert.h"
#include "test/unit/scripted_api.h"

struct fixture {
    uv_loop_t loop;
    struct scripted_api api;
    struct http_client *http;
    struct kube_client *client;

    /* what the builder sees and says */
    unsigned builds;
    char seen_colour[32]; /* of the last `current`; "none" for NULL */
    bool content;         /* nothing is to be written */
    bool refuse;

    /* the outcome */
    unsigned callbacks;
    bool wrote;
    enum grpc_status code;
    char message[512];
    char version[32];
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct kube_rest_config config = {0};

    (void)signal(SIGPIPE, SIG_IGN);
    *state = fixture;
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    scripted_api_start(&fixture->api, &fixture->loop);
    fixture->http =
        http_client_create(&fixture->loop, &(struct http_client_config){.user_agent = "test"}, NULL);
    assert_non_null(fixture->http);
    assert_true(asprintf(&config.server, "http://127.0.0.1:%d", fixture->api.port) > 0);
    config.ns = strdup("");
    fixture->client = kube_client_create(&fixture->loop, fixture->http, &config, NULL, NULL);
    assert_non_null(fixture->client);
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
    free(fixture);
    return 0;
}

/* An object has a colour; it is to be green. */
static cJSON *build(enum kube_upsert_step step, const cJSON *current, void *arg, struct error **err)
{
    struct fixture *fixture = arg;
    const cJSON *colour = cJSON_GetObjectItemCaseSensitive(current, "colour");
    cJSON *result;

    fixture->builds++;
    assert_true(step == KUBE_UPSERT_CREATE || step == KUBE_UPSERT_PATCH);
    assert_true(step == KUBE_UPSERT_PATCH || current == NULL);
    (void)snprintf(fixture->seen_colour, sizeof(fixture->seen_colour), "%s",
                   cJSON_IsString(colour) ? colour->valuestring : "none");
    if (fixture->refuse) {
        (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "not like this");
        return NULL;
    }
    if (fixture->content || strcmp(fixture->seen_colour, "green") == 0)
        return NULL;
    result = cJSON_CreateObject();
    if (step == KUBE_UPSERT_CREATE)
        (void)cJSON_AddStringToObject(cJSON_AddObjectToObject(result, "metadata"), "name", "a");
    (void)cJSON_AddStringToObject(result, "colour", "green");
    return result;
}

static void done(struct kube_upsert_result *result, const struct error *error, void *arg)
{
    struct fixture *fixture = arg;

    fixture->callbacks++;
    fixture->wrote = result->wrote;
    fixture->code = error_code(error);
    (void)snprintf(fixture->message, sizeof(fixture->message), "%s", error_message(error));
    (void)snprintf(fixture->version, sizeof(fixture->version), "%s",
                   kube_metadata_string(result->object, "resourceVersion"));
}

static struct kube_upsert *start(struct fixture *fixture, enum kube_upsert_step first, uint64_t timeout_ms,
                                 struct error **err)
{
    const struct kube_upsert_request request = {.group = "g.io",
                                                .version = "v1",
                                                .ns = "shop",
                                                .resource = "things",
                                                .name = "a",
                                                .first = first,
                                                .resource_version = "7",
                                                .timeout_ms = timeout_ms,
                                                .build = build};
    struct kube_upsert *upsert = kube_upsert_start(fixture->client, &request, done, fixture, err);

    assert_int_equal(fixture->callbacks, 0);
    return upsert;
}

static void upsert(struct fixture *fixture, enum kube_upsert_step first, uint64_t timeout_ms)
{
    fixture->builds = 0;
    assert_non_null(start(fixture, first, timeout_ms, NULL));
    while (fixture->callbacks == 0)
        assert_int_not_equal(uv_run(&fixture->loop, UV_RUN_ONCE), 0);
    assert_int_equal(fixture->callbacks, 1);
    fixture->callbacks = 0;
}

#define THING(version, colour)                                                                               \
    "{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"" version "\"},\"colour\":\"" colour "\"}"
#define EXISTS    RESPONSE(409, "", STATUS("AlreadyExists", "exists"))
#define CONFLICT  RESPONSE(409, "", STATUS("Conflict", "changed meanwhile"))
#define NOT_FOUND RESPONSE(404, "", STATUS("NotFound", "not found"))

#define POST_LINE  "POST /apis/g.io/v1/namespaces/shop/things HTTP/1.1\r\n"
#define GET_LINE   "GET /apis/g.io/v1/namespaces/shop/things/a HTTP/1.1\r\n"
#define PATCH_LINE "PATCH /apis/g.io/v1/namespaces/shop/things/a HTTP/1.1\r\n"

static void a_new_object_is_one_post(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, RESPONSE(201, "", THING("1", "green")));
    upsert(fixture, KUBE_UPSERT_CREATE, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_true(fixture->wrote);
    assert_string_equal(fixture->version, "1");
    assert_sent(&fixture->api, 0, POST_LINE);
    assert_sent(&fixture->api, 0, "Content-Type: application/json\r\n");
    assert_sent(&fixture->api, 0, "\r\n\r\n{\"metadata\":{\"name\":\"a\"},\"colour\":\"green\"}");
}

static void an_object_that_exists_is_read_and_patched_for_what_was_read(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, EXISTS, RESPONSE(200, "", THING("5", "red")),
           RESPONSE(200, "", THING("6", "green")));
    upsert(fixture, KUBE_UPSERT_CREATE, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_true(fixture->wrote);
    assert_string_equal(fixture->version, "6");
    assert_sent(&fixture->api, 1, GET_LINE);
    assert_sent(&fixture->api, 2, PATCH_LINE);
    assert_sent(&fixture->api, 2, "Content-Type: application/merge-patch+json\r\n");
    assert_sent(&fixture->api, 2, "\r\n\r\n{\"colour\":\"green\",\"metadata\":{\"resourceVersion\":\"5\"}}");
}

static void a_rejected_request_is_not_retried(void **state)
{
    struct fixture *fixture = *state;
    uint64_t started = uv_now(&fixture->loop);

    SCRIPT(&fixture->api, RESPONSE(503, "Retry-After: 20\r\n", STATUS("ServiceUnavailable", "busy")));
    upsert(fixture, KUBE_UPSERT_CREATE, 10 * 1000); /* reads what has become of it, which is refused */
    assert_int_equal(fixture->code, GRPC_STATUS_UNAVAILABLE);
    assert_int_equal(fixture->api.n_requests, 1);
    upsert(fixture, KUBE_UPSERT_CREATE, 10 * 1000);
    assert_int_equal(fixture->code, GRPC_STATUS_UNAVAILABLE);
    assert_int_equal(fixture->api.n_requests, 1);
    assert_true(uv_now(&fixture->loop) - started < 5 * 1000);
}

static void an_object_that_is_as_wanted_is_not_written(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, RESPONSE(200, "", THING("5", "green")));
    upsert(fixture, KUBE_UPSERT_READ, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_false(fixture->wrote);
    assert_string_equal(fixture->version, "5"); /* known from now on */
}

static void an_object_that_is_not_there_is_created_after_reading(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, NOT_FOUND, RESPONSE(201, "", THING("1", "green")));
    upsert(fixture, KUBE_UPSERT_READ, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_sent(&fixture->api, 0, GET_LINE);
    assert_sent(&fixture->api, 1, POST_LINE);
}

static void an_object_written_before_is_one_patch(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, RESPONSE(200, "", THING("8", "green")));
    upsert(fixture, KUBE_UPSERT_PATCH, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_sent(&fixture->api, 0, PATCH_LINE);
    assert_sent(&fixture->api, 0, "\"resourceVersion\":\"7\"");
    assert_string_equal(fixture->seen_colour, "none");
}

static void a_remembered_version_that_is_old_is_read_again(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, CONFLICT, RESPONSE(200, "", THING("9", "red")), CONFLICT,
           RESPONSE(200, "", THING("10", "blue")), RESPONSE(200, "", THING("11", "green")));
    upsert(fixture, KUBE_UPSERT_PATCH, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_sent(&fixture->api, 2, "\"resourceVersion\":\"9\"");
    assert_sent(&fixture->api, 4, "\"resourceVersion\":\"10\"");
    assert_string_equal(fixture->seen_colour, "blue");
}

static void a_conflict_after_which_nothing_is_left_to_do_ends_there(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, CONFLICT, RESPONSE(200, "", THING("9", "green")));
    upsert(fixture, KUBE_UPSERT_PATCH, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_false(fixture->wrote);
    assert_string_equal(fixture->version, "9");
}

static void a_remembered_object_that_was_deleted_is_created(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, NOT_FOUND, RESPONSE(201, "", THING("1", "green")));
    upsert(fixture, KUBE_UPSERT_PATCH, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_sent(&fixture->api, 1, POST_LINE);
}

static void after_gone_the_object_is_read_again(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, RESPONSE(410, "", STATUS("Expired", "too old")),
           RESPONSE(200, "", THING("9", "red")), RESPONSE(200, "", THING("10", "green")));
    upsert(fixture, KUBE_UPSERT_PATCH, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
}

/* The write may have been done before the connection broke. */
static void a_write_without_a_response_is_followed_by_a_read(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, RESPONSE(0, "", ""), RESPONSE(200, "", THING("1", "green")));
    upsert(fixture, KUBE_UPSERT_CREATE, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_false(fixture->wrote);
    SCRIPT(&fixture->api, RESPONSE(504, "", STATUS("Timeout", "who knows")),
           RESPONSE(200, "", THING("1", "red")), RESPONSE(200, "", THING("2", "green")));
    upsert(fixture, KUBE_UPSERT_CREATE, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_true(fixture->wrote);
    SCRIPT(&fixture->api, RESPONSE(500, "", STATUS("InternalError", "oops")), NOT_FOUND,
           RESPONSE(201, "", THING("1", "green")));
    upsert(fixture, KUBE_UPSERT_CREATE, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
}

static void too_many_requests_are_repeated_when_the_server_says(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, RESPONSE(429, "Retry-After: 0\r\n", STATUS("TooManyRequests", "later")),
           RESPONSE(201, "", THING("1", "green")));
    upsert(fixture, KUBE_UPSERT_CREATE, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_sent(&fixture->api, 1, POST_LINE);
}

static void an_error_that_no_read_can_cure_is_returned_at_once(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, RESPONSE(403, "", STATUS("Forbidden", "no")));
    upsert(fixture, KUBE_UPSERT_CREATE, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_PERMISSION_DENIED);
    assert_string_equal(fixture->message, "no");
    SCRIPT(&fixture->api, NOT_FOUND); /* the namespace, or the kind */
    upsert(fixture, KUBE_UPSERT_CREATE, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_NOT_FOUND);
    SCRIPT(&fixture->api, RESPONSE(422, "", STATUS("Invalid", "wrong")));
    upsert(fixture, KUBE_UPSERT_PATCH, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_INVALID_ARGUMENT);
    SCRIPT(&fixture->api, RESPONSE(200, "", "{\"colour\":\"red\"}"));
    upsert(fixture, KUBE_UPSERT_READ, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_INTERNAL);
    assert_string_equal(fixture->message, "the object has no resourceVersion");
}

static void an_endless_conflict_is_given_up(void **state)
{
    struct fixture *fixture = *state;
#define ROUND RESPONSE(200, "", THING("9", "red")), CONFLICT

    SCRIPT(&fixture->api, ROUND, ROUND, ROUND, ROUND, ROUND, ROUND);
    assert_int_equal(fixture->api.n_script, KUBE_UPSERT_TRIES_MAX);
    upsert(fixture, KUBE_UPSERT_READ, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_ABORTED);
    assert_string_equal(fixture->message, "changed meanwhile");
}

static void a_silent_server_runs_into_the_deadline(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->api, RESPONSE(-1, "", ""));
    upsert(fixture, KUBE_UPSERT_CREATE, 100);
    assert_int_equal(fixture->code, GRPC_STATUS_DEADLINE_EXCEEDED);
}

static void the_builder_may_be_content_or_refuse(void **state)
{
    struct fixture *fixture = *state;
    cleanup_error struct error *error = NULL;

    SCRIPT(&fixture->api, RESPONSE(200, "", THING("5", "red")));
    fixture->content = true;
    upsert(fixture, KUBE_UPSERT_CREATE, 0); /* without any request, and not from inside start */
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_false(fixture->wrote);
    fixture->content = false;
    fixture->refuse = true;
    assert_null(start(fixture, KUBE_UPSERT_CREATE, 0, &error));
    assert_string_equal(error_message(error), "not like this");
    upsert(fixture, KUBE_UPSERT_READ, 0);
    assert_int_equal(fixture->code, GRPC_STATUS_FAILED_PRECONDITION);
    assert_string_equal(fixture->seen_colour, "red");
}

static void a_cancelled_upsert_says_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct kube_upsert *running;

    SCRIPT(&fixture->api, CONFLICT);
    running = start(fixture, KUBE_UPSERT_PATCH, 0, NULL);
    while (fixture->api.n_requests < 1)
        assert_int_not_equal(uv_run(&fixture->loop, UV_RUN_ONCE), 0);
    kube_upsert_cancel(&running);
    assert_null(running);
    running = start(fixture, KUBE_UPSERT_CREATE, 0, NULL);
    kube_upsert_cancel(&running);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_NOWAIT) == 0, 0);
    assert_int_equal(fixture->callbacks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_new_object_is_one_post),
        TEST(an_object_that_exists_is_read_and_patched_for_what_was_read),
        TEST(a_rejected_request_is_not_retried),
        TEST(an_object_that_is_as_wanted_is_not_written),
        TEST(an_object_that_is_not_there_is_created_after_reading),
        TEST(an_object_written_before_is_one_patch),
        TEST(a_remembered_version_that_is_old_is_read_again),
        TEST(a_conflict_after_which_nothing_is_left_to_do_ends_there),
        TEST(a_remembered_object_that_was_deleted_is_created),
        TEST(after_gone_the_object_is_read_again),
        TEST(a_write_without_a_response_is_followed_by_a_read),
        TEST(too_many_requests_are_repeated_when_the_server_says),
        TEST(an_error_that_no_read_can_cure_is_returned_at_once),
        TEST(an_endless_conflict_is_given_up),
        TEST(a_silent_server_runs_into_the_deadline),
        TEST(the_builder_may_be_content_or_refuse),
        TEST(a_cancelled_upsert_says_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
