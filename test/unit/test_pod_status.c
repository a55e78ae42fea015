/*
 * test_pod_status.c - the observer that writes status objects, against an API server that responds by script: which
 * requests are sent and when none is, and which calls wait.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/status/pod_status.h"
#include "driver/status/pod_status_object.h"
#include "test/unit/kube_world.h"

#define TARGET "/pods/uid-1/volumes/kubernetes.io~csi/v/mount"

struct world {
    struct kube_world base;
    struct pod_status *status;
    struct volume_observer observer;

    /* of the next record */
    const char *pod, *uid, *target, *version, *failure;
    bool changed;

    unsigned callbacks;
    enum grpc_status code;
    char message[512];
    bool idle;
};

static void make_status(struct world *world, uint64_t recheck_ms)
{
    world->status = pod_status_create(&(struct pod_status_config){.loop = &world->base.loop,
                                                                  .kube = world->base.kube,
                                                                  .node = "node-1",
                                                                  .retry_first_ms = 1,
                                                                  .recheck_ms = recheck_ms},
                                      NULL);
    assert_non_null(world->status);
    world->observer = pod_status_observer(world->status);
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    *state = world;
    kube_world_open(&world->base);
    make_status(world, /* recheck_ms= */ 0);
    world->pod = "web-0";
    world->uid = "uid-1";
    world->target = TARGET;
    world->version = "v1";
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    pod_status_destroy(world->status);
    kube_world_close(&world->base);
    free(world);
    return 0;
}

static void done(const struct error *error, void *arg)
{
    struct world *world = arg;

    world->callbacks++;
    world->code = error_code(error);
    (void)snprintf(world->message, sizeof(world->message), "%s", error_message(error));
}

static struct observer_call *start(struct world *world, enum volume_event_type type, uint64_t timeout_ms)
{
    cleanup_string_map struct string_map versions = {0};
    cleanup_error struct error *failure = NULL;
    struct volume_event event = {.type = type,
                                 .pod_name = world->pod,
                                 .pod_namespace = "shop",
                                 .pod_uid = world->uid,
                                 .target_path = world->target,
                                 .class_name = "db",
                                 .versions = &versions,
                                 .changed = world->changed,
                                 .checked_unix = 1767323045};
    struct observer_call *call;

    assert_int_equal(string_map_set(&versions, "secret", world->version, NULL), 0);
    if (type == VOLUME_EVENT_FAILED) {
        (void)error_set(&failure, GRPC_STATUS_UNAVAILABLE, "%s", world->failure);
        event.failure = failure;
    }
    world->callbacks = 0;
    call = world->observer.start(world->observer.state, &event, timeout_ms, done, world, NULL);
    assert_non_null(call);
    assert_int_equal(world->callbacks, 0); /* never from inside */
    return call;
}

static void run_until_done(struct world *world)
{
    while (world->callbacks == 0)
        assert_int_not_equal(uv_run(&world->base.loop, UV_RUN_ONCE), 0);
    assert_int_equal(world->callbacks, 1);
}

static void on_idle(void *arg)
{
    ((struct world *)arg)->idle = true;
}

/* Until the whole script has been used up and nothing is in flight; one request more fails the test. */
static void run_script(struct world *world)
{
    while (world->base.api.n_requests < world->base.api.n_script)
        assert_int_not_equal(uv_run(&world->base.loop, UV_RUN_ONCE), 0);
    world->idle = false;
    pod_status_drain(world->status, 10000, on_idle, world);
    while (!world->idle)
        assert_int_not_equal(uv_run(&world->base.loop, UV_RUN_ONCE), 0);
}

static void observe(struct world *world, enum volume_event_type type)
{
    (void)start(world, type, 10000);
    run_until_done(world);
    assert_int_equal(world->code, GRPC_STATUS_OK);
    run_script(world);
}

