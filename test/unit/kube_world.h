/*
 * kube_world.h - for tests: a loop with a client of the Kubernetes API, whose server answers by script.
 *
 * Nothing sleeps for long: a heartbeat turns the loop each millisecond, so that a test which runs it once
 * comes back although a timer far away may be all that happens.
 */
#ifndef TEST_UNIT_KUBE_WORLD_H
#define TEST_UNIT_KUBE_WORLD_H

#include <signal.h>

#include "driver/kube/kube_client.h"
#include "test/unit/scripted_api.h"

struct kube_world {
    uv_loop_t loop;
    uv_timer_t heartbeat;
    struct scripted_api api;
    struct http_client *http;
    struct kube_client *kube;
};

static void kube_world_beat(uv_timer_t *timer)
{
    (void)timer;
}

static void kube_world_open(struct kube_world *world)
{
    struct kube_rest_config config = {0};

    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(uv_loop_init(&world->loop), 0);
    assert_int_equal(uv_timer_init(&world->loop, &world->heartbeat), 0);
    assert_int_equal(uv_timer_start(&world->heartbeat, kube_world_beat, 1, 1), 0);
    scripted_api_start(&world->api, &world->loop);
    world->http = http_client_create(&world->loop, &(struct http_client_config){.user_agent = "test"}, NULL);
    assert_true(asprintf(&config.server, "http://127.0.0.1:%d", world->api.port) > 0);
    config.ns = strdup("");
    world->kube = kube_client_create(&world->loop, world->http, &config, NULL, NULL);
    assert_non_null(world->kube);
}

/* Whoever uses the client has been destroyed. All of the script must have been asked for. */
static void kube_world_close(struct kube_world *world)
{
    kube_client_destroy(world->kube);
    http_client_destroy(world->http);
    scripted_api_stop(&world->api);
    uv_close((uv_handle_t *)&world->heartbeat, NULL);
    assert_int_equal(uv_run(&world->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&world->loop), 0);
    assert_int_equal(world->api.n_requests, world->api.n_script);
}

#endif
