/*
 * test_pod_status.c - the observer that writes status objects, against an API server that responds by script:
 * which requests are sent and when none is, and which calls wait.
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
#include "test/unit/kube_fixture.h"

#define TARGET "/pods/uid-1/volumes/kubernetes.io~csi/v/mount"

struct fixture {
    struct kube_fixture base;
    struct pod_status *status;
    struct volume_observer observer;

    /* of the next record */
    const char *pod, *uid, *target, *version, *failure;
    bool changed;
    struct secret_provider_class class; /* without secretObjects unless a test adds one */

    unsigned callbacks;
    enum grpc_status code;
    char message[512];
    bool idle;
};

static void make_status(struct fixture *fixture, uint64_t recheck_ms, uint64_t retry_first_ms)
{
    fixture->status = pod_status_create(&(struct pod_status_config){.loop = &fixture->base.loop,
                                                                    .kube = fixture->base.kube,
                                                                    .node = "node-1",
                                                                    .retry_first_ms = retry_first_ms,
                                                                    .recheck_ms = recheck_ms},
                                        NULL);
    assert_non_null(fixture->status);
    fixture->observer = pod_status_observer(fixture->status);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    *state = fixture;
    kube_fixture_open(&fixture->base);
    make_status(fixture, /* recheck_ms= */ 0, /* retry_first_ms= */ 1);
    fixture->pod = "web-0";
    fixture->uid = "uid-1";
    fixture->target = TARGET;
    fixture->version = "v1";
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    pod_status_destroy(fixture->status);
    kube_fixture_close(&fixture->base);
    free(fixture);
    return 0;
}

static void done(const struct error *error, void *arg)
{
    struct fixture *fixture = arg;

    fixture->callbacks++;
    fixture->code = error_code(error);
    (void)snprintf(fixture->message, sizeof(fixture->message), "%s", error_message(error));
}

static struct observer_call *start(struct fixture *fixture, enum volume_event_type type, uint64_t timeout_ms)
{
    cleanup_string_map struct string_map versions = {0};
    cleanup_error struct error *failure = NULL;
    struct volume_event event = {.type = type,
                                 .pod_name = fixture->pod,
                                 .pod_namespace = "shop",
                                 .pod_uid = fixture->uid,
                                 .target_path = fixture->target,
                                 .class_name = "db",
                                 .class = &fixture->class,
                                 .versions = &versions,
                                 .changed = fixture->changed,
                                 .checked_unix = 1767323045};
    struct observer_call *call;

    assert_int_equal(string_map_set(&versions, "secret", fixture->version, NULL), 0);
    if (type == VOLUME_EVENT_FAILED) {
        (void)error_set(&failure, GRPC_STATUS_UNAVAILABLE, "%s", fixture->failure);
        event.failure = failure;
    }
    fixture->callbacks = 0;
    call = fixture->observer.start(fixture->observer.state, &event, timeout_ms, done, fixture, NULL);
    assert_non_null(call);
    assert_int_equal(fixture->callbacks, 0); /* never from inside */
    return call;
}

static void run_until_done(struct fixture *fixture)
{
    while (fixture->callbacks == 0)
        assert_int_not_equal(uv_run(&fixture->base.loop, UV_RUN_ONCE), 0);
    assert_int_equal(fixture->callbacks, 1);
}

static void run_until_requests(struct fixture *fixture, size_t n)
{
    while (fixture->base.api.n_requests < n)
        assert_int_not_equal(uv_run(&fixture->base.loop, UV_RUN_ONCE), 0);
}

static void on_idle(void *arg)
{
    ((struct fixture *)arg)->idle = true;
}

static void drain(struct fixture *fixture)
{
    fixture->idle = false;
    pod_status_drain(fixture->status, 10000, on_idle, fixture);
    while (!fixture->idle)
        assert_int_not_equal(uv_run(&fixture->base.loop, UV_RUN_ONCE), 0);
}

/* Until the whole script has been used up and nothing is in flight; one request more fails the test. */
static void run_script(struct fixture *fixture)
{
    run_until_requests(fixture, fixture->base.api.n_script);
    drain(fixture);
}

/* Until the call returns. */
static void record(struct fixture *fixture, enum volume_event_type type)
{
    (void)start(fixture, type, 10000);
    run_until_done(fixture);
}