#define OWNED(rv, pod, uid, more)                                                                            \
    "{\"metadata\":{\"name\":\"web-0-shop-db\",\"namespace\":\"shop\",\"resourceVersion\":\"" rv             \
    "\",\"labels\":{\"internal.secrets-store.csi.k8s.io/node-name\":\"node-1\"},\"ownerReferences\":[{"      \
    "\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"" pod "\",\"uid\":\"" uid "\"}]},\"status\":{"        \
    "\"podName\":\"" pod "\",\"secretProviderClassName\":\"db\",\"mounted\":true,\"targetPath\":\"" TARGET   \
    "\",\"objects\":[{\"id\":\"secret\",\"version\":\"v1\"}]" more "}}"
#define THING(rv)  OWNED(rv, "web-0", "uid-1", "")
#define EXISTS     ANSWER(409, "", STATUS("AlreadyExists", "exists"))
#define CONFLICT   ANSWER(409, "", STATUS("Conflict", "changed meanwhile"))
#define COLLECTION "/apis/secrets-store.csi.x-k8s.io/v1/namespaces/shop/secretproviderclasspodstatuses"
#define POST_LINE  "POST " COLLECTION " HTTP/1.1\r\n"
#define LINE(verb) verb " " COLLECTION "/web-0-shop-db HTTP/1.1\r\n"

/* --- what is written --- */

static void a_first_mount_waits_for_one_post(void **state)
{
    struct world *world = *state;

    SCRIPT(&world->base.api, ANSWER(201, "", THING("1")));
    (void)start(world, VOLUME_EVENT_MOUNTED, 10000);
    run_until_done(world);
    assert_int_equal(world->code, GRPC_STATUS_OK);
    assert_int_equal(world->base.api.n_requests, 1); /* before the response */
    assert_sent(&world->base.api, 0, POST_LINE);
    assert_sent(&world->base.api, 0, "\"name\":\"web-0-shop-db\"");
    assert_sent(&world->base.api, 0, "\"uid\":\"uid-1\"");
}

static void a_check_without_a_change_sends_nothing(void **state)
{
    struct world *world = *state;

    SCRIPT(&world->base.api, ANSWER(201, "", THING("1")));
    observe(world, VOLUME_EVENT_MOUNTED);
    for (unsigned i = 0; i < 100; i++)
        observe(world, VOLUME_EVENT_CHECKED);
}

static void a_change_is_one_patch_for_the_version_that_is_remembered(void **state)
{
    struct world *world = *state;

    SCRIPT(&world->base.api, ANSWER(201, "", THING("1")), ANSWER(200, "", THING("2")),
           ANSWER(200, "", THING("3")));
    (void)start(world, VOLUME_EVENT_MOUNTED, 10000);
    run_until_done(world);
    world->version = "v2";
    (void)start(world, VOLUME_EVENT_CHECKED, 10000);
    run_until_done(world);
    while (world->base.api.n_requests < 2)
        assert_int_not_equal(uv_run(&world->base.loop, UV_RUN_ONCE), 0);
    world->changed = true; /* other bytes, same version */
    observe(world, VOLUME_EVENT_CHECKED);
    assert_sent(&world->base.api, 1, LINE("PATCH"));
    assert_sent(&world->base.api, 1, "\"resourceVersion\":\"1\"");
    assert_sent(&world->base.api, 1, "\"version\":\"v2\"");
    assert_sent(&world->base.api, 2, "\"resourceVersion\":\"2\"");
    assert_sent(&world->base.api, 2, "\"lastRotatedTime\":\"20");
}

static void after_a_restart_a_check_is_one_get(void **state)
{
    struct world *world = *state;

    SCRIPT(&world->base.api, ANSWER(200, "", THING("7")));
    observe(world, VOLUME_EVENT_CHECKED);
    observe(world, VOLUME_EVENT_CHECKED);
    assert_sent(&world->base.api, 0, LINE("GET"));
    SCRIPT(&world->base.api, ANSWER(200, "", THING("8")));
    world->version = "v2";
    observe(world, VOLUME_EVENT_CHECKED);
    assert_sent(&world->base.api, 0, "\"resourceVersion\":\"7\"");
}

