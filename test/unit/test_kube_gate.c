/*
 * test_kube_gate.c - when requests may go to the Kubernetes API. Requests are turns that note what becomes of
 * them; probes are counted and answered by hand. The gate's own times are HURRY times shorter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buffer.h"
#include "driver/kube/kube_gate.h"

enum {
    HURRY = 50,
    REQUESTS = 3 * KUBE_IN_FLIGHT_MAX,
    LONG_MS = 60 * 1000, /* none of the gate's times is so long */
    PROBES_MAX = 20,
};

struct request {
    struct kube_turn turn;
    unsigned went;
    unsigned refusals;
    enum grpc_status code;
    char message[256];
};

struct world {
    uv_loop_t loop;
    struct kube_gate *gate;
    struct request requests[REQUESTS];
    struct kube_return listener;
    unsigned probes;
    uint64_t probed_ms[PROBES_MAX];
    bool all_fail; /* probes fail at once */
    bool late;     /* the time of let_pass() is over */
    unsigned returns;
};

/* --- the world --- */

static struct request *request_of(struct kube_turn *turn)
{
    return container_of(turn, struct request, turn);
}

static void went(struct kube_turn *turn)
{
    request_of(turn)->went++;
}

static void refused(struct kube_turn *turn, const struct error *error)
{
    struct request *request = request_of(turn);

    request->refusals++;
    request->code = error_code(error);
    (void)snprintf(request->message, sizeof(request->message), "%s", error_message(error));
}

static int probe(void *arg, struct error **err)
{
    struct world *world = arg;

    assert_true(world->probes < PROBES_MAX);
    world->probed_ms[world->probes++] = uv_now(&world->loop);
    return world->all_fail ? error_set(err, GRPC_STATUS_UNAVAILABLE, "the probe was refused") : 0;
}