static void observe(struct fixture *fixture, enum volume_event_type type)
{
    record(fixture, type);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    run_script(fixture);
}

/* A call of the kubelet for the mounted volume while no check is due. */
static void republish(struct fixture *fixture)
{
    cleanup_string_map struct string_map versions = {0};
    const struct volume_event event = {.type = VOLUME_EVENT_CHECKED,
                                       .pod_name = "web-0",
                                       .pod_namespace = "shop",
                                       .pod_uid = "uid-1",
                                       .target_path = TARGET,
                                       .class_name = "db",
                                       .versions = &versions};

    assert_int_equal(string_map_set(&versions, "secret", "v1", NULL), 0);
    fixture->observer.on_unchanged(fixture->observer.state, &event);
}

#define OWNED(rv, pod, uid, more)                                                                            \
    "{\"metadata\":{\"name\":\"web-0-shop-db\",\"namespace\":\"shop\",\"resourceVersion\":\"" rv             \
    "\",\"labels\":{\"internal.secrets-store.csi.k8s.io/node-name\":\"node-1\"},\"ownerReferences\":[{"      \
    "\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"" pod "\",\"uid\":\"" uid "\"}]},\"status\":{"        \
    "\"podName\":\"" pod "\",\"secretProviderClassName\":\"db\",\"mounted\":true,\"targetPath\":\"" TARGET   \
    "\",\"objects\":[{\"id\":\"secret\",\"version\":\"v1\"}]" more "}}"
#define THING(rv)  OWNED(rv, "web-0", "uid-1", "")
#define EXISTS     RESPONSE(409, "", STATUS("AlreadyExists", "exists"))
#define CONFLICT   RESPONSE(409, "", STATUS("Conflict", "changed meanwhile"))
#define COLLECTION "/apis/secrets-store.csi.x-k8s.io/v1/namespaces/shop/secretproviderclasspodstatuses"
#define POST_LINE  "POST " COLLECTION " HTTP/1.1\r\n"
#define LINE(verb) verb " " COLLECTION "/web-0-shop-db HTTP/1.1\r\n"

/* --- what is written --- */

static void a_first_mount_with_secret_objects_waits_for_one_post(void **state)
{
    struct fixture *fixture = *state;

    fixture->class.n_secret_objects = 1;
    SCRIPT(&fixture->base.api, RESPONSE(201, "", THING("1")));
    record(fixture, VOLUME_EVENT_MOUNTED);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    assert_int_equal(fixture->base.api.n_requests, 1); /* before the response */
    assert_sent(&fixture->base.api, 0, POST_LINE);
    assert_sent(&fixture->base.api, 0, "\"name\":\"web-0-shop-db\"");
    assert_sent(&fixture->base.api, 0, "\"uid\":\"uid-1\"");
}

static void a_first_mount_without_them_does_not_wait(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, RESPONSE(-1, "", ""));
    record(fixture, VOLUME_EVENT_MOUNTED);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    run_until_requests(fixture, 1);
    assert_sent(&fixture->base.api, 0, POST_LINE);
    fixture->observer.on_removed(fixture->observer.state, TARGET);
    assert_int_equal(fixture->callbacks, 1);
}

static void a_check_without_a_change_sends_nothing(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, RESPONSE(201, "", THING("1")));
    observe(fixture, VOLUME_EVENT_MOUNTED);
    for (unsigned i = 0; i < 100; i++)
        observe(fixture, VOLUME_EVENT_CHECKED);
}

static void a_change_is_one_patch_for_the_version_that_is_remembered(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, RESPONSE(201, "", THING("1")), RESPONSE(200, "", THING("2")),
           RESPONSE(200, "", THING("3")));
    record(fixture, VOLUME_EVENT_MOUNTED);
    fixture->version = "v2";
    record(fixture, VOLUME_EVENT_CHECKED);
    run_until_requests(fixture, 2);
    fixture->changed = true; /* other bytes, same version */
    observe(fixture, VOLUME_EVENT_CHECKED);
    assert_sent(&fixture->base.api, 1, LINE("PATCH"));
    assert_sent(&fixture->base.api, 1, "\"resourceVersion\":\"1\"");
    assert_sent(&fixture->base.api, 1, "\"version\":\"v2\"");
    assert_sent(&fixture->base.api, 2, "\"resourceVersion\":\"2\"");
    assert_sent(&fixture->base.api, 2, "\"lastRotatedTime\":\"20");
}