/* The kubelet asks again for a volume of an earlier process, and no check is due: its object is read, once. */
static void an_object_that_is_missing_after_a_restart_is_created(void **state)
{
    struct world *world = *state;
    cleanup_string_map struct string_map versions = {0};
    const struct volume_event event = {.type = VOLUME_EVENT_CHECKED,
                                       .pod_name = "web-0",
                                       .pod_namespace = "shop",
                                       .pod_uid = "uid-1",
                                       .target_path = TARGET,
                                       .class_name = "db",
                                       .versions = &versions};

    SCRIPT(&world->base.api, ANSWER(404, "", STATUS("NotFound", "not found")), ANSWER(201, "", THING("1")));
    assert_int_equal(string_map_set(&versions, "secret", "v1", NULL), 0);
    world->observer.on_unchanged(world->observer.state, &event);
    run_script(world);
    assert_sent(&world->base.api, 1, POST_LINE);
    for (unsigned i = 0; i < 10; i++)
        world->observer.on_unchanged(world->observer.state, &event);
    observe(world, VOLUME_EVENT_CHECKED);
}

#define GONE ANSWER(404, "", STATUS("NotFound", "not found"))

/* Somebody has found it missing. The version that is remembered is that of an object that is gone. */
static void an_object_to_recheck_is_read_with_the_next_call(void **state)
{
    struct world *world = *state;

    SCRIPT(&world->base.api, ANSWER(201, "", THING("1")));
    observe(world, VOLUME_EVENT_MOUNTED);
    pod_status_recheck(world->status, "/pods/another");
    observe(world, VOLUME_EVENT_CHECKED);
    pod_status_recheck(world->status, TARGET);
    SCRIPT(&world->base.api, GONE, ANSWER(201, "", THING("8")));
    observe(world, VOLUME_EVENT_CHECKED);
    assert_sent(&world->base.api, 0, LINE("GET"));
    assert_sent(&world->base.api, 1, POST_LINE);
    observe(world, VOLUME_EVENT_CHECKED);
    pod_status_recheck(world->status, TARGET);
    SCRIPT(&world->base.api, ANSWER(200, "", THING("8"))); /* a false alarm */
    observe(world, VOLUME_EVENT_CHECKED);
    observe(world, VOLUME_EVENT_CHECKED);
}

/* Nobody misses it: a deleted object comes back all the same, without a change and without rotation. */
static void what_is_remembered_is_checked_after_a_while(void **state)
{
    struct world *world = *state;
    cleanup_string_map struct string_map versions = {0};
    const struct volume_event event = {.type = VOLUME_EVENT_CHECKED,
                                       .pod_name = "web-0",
                                       .pod_namespace = "shop",
                                       .pod_uid = "uid-1",
                                       .target_path = TARGET,
                                       .class_name = "db",
                                       .versions = &versions};

    uint64_t then;

    pod_status_destroy(world->status);
    make_status(world, /* recheck_ms= */ 1);
    assert_int_equal(string_map_set(&versions, "secret", "v1", NULL), 0);
    SCRIPT(&world->base.api, ANSWER(201, "", THING("1")));
    observe(world, VOLUME_EVENT_MOUNTED);
    then = uv_now(&world->base.loop);
    while (uv_now(&world->base.loop) <= then)
        assert_int_not_equal(uv_run(&world->base.loop, UV_RUN_ONCE), 0);
    SCRIPT(&world->base.api, GONE, ANSWER(201, "", THING("8")));
    world->observer.on_unchanged(world->observer.state, &event);
    world->observer.on_unchanged(world->observer.state, &event); /* is being read */
    run_script(world);
    assert_sent(&world->base.api, 0, LINE("GET"));
    assert_sent(&world->base.api, 1, POST_LINE);
}

static void a_failure_is_written_when_it_begins_and_when_it_ends(void **state)
{
    struct world *world = *state;

    SCRIPT(&world->base.api, ANSWER(201, "", THING("1")));
    observe(world, VOLUME_EVENT_MOUNTED);
    SCRIPT(&world->base.api,
           ANSWER(200, "", OWNED("2", "web-0", "uid-1", ",\"lastError\":\"the vault is gone\"")));
    world->failure = "the vault is gone";
    observe(world, VOLUME_EVENT_FAILED);
    assert_sent(&world->base.api, 0, "\"lastError\":\"the vault is gone\"");
    observe(world, VOLUME_EVENT_FAILED);
    world->failure = "the vault is gone, request 123"; /* a new text is not worth a write yet */
    observe(world, VOLUME_EVENT_FAILED);
    SCRIPT(&world->base.api, ANSWER(200, "", THING("3")));
    observe(world, VOLUME_EVENT_CHECKED);
    assert_sent(&world->base.api, 0, "\"lastError\":null");
    assert_sent(&world->base.api, 0, "\"resourceVersion\":\"2\"");
}

