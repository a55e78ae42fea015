/*
 * test_secret_sync.c - a node with many volumes: how many of them one event visits (counted, not timed), and
 * how many requests a failure costs. A volume of which a mount could not keep anything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/process/loop_timer.h"
#include "common/process/metrics.h"
#include "driver/sync/secret_sync.h"
#include "test/unit/kube_fixture.h"

enum {
    MANY = 5000,
    STEPS = 100, /* of one event, at most: a chain of a table, and the height of a heap */
    CHECK_MS = 60 * 60 * 1000,
};

struct fixture {
    struct kube_fixture base;
    struct class_source classes;
    struct class_cache *class_cache;
    struct secret_sync *sync;
    struct volume_observer observer;
    struct secret_provider_class class; /* without Secrets */
    unsigned lookups;
    unsigned done;

    struct loop_timer *refusal; /* of a lookup that starts; NULL: none does */
    bool silent;                /* it starts, and gets no response */
    class_lookup_callback *callback;
    void *callback_arg;
};

static void refuse_class(void *arg)
{
    struct fixture *fixture = arg;
    cleanup_error struct error *error = NULL;

    (void)error_set(&error, GRPC_STATUS_PERMISSION_DENIED, "no");
    fixture->callback(NULL, error, fixture->callback_arg);
}

/* The class cannot be read, and no lookup is left running. */
static struct class_lookup *start_lookup(void *state, const char *ns, const char *name, uint64_t timeout_ms,
                                         class_lookup_callback *callback, void *arg, struct error **err)
{
    struct fixture *fixture = state;

    (void)ns;
    (void)name;
    (void)timeout_ms;
    fixture->lookups++;
    if (fixture->silent || fixture->refusal != NULL) {
        fixture->callback = callback;
        fixture->callback_arg = arg;
        if (fixture->refusal != NULL)
            loop_timer_start(fixture->refusal, 0);
        return (struct class_lookup *)(void *)fixture;
    }
    (void)error_set(err, GRPC_STATUS_UNAVAILABLE, "no API server");
    return NULL;
}

static void cancel_lookup(struct class_lookup *lookup)
{
    (void)lookup;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    *state = fixture;
    kube_fixture_open(&fixture->base);
    fixture->classes = (struct class_source){
        .name = "test", .start = start_lookup, .cancel = cancel_lookup, .state = fixture};
    fixture->class_cache = class_cache_create(&fixture->base.loop, &fixture->classes,
                                              /* poll_interval_s= */ 3600, /* log= */ NULL, NULL);
    assert_non_null(fixture->class_cache);
    fixture->sync = secret_sync_create(&(struct secret_sync_config){.loop = &fixture->base.loop,
                                                                    .client = fixture->base.kube,
                                                                    .classes = &fixture->classes,
                                                                    .class_cache = fixture->class_cache,
                                                                    .check_interval_ms = CHECK_MS},
                                       NULL);
    assert_non_null(fixture->sync);
    fixture->observer = secret_sync_observer(fixture->sync);
    return 0;
}

/* With volumes in it. */
static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    secret_sync_destroy(fixture->sync);
    class_cache_destroy(fixture->class_cache);
    loop_timer_destroy(fixture->refusal);
    kube_fixture_close(&fixture->base);
    free(fixture);
    return 0;
}

static void on_done(const struct error *error, void *arg)
{
    struct fixture *fixture = arg;

    assert_null(error);
    fixture->done++;
}

static void path_of(size_t i, char path[64])
{
    (void)snprintf(path, 64, "/pods/%zu/volumes/kubernetes.io~csi/v/mount", i);
}

static struct volume_event event_of(const struct fixture *fixture, const char *path)
{
    return (struct volume_event){.type = VOLUME_EVENT_MOUNTED,
                                 .pod_name = "web-0",
                                 .pod_namespace = "shop",
                                 .pod_uid = "uid-1",
                                 .target_path = path,
                                 .class_name = "db",
                                 .class = &fixture->class};
}