static void after_a_restart_a_check_is_one_get(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, RESPONSE(200, "", THING("7")));
    observe(fixture, VOLUME_EVENT_CHECKED);
    observe(fixture, VOLUME_EVENT_CHECKED);
    assert_sent(&fixture->base.api, 0, LINE("GET"));
    SCRIPT(&fixture->base.api, RESPONSE(200, "", THING("8")));
    fixture->version = "v2";
    observe(fixture, VOLUME_EVENT_CHECKED);
    assert_sent(&fixture->base.api, 0, "\"resourceVersion\":\"7\"");
}

/* The kubelet calls for a volume of an earlier process, and no check is due: its object is read, once. */
static void an_object_that_is_missing_after_a_restart_is_created(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, RESPONSE(404, "", STATUS("NotFound", "not found")),
           RESPONSE(201, "", THING("1")));
    republish(fixture);
    run_script(fixture);
    assert_sent(&fixture->base.api, 1, POST_LINE);
    for (unsigned i = 0; i < 10; i++)
        republish(fixture);
    observe(fixture, VOLUME_EVENT_CHECKED);
}

#define GONE RESPONSE(404, "", STATUS("NotFound", "not found"))

/* Somebody has found it missing. The version that is remembered is that of an object that is gone. */
static void an_object_to_recheck_is_read_at_once(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, RESPONSE(201, "", THING("1")));
    observe(fixture, VOLUME_EVENT_MOUNTED);
    pod_status_recheck(fixture->status, "/pods/another");
    observe(fixture, VOLUME_EVENT_CHECKED);
    SCRIPT(&fixture->base.api, GONE, RESPONSE(201, "", THING("8")));
    pod_status_recheck(fixture->status, TARGET);
    run_script(fixture);
    assert_sent(&fixture->base.api, 0, LINE("GET"));
    assert_sent(&fixture->base.api, 1, POST_LINE);
    observe(fixture, VOLUME_EVENT_CHECKED);
    SCRIPT(&fixture->base.api, RESPONSE(200, "", THING("8"))); /* a false alarm */
    pod_status_recheck(fixture->status, TARGET);
    run_script(fixture);
    observe(fixture, VOLUME_EVENT_CHECKED);
}

/* Nobody misses it: a deleted object comes back all the same, without a change and without rotation. */
static void what_is_remembered_is_checked_after_a_while(void **state)
{
    struct fixture *fixture = *state;
    uint64_t then;

    pod_status_destroy(fixture->status);
    make_status(fixture, /* recheck_ms= */ 1, /* retry_first_ms= */ 1);
    SCRIPT(&fixture->base.api, RESPONSE(201, "", THING("1")));
    observe(fixture, VOLUME_EVENT_MOUNTED);
    then = uv_now(&fixture->base.loop);
    while (uv_now(&fixture->base.loop) <= then)
        assert_int_not_equal(uv_run(&fixture->base.loop, UV_RUN_ONCE), 0);
    SCRIPT(&fixture->base.api, GONE, RESPONSE(201, "", THING("8")));
    republish(fixture);
    republish(fixture); /* is being read */
    run_script(fixture);
    assert_sent(&fixture->base.api, 0, LINE("GET"));
    assert_sent(&fixture->base.api, 1, POST_LINE);
}

static void a_failure_is_written_when_it_begins_and_when_it_ends(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, RESPONSE(201, "", THING("1")));
    observe(fixture, VOLUME_EVENT_MOUNTED);
    SCRIPT(&fixture->base.api,
           RESPONSE(200, "", OWNED("2", "web-0", "uid-1", ",\"lastError\":\"the vault is gone\"")));
    fixture->failure = "the vault is gone";
    observe(fixture, VOLUME_EVENT_FAILED);
    assert_sent(&fixture->base.api, 0, "\"lastError\":\"the vault is gone\"");
    observe(fixture, VOLUME_EVENT_FAILED);
    fixture->failure = "the vault is gone, request 123"; /* a new text is not worth a write yet */
    observe(fixture, VOLUME_EVENT_FAILED);
    SCRIPT(&fixture->base.api, RESPONSE(200, "", THING("3")));
    observe(fixture, VOLUME_EVENT_CHECKED);
    assert_sent(&fixture->base.api, 0, "\"lastError\":null");
    assert_sent(&fixture->base.api, 0, "\"resourceVersion\":\"2\"");
}

