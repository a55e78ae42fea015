/*
 * test_events.c - events on pods, against an API server that responds by script.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/status/events.h"
#include "test/unit/kube_fixture.h"

struct fixture {
    struct kube_fixture base;
    struct metrics *metrics;
    struct driver_metrics *driver_metrics;
    struct events *events;
    const char *pod, *uid;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    *state = fixture;
    kube_fixture_open(&fixture->base);
    fixture->metrics = metrics_create();
    fixture->driver_metrics = driver_metrics_create(fixture->metrics);
    fixture->events = events_create(&(struct events_config){.loop = &fixture->base.loop,
                                                            .kube = fixture->base.kube,
                                                            .metrics = fixture->driver_metrics,
                                                            .node = "node-1",
                                                            .retry_ms = 1},
                                    NULL);
    assert_non_null(fixture->events);
    fixture->pod = "web-0";
    fixture->uid = "uid-1";
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    events_destroy(fixture->events);
    kube_fixture_close(&fixture->base);
    driver_metrics_destroy(fixture->driver_metrics);
    metrics_destroy(fixture->metrics);
    free(fixture);
    return 0;
}

static void emit(struct fixture *fixture, const char *message)
{
    events_emit(fixture->events, &(struct event){.type = EVENT_WARNING,
                                                 .component = EVENT_ROTATION,
                                                 .reason = EVENT_ROTATE_FAILED,
                                                 .pod_name = fixture->pod,
                                                 .pod_namespace = "shop",
                                                 .pod_uid = fixture->uid,
                                                 .message = message});
}

/* Occurrences by result. */
static double counted(struct fixture *fixture, const char *result)
{
    cleanup_buffer struct buffer text = {0};
    char needle[128];
    const char *at;

    buffer_init(&text, 1 << 20);
    assert_int_equal(metrics_render(fixture->metrics, &text, NULL), 0);
    (void)snprintf(needle, sizeof(needle), "kube_events_total{reason=\"MountRotationFailed\",result=\"%s\"} ",
                   result);
    at = strstr(buffer_str(&text), needle);
    return at == NULL ? 0 : strtod(at + strlen(needle), NULL);
}

/* Until so many occurrences have been sent or dropped; one request more than scripted fails the test. */
static void run_until_counted(struct fixture *fixture, double sent, double dropped)
{
    while (counted(fixture, "sent") < sent || counted(fixture, "dropped") < dropped)
        assert_int_not_equal(uv_run(&fixture->base.loop, UV_RUN_ONCE), 0);
    assert_true(counted(fixture, "sent") == sent);
    assert_true(counted(fixture, "dropped") == dropped);
}

#define CREATED   RESPONSE(201, "", OBJECT)
#define PATCHED   RESPONSE(200, "", OBJECT)
#define POST_LINE "POST /api/v1/namespaces/shop/events HTTP/1.1\r\n"
#define PATCH     "PATCH /api/v1/namespaces/shop/events/web-0."

static void an_event_is_as_the_core_api_wants_it(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, CREATED);
    emit(fixture, "100% of \"it\" failed: %s%n");
    run_until_counted(fixture, 1, 0);
    assert_sent(&fixture->base.api, 0, POST_LINE);
    assert_sent(&fixture->base.api, 0,
                "\"apiVersion\":\"v1\",\"kind\":\"Event\",\"metadata\":{\"name\":\"web-0.");
    assert_sent(&fixture->base.api, 0, "\"namespace\":\"shop\"},");
    assert_sent(
        &fixture->base.api, 0,
        "\"involvedObject\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"namespace\":\"shop\",\"name\":\"web-0\",\"uid\":\"uid-1\"}");
    assert_sent(&fixture->base.api, 0,
                "\"source\":{\"component\":\"csi-secrets-store-rotation\",\"host\":\"node-1\"}");
    assert_sent(&fixture->base.api, 0, "\"type\":\"Warning\",\"reason\":\"MountRotationFailed\"");
    assert_sent(&fixture->base.api, 0, "\"message\":\"100% of \\\"it\\\" failed: %s%n\""); /* no format */
    assert_sent(&fixture->base.api, 0, "\"count\":1}");
    assert_null(strstr(fixture->base.api.requests[0], "eventTime"));
}