static void mount(struct fixture *fixture, size_t i)
{
    char path[64];
    struct volume_event event;

    path_of(i, path);
    event = event_of(fixture, path);
    fixture->done = 0;
    assert_non_null(fixture->observer.start(fixture->observer.state, &event, 1000, on_done, fixture, NULL));
    while (fixture->done == 0)
        (void)uv_run(&fixture->base.loop, UV_RUN_ONCE);
}

static void assert_steps(const struct fixture *fixture, uint64_t before, const char *what, size_t i)
{
    uint64_t steps = secret_sync_visits(fixture->sync) - before;

    if (steps > STEPS)
        fail_msg("%s of volume %zu visits %llu volumes", what, i, (unsigned long long)steps);
}

static void no_event_of_a_volume_searches_the_others(void **state)
{
    struct fixture *fixture = *state;
    char path[64];

    for (size_t i = 0; i < MANY; i++) {
        uint64_t before = secret_sync_visits(fixture->sync);

        mount(fixture, i);
        assert_steps(fixture, before, "a mount", i);
    }
    for (size_t i = 0; i < MANY; i++) {
        uint64_t before = secret_sync_visits(fixture->sync);
        struct volume_event event;

        path_of(i, path);
        event = event_of(fixture, path);
        fixture->observer.on_unchanged(fixture->observer.state, &event);
        fixture->observer.on_removed(fixture->observer.state, path);
        assert_steps(fixture, before, "a removal", i);
    }
    assert_int_equal(fixture->lookups, 0);
}

/* A new sync without volumes, which checks each of them all the time. */
static void check_often(struct fixture *fixture)
{
    secret_sync_destroy(fixture->sync);
    fixture->sync = secret_sync_create(&(struct secret_sync_config){.loop = &fixture->base.loop,
                                                                    .client = fixture->base.kube,
                                                                    .classes = &fixture->classes,
                                                                    .class_cache = fixture->class_cache,
                                                                    .check_interval_ms = 10},
                                       NULL);
    fixture->observer = secret_sync_observer(fixture->sync);
}

/* The driver has started again and finds volumes whose checks come within a few milliseconds: each expiry
 * visits its own volume, and its retry at no other. */
static void no_check_of_a_volume_searches_the_others(void **state)
{
    struct fixture *fixture = *state;
    char path[64];
    uint64_t before;

    check_often(fixture);
    before = secret_sync_visits(fixture->sync);
    for (size_t i = 0; i < MANY; i++) {
        struct volume_event event;

        path_of(i, path);
        event = event_of(fixture, path);
        fixture->observer.on_unchanged(fixture->observer.state, &event);
    }
    while (fixture->lookups < MANY)
        (void)uv_run(&fixture->base.loop, UV_RUN_ONCE);
    assert_true(secret_sync_visits(fixture->sync) - before <= STEPS * ((uint64_t)MANY + fixture->lookups));
}

static double failed_syncs(const struct metrics *metrics)
{
    cleanup_buffer struct buffer text = {0};
    const char *line;

    buffer_init(&text, 1 << 20);
    assert_int_equal(metrics_render(metrics, &text, NULL), 0);
    line = strstr(buffer_str(&text), "\nsync_k8s_secret_error_total{");
    return line != NULL ? strtod(strchr(line, '}') + 1, NULL) : 0;
}