/* The API server prunes fields its resource definition does not have. */
static void fields_that_are_dropped_are_not_written_again(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, RESPONSE(201, "", THING("1")), RESPONSE(200, "", THING("1")),
           RESPONSE(200, "", THING("1")));
    record(fixture, VOLUME_EVENT_MOUNTED);
    fixture->failure = "the vault is gone";
    record(fixture, VOLUME_EVENT_FAILED);
    run_until_requests(fixture, 2);
    observe(fixture, VOLUME_EVENT_CHECKED);
    for (unsigned i = 0; i < 5; i++)
        observe(fixture, VOLUME_EVENT_CHECKED);
}

/* --- other writers --- */

static void a_recreated_pod_takes_over_its_predecessors_object(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, EXISTS, RESPONSE(200, "", OWNED("5", "web-0", "uid-0", "")),
           RESPONSE(200, "", THING("6")));
    observe(fixture, VOLUME_EVENT_MOUNTED);
    assert_sent(&fixture->base.api, 1, LINE("GET"));
    assert_sent(&fixture->base.api, 2, "\"uid\":\"uid-1\"");
    assert_sent(&fixture->base.api, 2, "\"resourceVersion\":\"5\"");
}

static void an_object_that_was_taken_over_is_not_taken_back(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, RESPONSE(201, "", THING("1")));
    observe(fixture, VOLUME_EVENT_MOUNTED);
    SCRIPT(&fixture->base.api, CONFLICT, RESPONSE(200, "", OWNED("9", "web-0", "uid-2", "")));
    fixture->version = "v2";
    observe(fixture, VOLUME_EVENT_CHECKED);
    observe(fixture, VOLUME_EVENT_CHECKED);
    SCRIPT(&fixture->base.api, RESPONSE(200, "", OWNED("9", "web-0", "uid-2", "")));
    fixture->version = "v3";
    observe(fixture, VOLUME_EVENT_CHECKED);
    observe(fixture, VOLUME_EVENT_CHECKED);
}

static void after_a_restart_a_check_waits_until_the_predecessors_object_is_gone(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, RESPONSE(200, "", OWNED("5", "web-0", "uid-0", "")),
           RESPONSE(404, "", STATUS("NotFound", "not found")), RESPONSE(201, "", THING("6")));
    observe(fixture, VOLUME_EVENT_CHECKED);
    assert_sent(&fixture->base.api, 2, POST_LINE);
}

static void a_name_of_another_pod_is_left_to_it(void **state)
{
    struct fixture *fixture = *state;
    cleanup_free char *unique = pod_status_name("web-0", "shop", "db", POD_STATUS_NAME_UNIQUE, NULL);
    char line[300];

    SCRIPT(&fixture->base.api, EXISTS, RESPONSE(200, "", OWNED("5", "web", "uid-9", "")),
           RESPONSE(201, "", THING("6")), RESPONSE(200, "", THING("7")));
    record(fixture, VOLUME_EVENT_MOUNTED);
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    fixture->version = "v2";
    observe(fixture, VOLUME_EVENT_CHECKED);
    (void)snprintf(line, sizeof(line), "\"name\":\"%s\"", unique);
    assert_sent(&fixture->base.api, 2, line);
    (void)snprintf(line, sizeof(line), "PATCH " COLLECTION "/%s HTTP/1.1\r\n", unique);
    assert_sent(&fixture->base.api, 3, line);
}

