/*
 * test_kube_queue.c - when requests may go to the Kubernetes API (kube_queue), and whether it responds
 * (kube_health). Requests are entries of the queue that count their callbacks; probes are counted and
 * finished by hand. The times of kube_health are SPEEDUP times shorter, and pass only in let_pass(): the
 * clock of the loop is the test's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/base/buffer.h"
#include "common/kube/kube_queue.h"

enum {
    SPEEDUP = 50,
    REQUESTS = 3 * KUBE_IN_FLIGHT_MAX,
    LONG_MS = 60 * 1000, /* longer than all times of the queue */
    PROBES_MAX = 20,
};

struct request {
    struct kube_queue_entry *entry;
    unsigned admissions;
    unsigned rejections;
    enum grpc_status code;
    char message[256];
};

struct fixture {
    uv_loop_t loop;
    struct kube_health *health;
    struct kube_queue *queue;
    struct request requests[REQUESTS];
    struct kube_health_listener listener;
    unsigned probes;
    uint64_t probed_ms[PROBES_MAX];
    bool all_fail; /* probes fail at once */
    unsigned recoveries;
};

/* --- the clock --- */

static uint64_t now_ms = 1000;

/* In place of the C library's, also for libuv. */
int clock_gettime(clockid_t id, struct timespec *ret_now)
{
    (void)id;
    *ret_now =
        (struct timespec){.tv_sec = (time_t)(now_ms / 1000), .tv_nsec = (long)(now_ms % 1000) * 1000000};
    return 0;
}

/* --- the fixture --- */

static void admitted(void *arg)
{
    struct request *request = arg;

    request->admissions++;
}

static void rejected(const struct error *error, void *arg)
{
    struct request *request = arg;

    request->rejections++;
    request->code = error_code(error);
    (void)snprintf(request->message, sizeof(request->message), "%s", error_message(error));
}

/* Gives the request a new entry. */
static void set_deadline(struct fixture *fixture, size_t i, uint64_t ms)
{
    static const struct kube_queue_callbacks callbacks = {.on_admitted = admitted, .on_rejected = rejected};
    struct request *request = &fixture->requests[i];

    kube_queue_entry_destroy(request->entry);
    request->entry =
        kube_queue_entry_create(fixture->queue, uv_now(&fixture->loop) + ms, &callbacks, request, NULL);
    assert_non_null(request->entry);
}

static int probe(void *arg, struct error **err)
{
    struct fixture *fixture = arg;

    assert_true(fixture->probes < PROBES_MAX);
    fixture->probed_ms[fixture->probes++] = uv_now(&fixture->loop);
    return fixture->all_fail ? error_set(err, GRPC_STATUS_UNAVAILABLE, "the probe was refused") : 0;
}

static void recovered(void *arg)
{
    struct fixture *fixture = arg;

    fixture->recoveries++;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    const struct kube_health_config config = {
        .loop = &fixture->loop, .server = "here", .probe = probe, .arg = fixture, .speedup = SPEEDUP};

    assert_non_null(fixture);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    fixture->health = kube_health_create(&config, NULL);
    assert_non_null(fixture->health);
    fixture->queue = kube_queue_create(&fixture->loop, fixture->health, NULL);
    assert_non_null(fixture->queue);
    fixture->listener = (struct kube_health_listener){.on_recovered = recovered, .arg = fixture};
    kube_health_listen(fixture->health, &fixture->listener);
    for (size_t i = 0; i < REQUESTS; i++)
        set_deadline(fixture, i, LONG_MS);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    kube_health_unlisten(&fixture->listener);
    for (size_t i = 0; i < REQUESTS; i++)
        kube_queue_entry_destroy(fixture->requests[i].entry);
    kube_queue_destroy(fixture->queue);
    kube_health_destroy(fixture->health);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    free(fixture);
    return 0;
}