static void returned(void *arg)
{
    struct world *world = arg;

    world->returns++;
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    const struct kube_gate_config config = {
        .loop = &world->loop, .server = "here", .probe = probe, .arg = world, .hurry = HURRY};

    assert_non_null(world);
    assert_int_equal(uv_loop_init(&world->loop), 0);
    world->gate = kube_gate_create(&config, NULL);
    assert_non_null(world->gate);
    world->listener = (struct kube_return){.back = returned, .arg = world};
    kube_gate_listen(world->gate, &world->listener);
    for (size_t i = 0; i < REQUESTS; i++) {
        struct kube_turn *turn = &world->requests[i].turn;

        *turn = (struct kube_turn){.go = went, .refused = refused};
        kube_turn_init(turn, world->gate, uv_now(&world->loop) + LONG_MS);
    }
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    kube_return_end(&world->listener);
    for (size_t i = 0; i < REQUESTS; i++)
        kube_turn_close(&world->requests[i].turn, NULL);
    kube_gate_destroy(world->gate);
    assert_int_equal(uv_run(&world->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    free(world);
    return 0;
}

static void turn_loop(struct world *world)
{
    for (unsigned i = 0; i < 3; i++)
        (void)uv_run(&world->loop, UV_RUN_NOWAIT);
}

static void time_is_over(uv_timer_t *timer)
{
    struct world *world = timer->data;

    world->late = true;
}

static void let_pass(struct world *world, uint64_t ms)
{
    uv_timer_t timer;

    world->late = false;
    assert_int_equal(uv_timer_init(&world->loop, &timer), 0);
    timer.data = world;
    uv_update_time(&world->loop);
    assert_int_equal(uv_timer_start(&timer, time_is_over, ms, 0), 0);
    while (!world->late)
        (void)uv_run(&world->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    turn_loop(world);
}

/* Requests first..last-1 get in line. */
static void line_up(struct world *world, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++)
        kube_turn_wait(&world->requests[i].turn, 0);
    turn_loop(world);
}

static unsigned sum(const struct world *world, bool refusals)
{
    unsigned n = 0;

    for (size_t i = 0; i < REQUESTS; i++)
        n += refusals ? world->requests[i].refusals : world->requests[i].went;
    return n;
}

static void unanswered(struct request *request, enum grpc_status code)
{
    cleanup_error struct error *error = NULL;

    (void)error_set(&error, code, "nobody is there");
    kube_turn_unanswered(&request->turn, error);
}

static void probe_fails(struct world *world)
{
    cleanup_error struct error *error = NULL;

    (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "connection refused");
    kube_gate_probed(world->gate, error);
}

/* A request gets no answer, and no probe does either, until the gate is shut. */
static void shut(struct world *world)
{
    world->all_fail = true;
    line_up(world, 0, 1);
    unanswered(&world->requests[0], GRPC_STATUS_UNAVAILABLE);
    let_pass(world, 2 * KUBE_GATE_PATIENCE_MS / HURRY);
    assert_false(kube_gate_is_open(world->gate));
    world->all_fail = false;
    line_up(world, 1, 2);
    assert_int_equal(world->requests[1].refusals, 1);
}

/* --- open --- */

static void so_many_go_and_the_others_follow_in_order(void **state)
{
    struct world *world = *state;

    line_up(world, 0, REQUESTS);
    assert_int_equal(sum(world, false), KUBE_IN_FLIGHT_MAX);
    kube_turn_answered(&world->requests[3].turn);
    turn_loop(world);
    assert_int_equal(world->requests[KUBE_IN_FLIGHT_MAX].went, 1);
    kube_turn_leave(&world->requests[KUBE_IN_FLIGHT_MAX + 1].turn); /* out of the line */
    kube_turn_leave(&world->requests[4].turn);                      /* cancelled */
    turn_loop(world);
    assert_int_equal(world->requests[KUBE_IN_FLIGHT_MAX + 1].went, 0);
    assert_int_equal(world->requests[KUBE_IN_FLIGHT_MAX + 2].went, 1);
    assert_int_equal(sum(world, false), KUBE_IN_FLIGHT_MAX + 2);
    assert_int_equal(world->probes, 0);
}

static void nothing_happens_inside_a_call(void **state)
{
    struct world *world = *state;

    kube_turn_wait(&world->requests[0].turn, 0);
    assert_int_equal(world->requests[0].went, 0);
    turn_loop(world);
    assert_int_equal(world->requests[0].went, 1);
}

static void who_pauses_gives_his_place_to_others(void **state)
{
    struct world *world = *state;

    line_up(world, 0, KUBE_IN_FLIGHT_MAX + 1);
    kube_turn_wait(&world->requests[0].turn, 20);
    turn_loop(world);
    assert_int_equal(world->requests[KUBE_IN_FLIGHT_MAX].went, 1);
    kube_turn_answered(&world->requests[1].turn);
    let_pass(world, 40);
    assert_int_equal(world->requests[0].went, 2);
}

static void a_place_that_does_not_become_free_in_time_is_told(void **state)
{
    struct world *world = *state;
    struct request *late = &world->requests[KUBE_IN_FLIGHT_MAX];

    line_up(world, 0, KUBE_IN_FLIGHT_MAX);
    late->turn.deadline_ms = uv_now(&world->loop) + 20;
    line_up(world, KUBE_IN_FLIGHT_MAX, KUBE_IN_FLIGHT_MAX + 1);
    let_pass(world, 30);
    assert_int_equal(late->refusals, 1);
    assert_int_equal(late->code, GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_string_equal(late->message, "16 other requests did not come to an end in time");
}

/* --- in doubt --- */

static void a_failure_is_probed_at_once_and_the_line_waits_for_the_outcome(void **state)
{
    struct world *world = *state;

    line_up(world, 0, 2);
    unanswered(&world->requests[0], GRPC_STATUS_UNAVAILABLE);
    unanswered(&world->requests[1], GRPC_STATUS_UNAVAILABLE);
    assert_int_equal(world->probes, 1);
    assert_false(kube_gate_is_open(world->gate));
    line_up(world, 2, 4);
    assert_int_equal(sum(world, false), 2);
    kube_gate_probed(world->gate, NULL);
    turn_loop(world);
    assert_int_equal(sum(world, false), 4);
    assert_true(kube_gate_is_open(world->gate));
    assert_int_equal(world->returns, 0); /* nobody was refused */
}

static void an_answer_to_a_request_counts_as_well(void **state)
{
    struct world *world = *state;

    line_up(world, 0, 2);
    unanswered(&world->requests[0], GRPC_STATUS_UNAVAILABLE);
    kube_turn_answered(&world->requests[1].turn);
    assert_true(kube_gate_is_open(world->gate));
    probe_fails(world); /* that of before */
    assert_true(kube_gate_is_open(world->gate));
    line_up(world, 2, 3);
    assert_int_equal(world->requests[2].went, 1);
}

static void a_silence_is_probed_and_a_server_that_is_only_slow_is_waited_for(void **state)
{
    struct world *world = *state;

    line_up(world, 0, 1);
    let_pass(world, KUBE_GATE_SILENCE_MS / HURRY / 2);
    assert_int_equal(world->probes, 0);
    let_pass(world, KUBE_GATE_SILENCE_MS / HURRY);
    assert_int_equal(world->probes, 1);
    kube_gate_probed(world->gate, NULL);
    let_pass(world, 2 * KUBE_GATE_SILENCE_MS / HURRY);
    assert_int_equal(world->probes, 2); /* it is still silent */
    kube_gate_probed(world->gate, NULL);
    assert_int_equal(sum(world, true), 0);
    kube_turn_answered(&world->requests[0].turn);
    let_pass(world, 2 * KUBE_GATE_SILENCE_MS / HURRY);
    assert_int_equal(world->probes, 2); /* nobody waits for an answer */
}

static void timeouts_shorter_than_a_silence_are_noticed(void **state)
{
    struct world *world = *state;

    line_up(world, 0, 1);
    let_pass(world, KUBE_GATE_PATIENCE_MS / HURRY);
    unanswered(&world->requests[0], GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(world->probes, 1);
    probe_fails(world); /* the silence has been long enough */
    line_up(world, 1, 2);
    assert_int_equal(world->requests[1].code, GRPC_STATUS_UNAVAILABLE);
}

/* --- shut --- */

static void a_server_that_is_away_refuses_everybody_at_once(void **state)
{
    struct world *world = *state;
    struct request *pausing = &world->requests[REQUESTS - 1];

    world->all_fail = true;
    line_up(world, 0, REQUESTS - 1);
    kube_turn_wait(&pausing->turn, LONG_MS / 2);
    unanswered(&world->requests[0], GRPC_STATUS_UNAVAILABLE);
    line_up(world, 0, 1); /* it tries again */
    assert_int_equal(sum(world, true), 0);
    let_pass(world, 2 * KUBE_GATE_PATIENCE_MS / HURRY);
    assert_int_equal(sum(world, false), KUBE_IN_FLIGHT_MAX); /* no request has gone since */
    assert_int_equal(sum(world, true), REQUESTS);
    for (size_t i = 0; i < REQUESTS; i++) {
        assert_int_equal(world->requests[i].refusals, 1);
        assert_int_equal(world->requests[i].code, GRPC_STATUS_UNAVAILABLE);
        assert_non_null(strstr(world->requests[i].message, "the API server has not answered for "));
        assert_non_null(strstr(world->requests[i].message, ": the probe was refused"));
    }
    line_up(world, 0, REQUESTS); /* and whoever comes */
    assert_int_equal(sum(world, true), 2 * REQUESTS);
    kube_turn_wait(&pausing->turn, LONG_MS / 2); /* a pause is of no use */
    turn_loop(world);
    assert_int_equal(pausing->refusals, 3);
    assert_int_equal(sum(world, false), KUBE_IN_FLIGHT_MAX);
}

static void probes_go_on_with_growing_pauses(void **state)
{
    struct world *world = *state;
    uint64_t pause = KUBE_GATE_PROBE_FIRST_MS / HURRY;

    world->all_fail = true;
    line_up(world, 0, 1);
    unanswered(&world->requests[0], GRPC_STATUS_UNAVAILABLE);
    while (world->probes < 8)
        (void)uv_run(&world->loop, UV_RUN_ONCE);
    for (size_t i = 1; i < 8; i++) {
        assert_true(world->probed_ms[i] - world->probed_ms[i - 1] >= pause);
        pause = 2 * pause < KUBE_GATE_PROBE_CAP_MS / HURRY ? 2 * pause : KUBE_GATE_PROBE_CAP_MS / HURRY;
    }
    assert_int_equal(pause, KUBE_GATE_PROBE_CAP_MS / HURRY);
}

static void one_probe_at_a_time(void **state)
{
    struct world *world = *state;

    line_up(world, 0, 2);
    unanswered(&world->requests[0], GRPC_STATUS_UNAVAILABLE);
    unanswered(&world->requests[1], GRPC_STATUS_UNAVAILABLE);
    let_pass(world, 2 * KUBE_GATE_PROBE_CAP_MS / HURRY);
    assert_int_equal(world->probes, 1);
}

static void its_return_opens_the_gate_and_is_told(void **state)
{
    struct world *world = *state;
    unsigned before;

    shut(world);
    before = world->probes;
    while (world->probes == before)
        (void)uv_run(&world->loop, UV_RUN_ONCE);
    assert_int_equal(world->returns, 0);
    kube_gate_probed(world->gate, NULL);
    assert_int_equal(world->returns, 1);
    assert_true(kube_gate_is_open(world->gate));
    line_up(world, 2, 4);
    assert_int_equal(world->requests[2].went + world->requests[3].went, 2);
}

/* --- pauses that are asked for --- */

static void a_pause_is_kept_by_all(void **state)
{
    struct world *world = *state;
    uint64_t begun = uv_now(&world->loop);

    line_up(world, 0, 2);
    kube_turn_answered(&world->requests[0].turn);
    kube_turn_answered(&world->requests[1].turn);
    kube_gate_pause(world->gate, 1000);
    kube_turn_wait(&world->requests[0].turn, 1000); /* who was asked */
    line_up(world, 2, 6);
    let_pass(world, 100);
    assert_int_equal(sum(world, false), 2);
    while (sum(world, false) < 7)
        (void)uv_run(&world->loop, UV_RUN_ONCE);
    assert_true(uv_now(&world->loop) - begun >= 1000);
    assert_int_equal(world->probes, 0);
    assert_true(kube_gate_is_open(world->gate));
}

static void who_has_no_time_for_a_pause_is_refused_at_once(void **state)
{
    struct world *world = *state;

    line_up(world, 0, KUBE_IN_FLIGHT_MAX);
    world->requests[20].turn.deadline_ms = uv_now(&world->loop) + 5000;
    world->requests[21].turn.deadline_ms = uv_now(&world->loop) + 5000;
    line_up(world, 20, 21); /* in line before the pause, and after it */
    kube_gate_pause(world->gate, 10 * 1000);
    line_up(world, 21, 23);
    for (size_t i = 20; i < 22; i++) {
        assert_int_equal(world->requests[i].refusals, 1);
        assert_int_equal(world->requests[i].code, GRPC_STATUS_UNAVAILABLE);
        assert_non_null(strstr(world->requests[i].message, "the API server wants no requests for "));
    }
    assert_int_equal(world->requests[22].refusals, 0);
}

static void one_answer_does_not_stop_a_node_for_long(void **state)
{
    struct world *world = *state;

    kube_gate_pause(world->gate, 24 * 3600 * 1000);
    world->requests[0].turn.deadline_ms =
        uv_now(&world->loop) + KUBE_GATE_PAUSE_MAX_MS + KUBE_GATE_PAUSE_MAX_MS / 4 + 1000;
    world->requests[1].turn.deadline_ms = uv_now(&world->loop) + KUBE_GATE_PAUSE_MAX_MS;
    line_up(world, 0, 2);
    assert_int_equal(world->requests[0].refusals, 0);
    assert_int_equal(world->requests[1].refusals, 1);
}

static void a_shorter_pause_does_not_end_a_longer_one(void **state)
{
    struct world *world = *state;

    kube_gate_pause(world->gate, 60);
    kube_gate_pause(world->gate, 1);
    kube_gate_pause(world->gate, 0);
    line_up(world, 0, 1);
    let_pass(world, 30);
    assert_int_equal(world->requests[0].went, 0);
    let_pass(world, 60);
    assert_int_equal(world->requests[0].went, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(so_many_go_and_the_others_follow_in_order),
        TEST(nothing_happens_inside_a_call),
        TEST(who_pauses_gives_his_place_to_others),
        TEST(a_place_that_does_not_become_free_in_time_is_told),
        TEST(a_failure_is_probed_at_once_and_the_line_waits_for_the_outcome),
        TEST(an_answer_to_a_request_counts_as_well),
        TEST(a_silence_is_probed_and_a_server_that_is_only_slow_is_waited_for),
        TEST(timeouts_shorter_than_a_silence_are_noticed),
        TEST(a_server_that_is_away_refuses_everybody_at_once),
        TEST(probes_go_on_with_growing_pauses),
        TEST(one_probe_at_a_time),
        TEST(its_return_opens_the_gate_and_is_told),
        TEST(a_pause_is_kept_by_all),
        TEST(who_has_no_time_for_a_pause_is_refused_at_once),
        TEST(one_answer_does_not_stop_a_node_for_long),
        TEST(a_shorter_pause_does_not_end_a_longer_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
