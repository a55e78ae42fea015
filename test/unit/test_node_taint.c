/*
 * test_node_taint.c - the start-up taint when the API server goes and comes back, against one that answers by
 * script. What is read and written is in test/integration/test_taint.py. The times are those of kube_health.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/kubelet/node_taint.h"
#include "test/unit/kube_world.h"

enum { NEVER_MS = 3600 * 1000 };

struct world {
    struct kube_world base;
    struct node_taint *taint;
    struct kube_call *other; /* somebody else's request */
    bool other_refused;
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    *state = world;
    kube_world_open(&world->base);
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    node_taint_destroy(world->taint);
    kube_world_close(&world->base);
    free(world);
    return 0;
}

static void other_done(struct kube_response *response, const struct error *error, void *arg)
{
    struct world *world = arg;

    assert_non_null(error);
    world->other = NULL;
    world->other_refused = response->rejected;
}

/* The taint is to go, and the API server hangs up and does not answer probes, until it is given up. */
static void go_through_an_outage(struct world *world, uint64_t retry_first_ms)
{
    SCRIPT(&world->base.api, ANSWER(0, "", ""), ANSWER(0, "", ""));
    world->base.api.probe_status = -1;
    world->taint = node_taint_create(world->base.kube, "node-1", retry_first_ms, NULL, NULL);
    assert_non_null(world->taint);
    node_taint_remove(world->taint);
    world->other =
        kube_call_start(world->base.kube, &(struct kube_request){.method = "GET", .path = "/api/v1/pods"},
                        other_done, world, NULL);
    assert_non_null(world->other);
    while (world->other != NULL)
        assert_int_not_equal(uv_run(&world->base.loop, UV_RUN_ONCE), 0);
    assert_true(world->other_refused);
    world->base.api.probe_status = 0;
}

/* How long it takes until all of the script has been asked for. */
static uint64_t run_script(struct world *world)
{
    uint64_t start_ms = uv_now(&world->base.loop);

    while (world->base.api.n_requests < world->base.api.n_script &&
           uv_now(&world->base.loop) - start_ms < 60 * 1000)
        assert_int_not_equal(uv_run(&world->base.loop, UV_RUN_ONCE), 0);
    assert_int_equal(world->base.api.n_requests, world->base.api.n_script);
    return uv_now(&world->base.loop) - start_ms;
}

#define NODE                                                                                                 \
    "{\"metadata\":{\"name\":\"node-1\",\"resourceVersion\":\"7\"},\"spec\":{\"taints\":[{\"key\":\"a\"},"   \
    "{\"key\":\"" NODE_TAINT_KEY "\"}]}}"

static void the_return_of_the_api_server_is_not_slept_through(void **state)
{
    struct world *world = *state;

    go_through_an_outage(world, NEVER_MS);
    SCRIPT(&world->base.api, ANSWER(200, "", NODE), ANSWER(200, "", NODE));
    assert_true(run_script(world) < NEVER_MS);
    assert_sent(&world->base.api, 0, "GET /api/v1/nodes/node-1 HTTP/1.1\r\n");
    assert_sent(&world->base.api, 1, "PATCH /api/v1/nodes/node-1 HTTP/1.1\r\n");
    assert_sent(&world->base.api, 1, "\"taints\":[{\"key\":\"a\"}]");
}

/* One that has just started may answer that nobody has rights yet. */
static void trouble_after_the_return_does_not_bring_back_the_long_pauses(void **state)
{
    enum { FIRST_MS = 4000 };
    struct world *world = *state;

    go_through_an_outage(world, FIRST_MS); /* the pause after the next failure would be twice that */
    SCRIPT(&world->base.api, ANSWER(403, "", STATUS("Forbidden", "not yet")), ANSWER(200, "", NODE),
           ANSWER(200, "", NODE));
    assert_in_range(run_script(world), FIRST_MS, 2 * FIRST_MS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_return_of_the_api_server_is_not_slept_through),
        TEST(trouble_after_the_return_does_not_bring_back_the_long_pauses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