/* The API server prunes fields its resource definition does not have. */
static void fields_that_are_dropped_are_not_written_again(void **state)
{
    struct world *world = *state;

    SCRIPT(&world->base.api, ANSWER(201, "", THING("1")), ANSWER(200, "", THING("1")),
           ANSWER(200, "", THING("1")));
    (void)start(world, VOLUME_EVENT_MOUNTED, 10000);
    run_until_done(world);
    world->failure = "the vault is gone";
    (void)start(world, VOLUME_EVENT_FAILED, 10000);
    run_until_done(world);
    while (world->base.api.n_requests < 2)
        assert_int_not_equal(uv_run(&world->base.loop, UV_RUN_ONCE), 0);
    observe(world, VOLUME_EVENT_CHECKED);
    for (unsigned i = 0; i < 5; i++)
        observe(world, VOLUME_EVENT_CHECKED);
}

/* --- other writers --- */

static void a_recreated_pod_takes_over_its_predecessors_object(void **state)
{
    struct world *world = *state;

    SCRIPT(&world->base.api, EXISTS, ANSWER(200, "", OWNED("5", "web-0", "uid-0", "")),
           ANSWER(200, "", THING("6")));
    observe(world, VOLUME_EVENT_MOUNTED);
    assert_sent(&world->base.api, 1, LINE("GET"));
    assert_sent(&world->base.api, 2, "\"uid\":\"uid-1\"");
    assert_sent(&world->base.api, 2, "\"resourceVersion\":\"5\"");
}

static void an_object_that_was_taken_over_is_not_taken_back(void **state)
{
    struct world *world = *state;

    SCRIPT(&world->base.api, ANSWER(201, "", THING("1")));
    observe(world, VOLUME_EVENT_MOUNTED);
    SCRIPT(&world->base.api, CONFLICT, ANSWER(200, "", OWNED("9", "web-0", "uid-2", "")));
    world->version = "v2";
    observe(world, VOLUME_EVENT_CHECKED);
    observe(world, VOLUME_EVENT_CHECKED);
    SCRIPT(&world->base.api, ANSWER(200, "", OWNED("9", "web-0", "uid-2", "")));
    world->version = "v3";
    observe(world, VOLUME_EVENT_CHECKED);
    observe(world, VOLUME_EVENT_CHECKED);
}

static void after_a_restart_a_check_waits_until_the_predecessors_object_is_gone(void **state)
{
    struct world *world = *state;

    SCRIPT(&world->base.api, ANSWER(200, "", OWNED("5", "web-0", "uid-0", "")),
           ANSWER(404, "", STATUS("NotFound", "not found")), ANSWER(201, "", THING("6")));
    observe(world, VOLUME_EVENT_CHECKED);
    assert_sent(&world->base.api, 2, POST_LINE);
}

static void a_name_of_another_pod_is_left_to_it(void **state)
{
    struct world *world = *state;
    cleanup_free char *unique = pod_status_name("web-0", "shop", "db", POD_STATUS_NAME_UNIQUE, NULL);
    char line[300];

    SCRIPT(&world->base.api, EXISTS, ANSWER(200, "", OWNED("5", "web", "uid-9", "")),
           ANSWER(201, "", THING("6")), ANSWER(200, "", THING("7")));
    (void)start(world, VOLUME_EVENT_MOUNTED, 10000);
    run_until_done(world);
    assert_int_equal(world->code, GRPC_STATUS_OK);
    world->version = "v2";
    observe(world, VOLUME_EVENT_CHECKED);
    (void)snprintf(line, sizeof(line), "\"name\":\"%s\"", unique);
    assert_sent(&world->base.api, 2, line);
    (void)snprintf(line, sizeof(line), "PATCH " COLLECTION "/%s HTTP/1.1\r\n", unique);
    assert_sent(&world->base.api, 3, line);
}