static void run_loop(struct fixture *fixture)
{
    for (unsigned i = 0; i < 3; i++)
        (void)uv_run(&fixture->loop, UV_RUN_NOWAIT);
}

static void let_pass(struct fixture *fixture, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) {
        now_ms++;
        run_loop(fixture);
    }
}

/* Requests first..last-1 enter the queue. */
static void enter(struct fixture *fixture, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++)
        kube_queue_enter(fixture->requests[i].entry, 0);
    run_loop(fixture);
}

static unsigned sum(const struct fixture *fixture, bool rejections)
{
    unsigned n = 0;

    for (size_t i = 0; i < REQUESTS; i++)
        n += rejections ? fixture->requests[i].rejections : fixture->requests[i].admissions;
    return n;
}

static void no_response(struct request *request, enum grpc_status code)
{
    cleanup_error struct error *error = NULL;

    (void)error_set(&error, code, "connection reset");
    kube_queue_no_response(request->entry, error);
}

static void probe_fails(struct fixture *fixture)
{
    cleanup_error struct error *error = NULL;

    (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "connection refused");
    kube_health_probed(fixture->health, error);
}

/* A request gets no response, and no probe does either, until the server is unreachable. */
static void make_unreachable(struct fixture *fixture)
{
    fixture->all_fail = true;
    enter(fixture, 0, 1);
    no_response(&fixture->requests[0], GRPC_STATUS_UNAVAILABLE);
    let_pass(fixture, 2 * KUBE_SUSPECT_MS / SPEEDUP);
    assert_int_not_equal(kube_health_state(fixture->health), KUBE_REACHABLE);
    fixture->all_fail = false;
    enter(fixture, 1, 2);
    assert_int_equal(fixture->requests[1].rejections, 1);
}

/* --- reachable --- */

static void a_limited_number_is_in_flight_and_the_others_follow_in_order(void **state)
{
    struct fixture *fixture = *state;

    enter(fixture, 0, REQUESTS);
    assert_int_equal(sum(fixture, false), KUBE_IN_FLIGHT_MAX);
    kube_queue_responded(fixture->requests[3].entry);
    run_loop(fixture);
    assert_int_equal(fixture->requests[KUBE_IN_FLIGHT_MAX].admissions, 1);
    set_deadline(fixture, KUBE_IN_FLIGHT_MAX + 1, LONG_MS); /* leaves the queue */
    set_deadline(fixture, 4, LONG_MS);                      /* cancelled */
    run_loop(fixture);
    assert_int_equal(fixture->requests[KUBE_IN_FLIGHT_MAX + 1].admissions, 0);
    assert_int_equal(fixture->requests[KUBE_IN_FLIGHT_MAX + 2].admissions, 1);
    assert_int_equal(sum(fixture, false), KUBE_IN_FLIGHT_MAX + 2);
    assert_int_equal(fixture->probes, 0);
}

static void no_callback_runs_inside_enter(void **state)
{
    struct fixture *fixture = *state;

    kube_queue_enter(fixture->requests[0].entry, 0);
    assert_int_equal(fixture->requests[0].admissions, 0);
    run_loop(fixture);
    assert_int_equal(fixture->requests[0].admissions, 1);
}

static void a_delayed_request_has_no_slot(void **state)
{
    struct fixture *fixture = *state;

    enter(fixture, 0, KUBE_IN_FLIGHT_MAX + 1);
    kube_queue_enter(fixture->requests[0].entry, 20);
    run_loop(fixture);
    assert_int_equal(fixture->requests[KUBE_IN_FLIGHT_MAX].admissions, 1);
    kube_queue_responded(fixture->requests[1].entry);
    let_pass(fixture, 40);
    assert_int_equal(fixture->requests[0].admissions, 2);
}