static void the_same_again_counts_the_event_up(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, CREATED, PATCHED, PATCHED);
    emit(fixture, "no");
    run_until_counted(fixture, 1, 0);
    emit(fixture, "no");
    run_until_counted(fixture, 2, 0);
    emit(fixture, "no");
    run_until_counted(fixture, 3, 0);
    assert_sent(&fixture->base.api, 1, PATCH);
    assert_sent(&fixture->base.api, 1, "Content-Type: application/merge-patch+json\r\n");
    assert_sent(&fixture->base.api, 1, "\"count\":2");
    assert_sent(&fixture->base.api, 2, "\"count\":3");
}

static void occurrences_during_a_request_go_along_with_the_next_one(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, CREATED, PATCHED);
    for (unsigned i = 0; i < 7; i++)
        emit(fixture, "no");
    run_until_counted(fixture, 7, 0);
    assert_sent(&fixture->base.api, 0, "\"count\":1");
    assert_sent(&fixture->base.api, 1, "\"count\":7");
}

static void another_message_is_another_event(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, CREATED, CREATED, CREATED);
    emit(fixture, "no");
    run_until_counted(fixture, 1, 0);
    emit(fixture, "still no");
    run_until_counted(fixture, 2, 0);
    fixture->uid = "uid-2"; /* another pod */
    emit(fixture, "no");
    run_until_counted(fixture, 3, 0);
    assert_sent(&fixture->base.api, 1, "\"message\":\"still no\"");
    assert_sent(&fixture->base.api, 1, "\"count\":1");
    assert_sent(&fixture->base.api, 2, "\"uid\":\"uid-2\"");
}

static void a_pod_that_never_stops_is_limited_and_counted(void **state)
{
    struct fixture *fixture = *state;
    char message[32];

    SCRIPT(&fixture->base.api, CREATED, CREATED, CREATED, CREATED, CREATED, CREATED, CREATED, CREATED,
           CREATED, CREATED);
    assert_int_equal(fixture->base.api.n_script, EVENTS_BURST);
    for (unsigned i = 0; i < EVENTS_BURST; i++) {
        (void)snprintf(message, sizeof(message), "request %u failed", i);
        emit(fixture, message);
        run_until_counted(fixture, i + 1, 0);
    }
    for (unsigned i = 0; i < 100; i++) {
        emit(fixture, "and again");
        (void)uv_run(&fixture->base.loop, UV_RUN_NOWAIT);
    }
    run_until_counted(fixture, EVENTS_BURST, 0);
    events_destroy(fixture->events); /* what waits is dropped */
    fixture->events = NULL;
    run_until_counted(fixture, EVENTS_BURST, 100);
}

static void an_event_that_the_server_has_dropped_is_created_again(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, CREATED, RESPONSE(404, "", STATUS("NotFound", "not found")), CREATED);
    emit(fixture, "no");
    run_until_counted(fixture, 1, 0);
    emit(fixture, "no");
    run_until_counted(fixture, 2, 0);
    assert_sent(&fixture->base.api, 2, POST_LINE);
}

static void a_request_without_a_response_is_retried(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, RESPONSE(0, "", ""), RESPONSE(503, "", ""), CREATED);
    emit(fixture, "no");
    run_until_counted(fixture, 1, 0);
    assert_sent(&fixture->base.api, 2, "\"count\":1}");
}

/* The name behind "POST": the event's own. */
static void name_of_event(const struct scripted_api *api, size_t i, char name[80])
{
    const char *at = strstr(api->requests[i], "\"metadata\":{\"name\":\"");

    assert_non_null(at);
    assert_int_equal(sscanf(at, "\"metadata\":{\"name\":\"%79[^\"]", name), 1);
}

/* The response was lost, not the request: there must not be two events for it. */
static void an_event_that_had_arrived_is_not_created_twice(void **state)
{
    struct fixture *fixture = *state;
    char first[80], second[80], line[200];

    SCRIPT(&fixture->base.api, RESPONSE(0, "", ""), RESPONSE(409, "", STATUS("AlreadyExists", "exists")),
           PATCHED, PATCHED);
    emit(fixture, "no");
    emit(fixture, "no");
    run_until_counted(fixture, 2, 0);
    name_of_event(&fixture->base.api, 0, first);
    name_of_event(&fixture->base.api, 1, second);
    assert_string_equal(first, second);
    (void)snprintf(line, sizeof(line), "PATCH /api/v1/namespaces/shop/events/%s HTTP/1.1\r\n", first);
    assert_sent(&fixture->base.api, 2, line);
    assert_sent(&fixture->base.api, 2, "\"count\":2");
    emit(fixture, "no");
    run_until_counted(fixture, 3, 0);
    assert_sent(&fixture->base.api, 3, line);
    assert_sent(&fixture->base.api, 3, "\"count\":3");
}