static void two_volumes_of_one_pod_come_to_rest(void **state)
{
    struct world *world = *state;

    /* the first, by path, has written; then the second: it finds nothing to do */
    SCRIPT(&world->base.api, ANSWER(201, "", THING("1")), EXISTS, ANSWER(200, "", THING("1")));
    (void)start(world, VOLUME_EVENT_MOUNTED, 10000);
    run_until_done(world);
    world->target = "/pods/uid-1/volumes/kubernetes.io~csi/w/mount";
    observe(world, VOLUME_EVENT_MOUNTED);
    for (unsigned i = 0; i < 10; i++) {
        world->target = i % 2 == 0 ? TARGET : "/pods/uid-1/volumes/kubernetes.io~csi/w/mount";
        observe(world, VOLUME_EVENT_CHECKED);
    }
    SCRIPT(&world->base.api, ANSWER(200, "", THING("2")));
    world->version = "v2";
    world->target = "/pods/uid-1/volumes/kubernetes.io~csi/w/mount";
    observe(world, VOLUME_EVENT_CHECKED);
    assert_null(strstr(world->base.api.requests[0], "targetPath"));
}

/* --- trouble --- */

static void a_failed_write_is_reported_and_retried(void **state)
{
    struct world *world = *state;

    SCRIPT(&world->base.api, ANSWER(403, "", STATUS("Forbidden", "not allowed")),
           ANSWER(403, "", STATUS("Forbidden", "not allowed")), ANSWER(201, "", THING("1")));
    (void)start(world, VOLUME_EVENT_MOUNTED, 10000);
    run_until_done(world);
    assert_int_equal(world->code, GRPC_STATUS_PERMISSION_DENIED);
    assert_string_equal(world->message, "not allowed");
    run_script(world);
    observe(world, VOLUME_EVENT_CHECKED); /* it is written by now */
}

static void a_silent_server_delays_a_mount_no_longer_than_its_timeout(void **state)
{
    struct world *world = *state;

    SCRIPT(&world->base.api, ANSWER(-1, "", ""));
    (void)start(world, VOLUME_EVENT_MOUNTED, 50);
    run_until_done(world);
    assert_int_equal(world->code, GRPC_STATUS_DEADLINE_EXCEEDED);
    (void)start(world, VOLUME_EVENT_CHECKED, 10000); /* does not wait at all */
    run_until_done(world);
    assert_int_equal(world->code, GRPC_STATUS_OK);
    world->observer.on_removed(world->observer.state, TARGET);
    world->idle = false;
    pod_status_drain(world->status, 10000, on_idle, world);
    while (!world->idle)
        assert_int_not_equal(uv_run(&world->base.loop, UV_RUN_ONCE), 0);
}

static void what_changes_during_a_write_is_written_after_it(void **state)
{
    struct world *world = *state;

    SCRIPT(&world->base.api, ANSWER(201, "", THING("1")), ANSWER(200, "", THING("2")));
    (void)start(world, VOLUME_EVENT_MOUNTED, 10000);
    while (world->base.api.n_requests < 1)
        assert_int_not_equal(uv_run(&world->base.loop, UV_RUN_ONCE), 0);
    world->version = "v2";
    (void)start(world, VOLUME_EVENT_CHECKED, 10000);
    world->version = "v3";
    (void)start(world, VOLUME_EVENT_CHECKED, 10000);
    run_script(world);
    assert_sent(&world->base.api, 1, "\"version\":\"v3\"");
    assert_int_equal(world->callbacks, 3);
}

static void a_removed_volume_is_not_written_any_more(void **state)
{
    struct world *world = *state;

    SCRIPT(&world->base.api, ANSWER(-1, "", ""));
    (void)start(world, VOLUME_EVENT_MOUNTED, 10000);
    while (world->base.api.n_requests < 1)
        assert_int_not_equal(uv_run(&world->base.loop, UV_RUN_ONCE), 0);
    world->observer.on_removed(world->observer.state, TARGET);
    run_until_done(world);
    assert_int_equal(world->code, GRPC_STATUS_ABORTED);
    world->observer.on_removed(world->observer.state, "/unknown");
}