/* An API server in trouble gets one request for the class, not one for each volume. */
static void the_volumes_of_a_class_that_cannot_be_read_share_a_request(void **state)
{
    struct fixture *fixture = *state;
    struct metrics *metrics = metrics_create();
    struct driver_metrics *driver_metrics = driver_metrics_create(metrics);
    char path[64];

    fixture->refusal = loop_timer_create(&fixture->base.loop, refuse_class, fixture, NULL);
    assert_non_null(fixture->refusal);
    secret_sync_destroy(fixture->sync);
    fixture->sync = secret_sync_create(&(struct secret_sync_config){.loop = &fixture->base.loop,
                                                                    .metrics = driver_metrics,
                                                                    .client = fixture->base.kube,
                                                                    .classes = &fixture->classes,
                                                                    .class_cache = fixture->class_cache,
                                                                    .check_interval_ms = 100},
                                       NULL);
    fixture->observer = secret_sync_observer(fixture->sync);
    for (size_t i = 0; i < 100; i++) {
        struct volume_event event;

        path_of(i, path);
        event = event_of(fixture, path);
        fixture->observer.on_unchanged(fixture->observer.state, &event);
    }
    while (failed_syncs(metrics) < 300)
        (void)uv_run(&fixture->base.loop, UV_RUN_ONCE);
    assert_int_equal(fixture->lookups, 1);
    secret_sync_destroy(steal_ptr(&fixture->sync));
    driver_metrics_destroy(driver_metrics);
    metrics_destroy(metrics);
}

/* Thousands wait for their turn when lookups begin to fail at once: none starts the next from inside its end.
 */
static void runs_that_cannot_start_take_no_stack_from_each_other(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit usual, small;
    char path[64], class_name[32];
    uint64_t queued_at;

    check_often(fixture);
    fixture->silent = true;
    for (size_t i = 0; i < MANY; i++) {
        struct volume_event event;

        path_of(i, path);
        (void)snprintf(class_name, sizeof(class_name), "class-%zu", i);
        event = event_of(fixture, path);
        event.class_name = class_name;
        fixture->observer.on_unchanged(fixture->observer.state, &event);
    }
    queued_at = uv_now(&fixture->base.loop) + 10;
    while (uv_now(&fixture->base.loop) <= queued_at)
        (void)uv_run(&fixture->base.loop, UV_RUN_NOWAIT);
    assert_in_range(fixture->lookups, 1, MANY / 2);
    assert_int_equal(getrlimit(RLIMIT_STACK, &usual), 0);
    small = usual;
    small.rlim_cur = 1024 * 1024;
    assert_int_equal(setrlimit(RLIMIT_STACK, &small), 0);
    fixture->silent = false;
    refuse_class(fixture);
    while (fixture->lookups < MANY)
        (void)uv_run(&fixture->base.loop, UV_RUN_ONCE);
    assert_int_equal(setrlimit(RLIMIT_STACK, &usual), 0);
}

/* What the publish has cannot be copied, as without memory: the first run reads it again. */
static void a_mount_whose_files_cannot_be_kept_is_synced_later(void **state)
{
    struct fixture *fixture = *state;
    char name[] = "db", ns[] = "shop", secret[] = "db", type[] = "Opaque", bad[] = "../no-path";
    struct secret_object object = {.secret_name = secret, .type = type};
    struct payload_file file = {.path = bad};
    const struct payload files = {.files = &file, .n = 1};
    struct volume_event event;
    char path[64];

    path_of(0, path);
    event = event_of(fixture, path);
    fixture->class = (struct secret_provider_class){.name = name,
                                                    .ns = ns,
                                                    .uid = name,
                                                    .provider = name,
                                                    .secret_objects = &object,
                                                    .n_secret_objects = 1};
    event.files = &files;
    assert_null(fixture->observer.start(fixture->observer.state, &event, 1000, on_done, fixture, NULL));
    for (int i = 0; i < 500 && fixture->lookups == 0; i++) {
        (void)uv_run(&fixture->base.loop, UV_RUN_NOWAIT);
        (void)usleep(10 * 1000);
    }
    assert_int_equal(fixture->lookups, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_event_of_a_volume_searches_the_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_check_of_a_volume_searches_the_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_volumes_of_a_class_that_cannot_be_read_share_a_request, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(runs_that_cannot_start_take_no_stack_from_each_other, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_mount_whose_files_cannot_be_kept_is_synced_later, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
