/*
 * test_node_taint.c - the start-up taint when the API server goes and comes back, against one that responds
 * by script. What is read and written is in test/integration/test_taint.py. The times are those of
 * kube_health.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/kubelet/node_taint.h"
#include "test/unit/kube_fixture.h"

enum { NEVER_MS = 3600 * 1000 };

struct fixture {
    struct kube_fixture base;
    struct node_taint *taint;
    struct kube_call *other; /* another request */
    bool other_refused;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    *state = fixture;
    kube_fixture_open(&fixture->base);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    node_taint_destroy(fixture->taint);
    kube_fixture_close(&fixture->base);
    free(fixture);
    return 0;
}

static void other_done(struct kube_response *response, const struct error *error, void *arg)
{
    struct fixture *fixture = arg;

    assert_non_null(error);
    fixture->other = NULL;
    fixture->other_refused = response->rejected;
}

/* The taint is to go, and the API server hangs up and does not respond to probes, until it is given up. */
static void go_through_an_outage(struct fixture *fixture, uint64_t retry_first_ms)
{
    SCRIPT(&fixture->base.api, RESPONSE(0, "", ""), RESPONSE(0, "", ""));
    fixture->base.api.probe_status = -1;
    fixture->taint = node_taint_create(fixture->base.kube, "node-1", retry_first_ms, NULL, NULL);
    assert_non_null(fixture->taint);
    node_taint_remove(fixture->taint);
    fixture->other =
        kube_call_start(fixture->base.kube, &(struct kube_request){.method = "GET", .path = "/api/v1/pods"},
                        other_done, fixture, NULL);
    assert_non_null(fixture->other);
    while (fixture->other != NULL)
        assert_int_not_equal(uv_run(&fixture->base.loop, UV_RUN_ONCE), 0);
    assert_true(fixture->other_refused);
    fixture->base.api.probe_status = 0;
}

/* How long it takes until all of the script has been asked for. */
static uint64_t run_script(struct fixture *fixture)
{
    uint64_t start_ms = uv_now(&fixture->base.loop);

    while (fixture->base.api.n_requests < fixture->base.api.n_script &&
           uv_now(&fixture->base.loop) - start_ms < 60 * 1000)
        assert_int_not_equal(uv_run(&fixture->base.loop, UV_RUN_ONCE), 0);
    assert_int_equal(fixture->base.api.n_requests, fixture->base.api.n_script);
    return uv_now(&fixture->base.loop) - start_ms;
}

#define NODE                                                                                                 \
    "{\"metadata\":{\"name\":\"node-1\",\"resourceVersion\":\"7\"},\"spec\":{\"taints\":[{\"key\":\"a\"},"   \
    "{\"key\":\"" NODE_TAINT_KEY "\"}]}}"

static void the_return_of_the_api_server_ends_the_pause(void **state)
{
    struct fixture *fixture = *state;

    go_through_an_outage(fixture, NEVER_MS);
    SCRIPT(&fixture->base.api, RESPONSE(200, "", NODE), RESPONSE(200, "", NODE));
    assert_true(run_script(fixture) < NEVER_MS);
    assert_sent(&fixture->base.api, 0, "GET /api/v1/nodes/node-1 HTTP/1.1\r\n");
    assert_sent(&fixture->base.api, 1, "PATCH /api/v1/nodes/node-1 HTTP/1.1\r\n");
    assert_sent(&fixture->base.api, 1, "\"taints\":[{\"key\":\"a\"}]");
}

/* One that has just started may respond that no account has rights yet. */
static void failures_after_the_return_do_not_bring_back_the_long_pauses(void **state)
{
    enum { FIRST_MS = 4000 };
    struct fixture *fixture = *state;

    go_through_an_outage(fixture, FIRST_MS); /* the pause after the next failure would be twice that */
    SCRIPT(&fixture->base.api, RESPONSE(403, "", STATUS("Forbidden", "not yet")), RESPONSE(200, "", NODE),
           RESPONSE(200, "", NODE));
    assert_in_range(run_script(fixture), FIRST_MS, 2 * FIRST_MS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_return_of_the_api_server_ends_the_pause),
        TEST(failures_after_the_return_do_not_bring_back_the_long_pauses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