static void a_cancelled_call_does_not_return_but_the_status_is_written(void **state)
{
    struct world *world = *state;
    struct observer_call *call;

    SCRIPT(&world->base.api, ANSWER(201, "", THING("1")));
    call = start(world, VOLUME_EVENT_MOUNTED, 10000);
    world->observer.cancel(world->observer.state, call);
    run_script(world);
    assert_int_equal(world->callbacks, 0);
    call = start(world, VOLUME_EVENT_CHECKED, 10000);
    world->observer.cancel(world->observer.state, call);
    observe(world, VOLUME_EVENT_CHECKED);
}

static void draining_ends_with_its_time(void **state)
{
    struct world *world = *state;

    SCRIPT(&world->base.api, ANSWER(-1, "", ""));
    (void)start(world, VOLUME_EVENT_CHECKED, 10000);
    run_until_done(world);
    while (world->base.api.n_requests < 1)
        assert_int_not_equal(uv_run(&world->base.loop, UV_RUN_ONCE), 0);
    pod_status_drain(world->status, 50, on_idle, world);
    assert_false(world->idle);
    while (!world->idle)
        assert_int_not_equal(uv_run(&world->base.loop, UV_RUN_ONCE), 0);
}

static void a_pod_without_a_name_cannot_be_written(void **state)
{
    struct world *world = *state;
    const struct volume_event event = {.type = VOLUME_EVENT_MOUNTED,
                                       .pod_name = "",
                                       .pod_namespace = "n",
                                       .pod_uid = "u",
                                       .target_path = "/t",
                                       .class_name = "c"};
    cleanup_error struct error *error = NULL;

    assert_null(world->observer.start(world->observer.state, &event, 1000, done, world, &error));
    assert_int_equal(error_code(error), GRPC_STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(error_message(error), "podInfoOnMount"));
}

static void a_status_is_required_for_secret_objects_only(void **state)
{
    struct world *world = *state;
    struct secret_provider_class class = {.n_secret_objects = 0};
    struct volume_event event = {.type = VOLUME_EVENT_MOUNTED, .class = &class};

    SCRIPT(&world->base.api, ANSWER(201, "", THING("1")));
    assert_false(world->observer.is_required(world->observer.state, &event));
    class.n_secret_objects = 1;
    assert_true(world->observer.is_required(world->observer.state, &event));
    assert_true(world->observer.wants_failures);
    (void)start(world, VOLUME_EVENT_MOUNTED, 10000);
    run_script(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_first_mount_waits_for_one_post),
        TEST(a_check_without_a_change_sends_nothing),
        TEST(a_change_is_one_patch_for_the_version_that_is_remembered),
        TEST(after_a_restart_a_check_is_one_get),
        TEST(an_object_that_is_missing_after_a_restart_is_created),
        TEST(an_object_to_recheck_is_read_with_the_next_call),
        TEST(what_is_remembered_is_checked_after_a_while),
        TEST(a_failure_is_written_when_it_begins_and_when_it_ends),
        TEST(fields_that_are_dropped_are_not_written_again),
        TEST(a_recreated_pod_takes_over_its_predecessors_object),
        TEST(an_object_that_was_taken_over_is_not_taken_back),
        TEST(after_a_restart_a_check_waits_until_the_predecessors_object_is_gone),
        TEST(a_name_of_another_pod_is_left_to_it),
        TEST(two_volumes_of_one_pod_come_to_rest),
        TEST(a_failed_write_is_reported_and_retried),
        TEST(a_silent_server_delays_a_mount_no_longer_than_its_timeout),
        TEST(what_changes_during_a_write_is_written_after_it),
        TEST(a_removed_volume_is_not_written_any_more),
        TEST(a_cancelled_call_does_not_return_but_the_status_is_written),
        TEST(draining_ends_with_its_time),
        TEST(a_pod_without_a_name_cannot_be_written),
        TEST(a_status_is_required_for_secret_objects_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