static void two_volumes_of_one_pod_come_to_rest(void **state)
{
    struct fixture *fixture = *state;

    /* the first, by path, has written; then the second: it finds nothing to do */
    SCRIPT(&fixture->base.api, RESPONSE(201, "", THING("1")), EXISTS, RESPONSE(200, "", THING("1")));
    record(fixture, VOLUME_EVENT_MOUNTED);
    fixture->target = "/pods/uid-1/volumes/kubernetes.io~csi/w/mount";
    observe(fixture, VOLUME_EVENT_MOUNTED);
    for (unsigned i = 0; i < 10; i++) {
        fixture->target = i % 2 == 0 ? TARGET : "/pods/uid-1/volumes/kubernetes.io~csi/w/mount";
        observe(fixture, VOLUME_EVENT_CHECKED);
    }
    SCRIPT(&fixture->base.api, RESPONSE(200, "", THING("2")));
    fixture->version = "v2";
    fixture->target = "/pods/uid-1/volumes/kubernetes.io~csi/w/mount";
    observe(fixture, VOLUME_EVENT_CHECKED);
    assert_null(strstr(fixture->base.api.requests[0], "targetPath"));
}

/* --- trouble --- */

static void a_failed_write_is_reported_and_retried(void **state)
{
    struct fixture *fixture = *state;

    fixture->class.n_secret_objects = 1;
    SCRIPT(&fixture->base.api, RESPONSE(403, "", STATUS("Forbidden", "not allowed")),
           RESPONSE(403, "", STATUS("Forbidden", "not allowed")), RESPONSE(201, "", THING("1")));
    record(fixture, VOLUME_EVENT_MOUNTED);
    assert_int_equal(fixture->code, GRPC_STATUS_PERMISSION_DENIED);
    assert_string_equal(fixture->message, "not allowed");
    run_script(fixture);
    observe(fixture, VOLUME_EVENT_CHECKED); /* it is written by now */
}

static void only_a_mount_that_waits_ends_the_pause_after_a_failure(void **state)
{
    struct fixture *fixture = *state;

    pod_status_destroy(fixture->status);
    make_status(fixture, /* recheck_ms= */ 0, /* retry_first_ms= */ 3600 * 1000);
    SCRIPT(&fixture->base.api, RESPONSE(403, "", STATUS("Forbidden", "not allowed")),
           RESPONSE(201, "", THING("1")));
    record(fixture, VOLUME_EVENT_MOUNTED);
    run_until_requests(fixture, 1);
    for (unsigned i = 0; i < 20; i++, drain(fixture))
        record(fixture, VOLUME_EVENT_MOUNTED);
    assert_int_equal(fixture->base.api.n_requests, 1);
    fixture->class.n_secret_objects = 1;
    observe(fixture, VOLUME_EVENT_MOUNTED);
}

static void a_silent_server_delays_a_mount_no_longer_than_its_timeout(void **state)
{
    struct fixture *fixture = *state;

    fixture->class.n_secret_objects = 1;
    SCRIPT(&fixture->base.api, RESPONSE(-1, "", ""));
    (void)start(fixture, VOLUME_EVENT_MOUNTED, 50);
    run_until_done(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_DEADLINE_EXCEEDED);
    record(fixture, VOLUME_EVENT_CHECKED); /* does not wait at all */
    assert_int_equal(fixture->code, GRPC_STATUS_OK);
    fixture->observer.on_removed(fixture->observer.state, TARGET);
    drain(fixture);
}

static void changes_during_a_write_are_written_after_it(void **state)
{
    struct fixture *fixture = *state;

    fixture->class.n_secret_objects = 1;
    SCRIPT(&fixture->base.api, RESPONSE(201, "", THING("1")), RESPONSE(200, "", THING("2")));
    (void)start(fixture, VOLUME_EVENT_MOUNTED, 10000);
    run_until_requests(fixture, 1);
    fixture->version = "v2";
    (void)start(fixture, VOLUME_EVENT_CHECKED, 10000);
    fixture->version = "v3";
    (void)start(fixture, VOLUME_EVENT_CHECKED, 10000);
    run_script(fixture);
    assert_sent(&fixture->base.api, 1, "\"version\":\"v3\"");
    assert_int_equal(fixture->callbacks, 3);
}

static void a_removed_volume_is_not_written_any_more(void **state)
{
    struct fixture *fixture = *state;

    fixture->class.n_secret_objects = 1;
    SCRIPT(&fixture->base.api, RESPONSE(-1, "", ""));
    (void)start(fixture, VOLUME_EVENT_MOUNTED, 10000);
    run_until_requests(fixture, 1);
    fixture->observer.on_removed(fixture->observer.state, TARGET);
    run_until_done(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_ABORTED);
    fixture->observer.on_removed(fixture->observer.state, "/unknown");
}

