/*
 * kube_fixture.h - for tests: a loop with a client of the Kubernetes API, whose server responds by script.
 *
 * Nothing sleeps for long: a heartbeat turns the loop each millisecond, so that a test which runs it once
 * comes back although a timer far away may be all that happens.
 */
#ifndef TEST_UNIT_KUBE_FIXTURE_H
#define TEST_UNIT_KUBE_FIXTURE_H

#include <signal.h>

#include "common/kube/kube_client.h"
#include "test/unit/scripted_api.h"

struct kube_fixture {
    uv_loop_t loop;
    uv_timer_t heartbeat;
    struct scripted_api api;
    struct http_client *http;
    struct kube_client *kube;
};

static void kube_fixture_beat(uv_timer_t *timer)
{
    (void)timer;
}

static void kube_fixture_open(struct kube_fixture *fixture)
{
    struct kube_rest_config config = {0};

    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    assert_int_equal(uv_timer_init(&fixture->loop, &fixture->heartbeat), 0);
    assert_int_equal(uv_timer_start(&fixture->heartbeat, kube_fixture_beat, 1, 1), 0);
    scripted_api_start(&fixture->api, &fixture->loop);
    fixture->http =
        http_client_create(&fixture->loop, &(struct http_client_config){.user_agent = "test"}, NULL);
    assert_true(asprintf(&config.server, "http://127.0.0.1:%d", fixture->api.port) > 0);
    config.ns = strdup("");
    fixture->kube = kube_client_create(&fixture->loop, fixture->http, &config, NULL, NULL);
    assert_non_null(fixture->kube);
}

/* The users of the client have been destroyed. The whole script must have been requested. */
static void kube_fixture_close(struct kube_fixture *fixture)
{
    kube_client_destroy(fixture->kube);
    http_client_destroy(fixture->http);
    scripted_api_stop(&fixture->api);
    uv_close((uv_handle_t *)&fixture->heartbeat, NULL);
    assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    assert_int_equal(fixture->api.n_requests, fixture->api.n_script);
}

#endif