static void a_request_that_gets_no_slot_in_time_is_rejected(void **state)
{
    struct fixture *fixture = *state;
    struct request *late = &fixture->requests[KUBE_IN_FLIGHT_MAX];

    enter(fixture, 0, KUBE_IN_FLIGHT_MAX);
    set_deadline(fixture, KUBE_IN_FLIGHT_MAX, 20);
    enter(fixture, KUBE_IN_FLIGHT_MAX, KUBE_IN_FLIGHT_MAX + 1);
    let_pass(fixture, 30);
    assert_int_equal(late->rejections, 1);
    assert_int_equal(late->code, GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_string_equal(late->message, "16 other requests to the API server did not end in time");
}

/* --- suspect --- */

static void a_failure_is_probed_at_once_and_the_queue_waits_for_the_outcome(void **state)
{
    struct fixture *fixture = *state;

    enter(fixture, 0, 2);
    no_response(&fixture->requests[0], GRPC_STATUS_UNAVAILABLE);
    no_response(&fixture->requests[1], GRPC_STATUS_UNAVAILABLE);
    assert_int_equal(fixture->probes, 1);
    assert_int_not_equal(kube_health_state(fixture->health), KUBE_REACHABLE);
    enter(fixture, 2, 4);
    assert_int_equal(sum(fixture, false), 2);
    kube_health_probed(fixture->health, NULL);
    run_loop(fixture);
    assert_int_equal(sum(fixture, false), 4);
    assert_int_equal(kube_health_state(fixture->health), KUBE_REACHABLE);
    assert_int_equal(fixture->recoveries, 0); /* none was rejected */
}

static void a_response_to_a_request_counts_as_well(void **state)
{
    struct fixture *fixture = *state;

    enter(fixture, 0, 2);
    no_response(&fixture->requests[0], GRPC_STATUS_UNAVAILABLE);
    kube_queue_responded(fixture->requests[1].entry);
    assert_int_equal(kube_health_state(fixture->health), KUBE_REACHABLE);
    probe_fails(fixture); /* the one before */
    assert_int_equal(kube_health_state(fixture->health), KUBE_REACHABLE);
    enter(fixture, 2, 3);
    assert_int_equal(fixture->requests[2].admissions, 1);
}

static void a_silence_is_probed_and_a_slow_server_stays_reachable(void **state)
{
    struct fixture *fixture = *state;

    enter(fixture, 0, 1);
    let_pass(fixture, KUBE_SILENCE_MS / SPEEDUP / 2);
    assert_int_equal(fixture->probes, 0);
    let_pass(fixture, KUBE_SILENCE_MS / SPEEDUP);
    assert_int_equal(fixture->probes, 1);
    kube_health_probed(fixture->health, NULL);
    let_pass(fixture, 2 * KUBE_SILENCE_MS / SPEEDUP);
    assert_int_equal(fixture->probes, 2); /* it is still silent */
    kube_health_probed(fixture->health, NULL);
    assert_int_equal(sum(fixture, true), 0);
    kube_queue_responded(fixture->requests[0].entry);
    let_pass(fixture, 2 * KUBE_SILENCE_MS / SPEEDUP);
    assert_int_equal(fixture->probes, 2); /* no request is in flight */
}

static void a_cancelled_request_leaves_no_silence_behind(void **state)
{
    struct fixture *fixture = *state;

    enter(fixture, 0, 1);
    set_deadline(fixture, 0, LONG_MS);
    let_pass(fixture, 2 * KUBE_SILENCE_MS / SPEEDUP);
    enter(fixture, 1, 2);
    let_pass(fixture, KUBE_SILENCE_MS / SPEEDUP / 2);
    assert_int_equal(fixture->probes, 0);
}

static void timeouts_shorter_than_a_silence_are_noticed(void **state)
{
    struct fixture *fixture = *state;

    enter(fixture, 0, 1);
    let_pass(fixture, KUBE_SUSPECT_MS / SPEEDUP);
    no_response(&fixture->requests[0], GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(fixture->probes, 1);
    probe_fails(fixture); /* the silence has been long enough */
    enter(fixture, 1, 2);
    assert_int_equal(fixture->requests[1].code, GRPC_STATUS_UNAVAILABLE);
}

/* --- unreachable --- */

static void an_unreachable_server_rejects_all_requests_at_once(void **state)
{
    struct fixture *fixture = *state;
    struct request *pausing = &fixture->requests[REQUESTS - 1];

    fixture->all_fail = true;
    enter(fixture, 0, REQUESTS - 1);
    kube_queue_enter(pausing->entry, LONG_MS / 2);
    no_response(&fixture->requests[0], GRPC_STATUS_UNAVAILABLE);
    enter(fixture, 0, 1); /* its next try */
    assert_int_equal(sum(fixture, true), 0);
    let_pass(fixture, 2 * KUBE_SUSPECT_MS / SPEEDUP);
    assert_int_equal(sum(fixture, false), KUBE_IN_FLIGHT_MAX); /* none has been sent since */
    assert_int_equal(sum(fixture, true), REQUESTS);
    for (size_t i = 0; i < REQUESTS; i++) {
        assert_int_equal(fixture->requests[i].rejections, 1);
        assert_int_equal(fixture->requests[i].code, GRPC_STATUS_UNAVAILABLE);
        assert_non_null(strstr(fixture->requests[i].message, "the API server has not responded for "));
        assert_non_null(strstr(fixture->requests[i].message, ": the probe was refused"));
    }
    enter(fixture, 0, REQUESTS); /* and those that enter now */
    assert_int_equal(sum(fixture, true), 2 * REQUESTS);
    kube_queue_enter(pausing->entry, LONG_MS / 2); /* a delay is of no use */
    run_loop(fixture);
    assert_int_equal(pausing->rejections, 3);
    assert_int_equal(sum(fixture, false), KUBE_IN_FLIGHT_MAX);
}

static void probes_go_on_with_growing_pauses(void **state)
{
    struct fixture *fixture = *state;
    uint64_t pause = KUBE_PROBE_FIRST_MS / SPEEDUP;

    fixture->all_fail = true;
    enter(fixture, 0, 1);
    no_response(&fixture->requests[0], GRPC_STATUS_UNAVAILABLE);
    while (fixture->probes < 8)
        let_pass(fixture, 1);
    for (size_t i = 1; i < 8; i++) {
        assert_true(fixture->probed_ms[i] - fixture->probed_ms[i - 1] >= pause);
        pause = 2 * pause < KUBE_PROBE_CAP_MS / SPEEDUP ? 2 * pause : KUBE_PROBE_CAP_MS / SPEEDUP;
    }
    assert_int_equal(pause, KUBE_PROBE_CAP_MS / SPEEDUP);
}

static void one_probe_at_a_time(void **state)
{
    struct fixture *fixture = *state;

    enter(fixture, 0, 2);
    no_response(&fixture->requests[0], GRPC_STATUS_UNAVAILABLE);
    no_response(&fixture->requests[1], GRPC_STATUS_UNAVAILABLE);
    let_pass(fixture, 2 * KUBE_PROBE_CAP_MS / SPEEDUP);
    assert_int_equal(fixture->probes, 1);
}

static void its_recovery_is_reported_to_listeners(void **state)
{
    struct fixture *fixture = *state;
    unsigned before;

    make_unreachable(fixture);
    before = fixture->probes;
    while (fixture->probes == before)
        let_pass(fixture, 1);
    assert_int_equal(fixture->recoveries, 0);
    kube_health_probed(fixture->health, NULL);
    assert_int_equal(fixture->recoveries, 1);
    assert_int_equal(kube_health_state(fixture->health), KUBE_REACHABLE);
    enter(fixture, 2, 4);
    assert_int_equal(fixture->requests[2].admissions + fixture->requests[3].admissions, 2);
}

/* --- Retry-After --- */

static void a_retry_after_is_kept_by_all(void **state)
{
    struct fixture *fixture = *state;
    uint64_t begun = uv_now(&fixture->loop);

    enter(fixture, 0, 2);
    kube_queue_responded(fixture->requests[0].entry);
    kube_queue_responded(fixture->requests[1].entry);
    kube_queue_pause(fixture->queue, 1000);
    kube_queue_enter(fixture->requests[0].entry, 1000); /* the one that got it */
    enter(fixture, 2, 6);
    let_pass(fixture, 100);
    assert_int_equal(sum(fixture, false), 2);
    while (sum(fixture, false) < 7)
        let_pass(fixture, 1);
    assert_true(uv_now(&fixture->loop) - begun >= 1000);
    assert_int_equal(fixture->probes, 0);
    assert_int_equal(kube_health_state(fixture->health), KUBE_REACHABLE);
}

static void a_request_with_too_little_time_for_the_pause_is_rejected_at_once(void **state)
{
    struct fixture *fixture = *state;

    enter(fixture, 0, KUBE_IN_FLIGHT_MAX);
    set_deadline(fixture, 20, 5000);
    set_deadline(fixture, 21, 5000);
    enter(fixture, 20, 21); /* in the queue before the pause, and after it */
    kube_queue_pause(fixture->queue, 10 * 1000);
    enter(fixture, 21, 23);
    for (size_t i = 20; i < 22; i++) {
        assert_int_equal(fixture->requests[i].rejections, 1);
        assert_int_equal(fixture->requests[i].code, GRPC_STATUS_UNAVAILABLE);
        assert_non_null(strstr(fixture->requests[i].message, "the API server asks for a pause of "));
    }
    assert_int_equal(fixture->requests[22].rejections, 0);
}

static void one_response_does_not_stop_a_node_for_long(void **state)
{
    struct fixture *fixture = *state;

    kube_queue_pause(fixture->queue, 24 * 3600 * 1000);
    set_deadline(fixture, 0, KUBE_RETRY_AFTER_MAX_MS + KUBE_RETRY_AFTER_MAX_MS / 4 + 1000);
    set_deadline(fixture, 1, KUBE_RETRY_AFTER_MAX_MS);
    enter(fixture, 0, 2);
    assert_int_equal(fixture->requests[0].rejections, 0);
    assert_int_equal(fixture->requests[1].rejections, 1);
}

static void a_shorter_pause_does_not_end_a_longer_one(void **state)
{
    struct fixture *fixture = *state;

    kube_queue_pause(fixture->queue, 1000);
    kube_queue_pause(fixture->queue, 10);
    kube_queue_pause(fixture->queue, 0);
    enter(fixture, 0, 1);
    let_pass(fixture, 50);
    assert_int_equal(fixture->requests[0].admissions, 0);
    let_pass(fixture, 1250); /* jitter: up to a quarter longer */
    assert_int_equal(fixture->requests[0].admissions, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_limited_number_is_in_flight_and_the_others_follow_in_order),
        TEST(no_callback_runs_inside_enter),
        TEST(a_delayed_request_has_no_slot),
        TEST(a_request_that_gets_no_slot_in_time_is_rejected),
        TEST(a_failure_is_probed_at_once_and_the_queue_waits_for_the_outcome),
        TEST(a_response_to_a_request_counts_as_well),
        TEST(a_silence_is_probed_and_a_slow_server_stays_reachable),
        TEST(a_cancelled_request_leaves_no_silence_behind),
        TEST(timeouts_shorter_than_a_silence_are_noticed),
        TEST(an_unreachable_server_rejects_all_requests_at_once),
        TEST(probes_go_on_with_growing_pauses),
        TEST(one_probe_at_a_time),
        TEST(its_recovery_is_reported_to_listeners),
        TEST(a_retry_after_is_kept_by_all),
        TEST(a_request_with_too_little_time_for_the_pause_is_rejected_at_once),
        TEST(one_response_does_not_stop_a_node_for_long),
        TEST(a_shorter_pause_does_not_end_a_longer_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