static void a_cancelled_call_does_not_return_but_the_status_is_written(void **state)
{
    struct fixture *fixture = *state;
    struct observer_call *call;

    SCRIPT(&fixture->base.api, RESPONSE(201, "", THING("1")));
    call = start(fixture, VOLUME_EVENT_MOUNTED, 10000);
    fixture->observer.cancel(fixture->observer.state, call);
    run_script(fixture);
    assert_int_equal(fixture->callbacks, 0);
    call = start(fixture, VOLUME_EVENT_CHECKED, 10000);
    fixture->observer.cancel(fixture->observer.state, call);
    observe(fixture, VOLUME_EVENT_CHECKED);
}

static void draining_ends_with_its_time(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->base.api, RESPONSE(-1, "", ""));
    record(fixture, VOLUME_EVENT_CHECKED);
    run_until_requests(fixture, 1);
    pod_status_drain(fixture->status, 50, on_idle, fixture);
    assert_false(fixture->idle);
    while (!fixture->idle)
        assert_int_not_equal(uv_run(&fixture->base.loop, UV_RUN_ONCE), 0);
}

static void a_pod_without_a_name_cannot_be_written(void **state)
{
    struct fixture *fixture = *state;
    const struct volume_event event = {.type = VOLUME_EVENT_MOUNTED,
                                       .pod_name = "",
                                       .pod_namespace = "n",
                                       .pod_uid = "u",
                                       .target_path = "/t",
                                       .class_name = "c"};
    cleanup_error struct error *error = NULL;

    assert_null(fixture->observer.start(fixture->observer.state, &event, 1000, done, fixture, &error));
    assert_int_equal(error_code(error), GRPC_STATUS_INVALID_ARGUMENT);
    assert_non_null(strstr(error_message(error), "podInfoOnMount"));
}

static void a_status_is_required_for_secret_objects_only(void **state)
{
    struct fixture *fixture = *state;
    struct secret_provider_class class = {.n_secret_objects = 0};
    struct volume_event event = {.type = VOLUME_EVENT_MOUNTED, .class = &class};

    SCRIPT(&fixture->base.api, RESPONSE(201, "", THING("1")));
    assert_false(fixture->observer.is_required(fixture->observer.state, &event));
    class.n_secret_objects = 1;
    assert_true(fixture->observer.is_required(fixture->observer.state, &event));
    assert_true(fixture->observer.wants_failures);
    (void)start(fixture, VOLUME_EVENT_MOUNTED, 10000);
    run_script(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_first_mount_with_secret_objects_waits_for_one_post),
        TEST(a_first_mount_without_them_does_not_wait),
        TEST(a_check_without_a_change_sends_nothing),
        TEST(a_change_is_one_patch_for_the_version_that_is_remembered),
        TEST(after_a_restart_a_check_is_one_get),
        TEST(an_object_that_is_missing_after_a_restart_is_created),
        TEST(an_object_to_recheck_is_read_at_once),
        TEST(what_is_remembered_is_checked_after_a_while),
        TEST(a_failure_is_written_when_it_begins_and_when_it_ends),
        TEST(fields_that_are_dropped_are_not_written_again),
        TEST(a_recreated_pod_takes_over_its_predecessors_object),
        TEST(an_object_that_was_taken_over_is_not_taken_back),
        TEST(after_a_restart_a_check_waits_until_the_predecessors_object_is_gone),
        TEST(a_name_of_another_pod_is_left_to_it),
        TEST(two_volumes_of_one_pod_come_to_rest),
        TEST(a_failed_write_is_reported_and_retried),
        TEST(only_a_mount_that_waits_ends_the_pause_after_a_failure),
        TEST(a_silent_server_delays_a_mount_no_longer_than_its_timeout),
        TEST(changes_during_a_write_are_written_after_it),
        TEST(a_removed_volume_is_not_written_any_more),
        TEST(a_cancelled_call_does_not_return_but_the_status_is_written),
        TEST(draining_ends_with_its_time),
        TEST(a_pod_without_a_name_cannot_be_written),
        TEST(a_status_is_required_for_secret_objects_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