static void it_is_not_retried_for_ever(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, RESPONSE(0, "", ""), RESPONSE(0, "", ""), RESPONSE(0, "", ""),
           RESPONSE(0, "", ""), RESPONSE(0, "", ""));
    assert_int_equal(fixture->base.api.n_script, EVENTS_TRIES_MAX);
    emit(fixture, "no");
    run_until_counted(fixture, 0, 1);
}

static void a_refused_event_is_dropped(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, RESPONSE(403, "", STATUS("Forbidden", "namespace is being terminated")),
           CREATED);
    emit(fixture, "no");
    run_until_counted(fixture, 0, 1);
    emit(fixture, "no");
    run_until_counted(fixture, 1, 1);
    assert_sent(&fixture->base.api, 1, POST_LINE);
}

static void a_long_message_is_cut_to_valid_text(void **state)
{
    struct fixture *fixture = *state;
    char message[2000];

    SCRIPT(&fixture->base.api, CREATED);
    memset(message, 'm', sizeof(message) - 1);
    message[sizeof(message) - 1] = '\0';
    message[0] = '\xff';
    emit(fixture, message);
    run_until_counted(fixture, 1, 0);
    message[EVENTS_MESSAGE_MAX] = '\0';
    message[0] = '?';
    assert_sent(&fixture->base.api, 0, message);
    assert_null(strstr(fixture->base.api.requests[0] +
                           (strstr(fixture->base.api.requests[0], message) - fixture->base.api.requests[0]) +
                           EVENTS_MESSAGE_MAX,
                       "mm"));
}

static void long_pod_names_leave_room_for_the_event(void **state)
{
    struct fixture *fixture = *state;
    char name[254];
    char expected[300];

    SCRIPT(&fixture->base.api, CREATED);
    memset(name, 'p', sizeof(name));
    name[235] = '-';
    name[253] = '\0';
    fixture->pod = name;
    emit(fixture, "no");
    run_until_counted(fixture, 1, 0);
    (void)snprintf(expected, sizeof(expected), "\"metadata\":{\"name\":\"%.235s.", name);
    assert_sent(&fixture->base.api, 0, expected);
}

static void a_thousand_pods_do_not_fill_memory_or_the_queue(void **state)
{
    struct fixture *fixture = *state;
    static const struct scripted_response silent[EVENTS_IN_FLIGHT_MAX] = {
        {-1, "", ""}, {-1, "", ""}, {-1, "", ""}, {-1, "", ""}};
    char uid[32];

    fixture->base.api.script = silent;
    fixture->base.api.n_script = EVENTS_IN_FLIGHT_MAX;
    fixture->uid = uid;
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(uid, sizeof(uid), "uid-%u", i);
        emit(fixture, "no");
    }
    while (fixture->base.api.n_requests < EVENTS_IN_FLIGHT_MAX)
        assert_int_not_equal(uv_run(&fixture->base.loop, UV_RUN_ONCE), 0);
    for (unsigned i = 0; i < 20; i++)
        (void)uv_run(&fixture->base.loop, UV_RUN_ONCE); /* one request more would be one too many */
    run_until_counted(fixture, 0, 1000 - EVENTS_ENTRIES_MAX);
}

static void without_events_or_a_pods_name_nothing_is_sent(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, CREATED);
    events_emit(NULL, &(struct event){.pod_name = "web-0"});
    fixture->pod = "";
    emit(fixture, "no");
    fixture->pod = "web-0";
    emit(fixture, "no");
    run_until_counted(fixture, 1, 0);
    events_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(an_event_is_as_the_core_api_wants_it),
        TEST(the_same_again_counts_the_event_up),
        TEST(occurrences_during_a_request_go_along_with_the_next_one),
        TEST(another_message_is_another_event),
        TEST(a_pod_that_never_stops_is_limited_and_counted),
        TEST(an_event_that_the_server_has_dropped_is_created_again),
        TEST(a_request_without_a_response_is_retried),
        TEST(an_event_that_had_arrived_is_not_created_twice),
        TEST(it_is_not_retried_for_ever),
        TEST(a_refused_event_is_dropped),
        TEST(a_long_message_is_cut_to_valid_text),
        TEST(long_pod_names_leave_room_for_the_event),
        TEST(a_thousand_pods_do_not_fill_memory_or_the_queue),
        TEST(without_events_or_a_pods_name_nothing_is_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
