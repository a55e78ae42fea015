/*
 * publish_fixture.h - for tests: everything a publish needs, and steps to drive it.
 *
 * Real: the volume (in a mount namespace of its own, below a tmpfs on /mnt), the provider's socket, workers.
 * Fake: where classes come from and where the status is recorded.
 */
#ifndef TEST_UNIT_PUBLISH_FIXTURE_H
#define TEST_UNIT_PUBLISH_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/process/lifecycle.h"
#include "common/provider_server.h"
#include "driver/base/worker.h"
#include "driver/publish/publish.h"
#include "driver/publish/unpublish.h"
#include "driver/volume/volume.h"

#define TARGET   "/mnt/pods/uid/volumes/kubernetes.io~csi/web/mount"
#define SECRET   TARGET "/password"
#define PROVIDER "/mnt/providers"

enum { TIMEOUT_MS = 20 * 1000 };

/* How a fake responds. */
enum fake_behavior { AT_ONCE, AT_ONCE_BADLY, NEVER, NOT_STARTED };

/* Everything a test has; one per test. */
struct fixture {
    uv_loop_t loop;
    struct volume_locks *locks;
    struct volume_states *volumes;
    struct provider_registry *providers;
    struct provider_server *provider_server;
    struct class_source classes;
    struct class_cache *class_cache;
    struct volume_observers observers;
    struct publisher publisher;

    /* the fakes */
    enum fake_behavior class_behavior, provider_behavior, status_behavior;
    const char *provider_text; /* content of the one file */
    bool provider_writes;      /* it, instead of returning it */
    const char *class_provider;
    const char *refresh, *rotation_interval; /* annotations of the class */
    const char *class_version;               /* NULL: not known */
    enum grpc_status class_code;             /* of AT_ONCE_BADLY; 0: NOT_FOUND */
    enum grpc_status provider_code;          /* the same; 0: PERMISSION_DENIED */
    bool no_parameters, writable;
    const char *class_name, *pod_namespace; /* of the request */
    uv_timer_t timer;                       /* delivers the response of the fake that was started last */
    class_lookup_callback *class_callback;
    observer_callback *observer_callback;
    void *callback_arg;
    uv_timer_t status_timer; /* the same for the observer */
    void *status_arg;
    struct provider_mount *held_mount; /* NEVER: until the driver hangs up */
    unsigned class_starts, class_cancels, provider_calls, provider_cancels, status_starts, status_cancels;
    unsigned forgotten;
    bool needed; /* the record, for a first mount */
    enum volume_event_type recorded_event;
    char recorded_failure[512];
    size_t versions_sent; /* by the driver, with its last Mount */
    char recorded_version[32];

    /* the outcome of the last publish */
    unsigned responses;
    enum grpc_status code;
    char message[2048];
    struct publish *publish;
};

static bool may_mount;

/* --- the fake class source --- */

static inline void deliver_class(uv_timer_t *timer)
{
    struct fixture *fixture = timer->data;
    class_lookup_callback *callback = fixture->class_callback;
    struct secret_provider_class *class = NULL;
    cleanup_error struct error *error = NULL;

    fixture->class_callback = NULL;
    if (fixture->class_behavior == AT_ONCE) {
        class = calloc(1, sizeof(*class));
        assert_non_null(class);
        class->name = strdup("web");
        class->ns = strdup("shop");
        class->uid = strdup("");
        class->provider = strdup(fixture->class_provider);
        class->resource_version = fixture->class_version != NULL ? strdup(fixture->class_version) : NULL;
        class->refresh = fixture->refresh != NULL ? strdup(fixture->refresh) : NULL;
        class->rotation_interval =
            fixture->rotation_interval != NULL ? strdup(fixture->rotation_interval) : NULL;
        if (!fixture->no_parameters)
            assert_int_equal(string_map_set(&class->parameters, "key", "from the class", NULL), 0);
    } else {
        (void)error_set(&error, fixture->class_code != 0 ? fixture->class_code : GRPC_STATUS_NOT_FOUND,
                        "\"web\" not found");
    }
    callback(class, error, fixture->callback_arg);
}

static inline struct class_lookup *fake_class_start(void *state, const char *ns, const char *name,
                                                    uint64_t timeout_ms, class_lookup_callback *callback,
                                                    void *arg, struct error **err)
{
    struct fixture *fixture = state;

    assert_string_equal(ns, "shop");
    assert_string_equal(name, "web");
    assert_in_range(timeout_ms, 1, TIMEOUT_MS);
    fixture->class_starts++;
    if (fixture->class_behavior == NOT_STARTED) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "no memory for a lookup");
        return NULL;
    }
    fixture->class_callback = callback;
    fixture->callback_arg = arg;
    if (fixture->class_behavior != NEVER)
        assert_int_equal(uv_timer_start(&fixture->timer, deliver_class, 0, 0), 0);
    return (struct class_lookup *)(void *)fixture;
}

static inline void fake_class_cancel(struct class_lookup *lookup)
{
    struct fixture *fixture = (struct fixture *)(void *)lookup;

    (void)uv_timer_stop(&fixture->timer);
    fixture->class_callback = NULL;
    fixture->class_cancels++;
}

/* --- the fake observer --- */

static inline void deliver_status(uv_timer_t *timer)
{
    struct fixture *fixture = timer->data;
    observer_callback *callback = fixture->observer_callback;
    cleanup_error struct error *error = NULL;

    fixture->observer_callback = NULL;
    if (fixture->status_behavior == AT_ONCE_BADLY)
        (void)error_set(&error, GRPC_STATUS_PERMISSION_DENIED, "the record is forbidden");
    callback(error, fixture->status_arg);
}

static inline struct observer_call *fake_status_start(void *state, const struct volume_event *event,
                                                      uint64_t timeout_ms, observer_callback *callback,
                                                      void *arg, struct error **err)
{
    struct fixture *fixture = state;
    const char *version = event->versions == NULL ? "?" : string_map_get(event->versions, "secret/password");

    assert_string_equal(event->target_path, TARGET);
    assert_string_equal(event->pod_name, "web-0");
    assert_string_equal(event->class_name, "web");
    if (event->class != NULL)
        assert_string_equal(event->class->name, "web");
    assert_int_equal(event->type == VOLUME_EVENT_FAILED, event->failure != NULL);
    fixture->recorded_event = event->type;
    (void)snprintf(fixture->recorded_failure, sizeof(fixture->recorded_failure), "%s",
                   error_message(event->failure));
    assert_in_range(timeout_ms, 1, TIMEOUT_MS);
    assert_int_equal(access(SECRET, R_OK), 0); /* the volume is complete before it is recorded */
    (void)snprintf(fixture->recorded_version, sizeof(fixture->recorded_version), "%s", version);
    fixture->status_starts++;
    if (fixture->status_behavior == NOT_STARTED) {
        (void)error_set(err, GRPC_STATUS_UNAVAILABLE, "no observer");
        return NULL;
    }
    fixture->observer_callback = callback;
    fixture->status_arg = arg;
    if (fixture->status_behavior != NEVER)
        assert_int_equal(uv_timer_start(&fixture->status_timer, deliver_status, 0, 0), 0);
    return (struct observer_call *)(void *)fixture;
}

static inline void fake_status_cancel(void *state, struct observer_call *call)
{
    struct fixture *fixture = state;

    assert_ptr_equal(call, fixture);
    (void)uv_timer_stop(&fixture->status_timer);
    fixture->observer_callback = NULL;
    fixture->status_cancels++;
}

static inline bool fake_status_is_required(void *state, const struct volume_event *event)
{
    const struct fixture *fixture = state;

    assert_int_equal(event->type, VOLUME_EVENT_MOUNTED);
    return fixture->needed;
}

static inline void fake_status_on_removed(void *state, const char *target_path)
{
    struct fixture *fixture = state;

    assert_string_equal(target_path, TARGET);
    fixture->forgotten++;
}

/* --- the provider --- */

static inline void hung_up(struct provider_mount *mount, void *arg)
{
    struct fixture *fixture = arg;
    cleanup_error struct error *error = NULL;

    fixture->provider_cancels++;
    fixture->held_mount = NULL;
    (void)error_set(&error, GRPC_STATUS_CANCELLED, "cancelled");
    provider_mount_fail(mount, error);
}

/* Makes the directory if need be: no good provider does. */
static inline void write_below_target(const char *text)
{
    FILE *file;

    (void)mkdir(TARGET, 0755);
    file = fopen(SECRET, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static inline void provide(struct provider_mount *mount, void *arg)
{
    struct fixture *fixture = arg;
    const char *text = fixture->provider_text;
    cleanup_error struct error *error = NULL;

    fixture->provider_calls++;
    fixture->versions_sent = provider_mount_current_count(mount);
    assert_string_equal(string_map_get(provider_mount_attributes(mount), "key"), "from the class");
    switch (fixture->provider_behavior) {
    case NEVER:
        fixture->held_mount = mount;
        provider_mount_on_cancel(mount, hung_up, fixture);
        break;
    case AT_ONCE:
        if (fixture->provider_writes)
            write_below_target(text);
        else
            assert_int_equal(provider_mount_add_file(mount, "password", 0644, text, strlen(text), NULL), 0);
        assert_int_equal(provider_mount_add_version(mount, "secret/password", text, NULL), 0);
        provider_mount_done(mount);
        break;
    case AT_ONCE_BADLY:
    case NOT_STARTED:
        (void)error_set(&error,
                        fixture->provider_code != 0 ? fixture->provider_code : GRPC_STATUS_PERMISSION_DENIED,
                        "the vault said no");
        provider_mount_fail(mount, error);
        break;
    }
}

static inline const struct provider *provider_of(struct fixture *fixture)
{
    static struct provider provider; /* borrowed by the server for the length of a test */

    provider = (struct provider){.name = "fake", .version = "1.0.0", .mount = provide, .arg = fixture};
    return &provider;
}

/* --- the fixture --- */

static inline int group_set_up(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    may_mount =
        geteuid() == 0 && unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    if (!may_mount)
        (void)fprintf(stderr, "not root, or no mount namespaces here: the publish tests are skipped\n");
    return 0;
}

static inline void serve_provider(struct fixture *fixture)
{
    char address[] = PROVIDER "/fake.sock";
    cleanup_error struct error *error = NULL;

    fixture->provider_server = provider_server_create(
        &fixture->loop, provider_of(fixture),
        &(struct provider_server_config){.endpoint = {.kind = ENDPOINT_UNIX, .address = address}}, &error);
    if (fixture->provider_server == NULL)
        fail_msg("%s", error_message(error));
}

static inline int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    *state = fixture;
    if (!may_mount)
        return 0;
    if (mount("test", "/mnt", "tmpfs", 0, "mode=0755") < 0 || mkdir(PROVIDER, 0755) < 0)
        return -1;
    assert_int_equal(uv_loop_init(&fixture->loop), 0);
    assert_int_equal(worker_pool_start(&fixture->loop, NULL), 0);
    assert_int_equal(uv_timer_init(&fixture->loop, &fixture->timer), 0);
    fixture->timer.data = fixture;
    assert_int_equal(uv_timer_init(&fixture->loop, &fixture->status_timer), 0);
    fixture->status_timer.data = fixture;
    fixture->provider_text = "v1";
    fixture->class_provider = "fake";
    fixture->class_name = "web";
    fixture->pod_namespace = "shop";
    fixture->locks = volume_locks_create(NULL);
    fixture->volumes = volume_states_create(NULL, NULL, NULL);
    fixture->providers = provider_registry_create(
        &fixture->loop,
        &(struct provider_registry_config){
            .additional_directories = "", .directory = PROVIDER, .max_response_bytes = 4 << 20},
        NULL);
    serve_provider(fixture);
    fixture->classes = (struct class_source){
        .name = "fake", .start = fake_class_start, .cancel = fake_class_cancel, .state = fixture};
    fixture->class_cache = class_cache_create(&fixture->loop, &fixture->classes, 0, NULL, NULL);
    fixture->observers = (struct volume_observers){.list = {{.name = "fake",
                                                             .action = "record the volume's status",
                                                             .is_required = fake_status_is_required,
                                                             .start = fake_status_start,
                                                             .cancel = fake_status_cancel,
                                                             .on_removed = fake_status_on_removed,
                                                             .state = fixture}},
                                                   .n = 1};
    fixture->needed = true;
    fixture->publisher = (struct publisher){.loop = &fixture->loop,
                                            .locks = fixture->locks,
                                            .volumes = fixture->volumes,
                                            .classes = &fixture->classes,
                                            .class_cache = fixture->class_cache,
                                            .providers = fixture->providers,
                                            .observers = &fixture->observers};
    return 0;
}

static inline void destroy_server(void *arg)
{
    provider_server_destroy(arg);
}

static inline int tear_down(void **state)
{
    struct fixture *fixture = *state;

    if (may_mount) {
        assert_null(fixture->held_mount);
        class_cache_destroy(fixture->class_cache);
        provider_registry_destroy(fixture->providers);
        if (fixture->provider_server != NULL)
            provider_server_stop(fixture->provider_server, 0, destroy_server, fixture->provider_server);
        uv_close((uv_handle_t *)&fixture->timer, NULL);
        uv_close((uv_handle_t *)&fixture->status_timer, NULL);
        assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
        worker_pool_stop(&fixture->loop);
        assert_int_equal(uv_run(&fixture->loop, UV_RUN_DEFAULT), 0);
        assert_int_equal(uv_loop_close(&fixture->loop), 0);
        volume_locks_destroy(fixture->locks);
        volume_states_destroy(fixture->volumes);
        assert_int_equal(umount2("/mnt", MNT_DETACH), 0);
    }
    free(fixture);
    return 0;
}

/* --- steps --- */

static inline void on_response(const struct error *error, void *arg)
{
    struct fixture *fixture = arg;

    fixture->publish = NULL;
    fixture->responses++;
    fixture->code = error_code(error);
    (void)snprintf(fixture->message, sizeof(fixture->message), "%s", error_message(error));
}

static inline void start_publish(struct fixture *fixture)
{
    struct publish_request request = {.gid = (gid_t)-1, .readonly = !fixture->writable};
    const char *const context[][2] = {{CONTEXT_CLASS, fixture->class_name},
                                      {CONTEXT_POD_NAME, "web-0"},
                                      {CONTEXT_POD_NAMESPACE, fixture->pod_namespace},
                                      {CONTEXT_POD_UID, "uid"},
                                      {"key", "from the pod"}};

    for (size_t i = 0; i < ARRAY_SIZE(context); i++)
        assert_int_equal(string_map_set(&request.context, context[i][0], context[i][1], NULL), 0);
    request.volume_id = strdup("csi-1");
    request.target_path = strdup(TARGET);
    request.class_name = string_map_get(&request.context, CONTEXT_CLASS);
    request.pod_name = string_map_get(&request.context, CONTEXT_POD_NAME);
    request.pod_namespace = string_map_get(&request.context, CONTEXT_POD_NAMESPACE);
    request.pod_uid = string_map_get(&request.context, CONTEXT_POD_UID);
    request.provider_hint = "";
    fixture->publish = publish_start(&fixture->publisher, &request, TIMEOUT_MS, on_response, fixture, NULL);
    assert_non_null(fixture->publish);
    assert_null(request.target_path); /* moved */
}

/* Runs the loop until `reached` counts one more, or the publish is over. */
static inline void run_until(struct fixture *fixture, const unsigned *reached)
{
    unsigned before = *reached;
    unsigned responses = fixture->responses;

    while (*reached == before && fixture->responses == responses)
        assert_int_not_equal(uv_run(&fixture->loop, UV_RUN_ONCE), 0);
    assert_int_not_equal(*reached, before);
}

static inline void locks_are_idle(void *arg)
{
    bool *idle = arg;

    *idle = true;
}

static inline void run_until_idle(struct fixture *fixture)
{
    bool idle = false;

    volume_locks_on_idle(fixture->locks, locks_are_idle, &idle);
    while (!idle || fixture->held_mount != NULL)
        assert_int_not_equal(uv_run(&fixture->loop, UV_RUN_ONCE), 0);
}

static inline void publish(struct fixture *fixture)
{
    unsigned responses = fixture->responses;

    start_publish(fixture);
    run_until(fixture, &fixture->responses);
    assert_int_equal(fixture->responses, responses + 1);
    run_until_idle(fixture);
    assert_int_equal(fixture->responses, responses + 1);
}

static inline void must_publish(struct fixture *fixture)
{
    publish(fixture);
    if (fixture->code != GRPC_STATUS_OK)
        fail_msg("%d: %s", (int)fixture->code, fixture->message);
}

static inline void assert_failed(const struct fixture *fixture, enum grpc_status code, const char *text)
{
    assert_int_equal(fixture->code, code);
    if (strstr(fixture->message, text) == NULL)
        fail_msg("'%s' is not in '%s'", text, fixture->message);
}

static inline enum volume_condition state_of_target(void)
{
    enum volume_condition state = VOLUME_CORRUPT;

    assert_int_equal(volume_inspect(TARGET, &state, NULL), 0);
    return state;
}

static inline void assert_content(const char *expected)
{
    cleanup_buffer struct buffer text = {0};

    assert_int_equal(state_of_target(), VOLUME_PUBLISHED);
    assert_int_equal(file_read(SECRET, 100, &text, NULL), 0);
    assert_string_equal(buffer_str(&text), expected);
}

static inline void unpublished(const struct error *error, void *arg)
{
    assert_null(error);
    (*(unsigned *)arg)++;
}

static inline void unpublish(struct fixture *fixture)
{
    unsigned done = 0;

    assert_non_null(unpublish_start(&fixture->publisher, TARGET, unpublished, &done, NULL));
    while (done == 0)
        assert_int_not_equal(uv_run(&fixture->loop, UV_RUN_ONCE), 0);
    run_until_idle(fixture);
}

/* By the provider itself. Takes the volume's tmpfs away. */
static inline void assert_written(const char *expected)
{
    cleanup_buffer struct buffer text = {0};

    assert_int_equal(state_of_target(), VOLUME_WRITTEN);
    assert_int_equal(file_read(SECRET, 100, &text, NULL), 0);
    assert_string_equal(buffer_str(&text), expected);
    assert_int_equal(umount2(TARGET, 0), 0);
    assert_int_equal(access(SECRET, F_OK), -1); /* nothing is below it, on the disk */
}

/* Where a publish stands, by the fake that was called last. */
enum stage { INSPECTING, LOOKING_UP, FETCHING, OBSERVING, STAGES };

/* A rotation check has responded to its caller by then. */
static inline void run_until_observing(struct fixture *fixture)
{
    assert_int_equal(fixture->status_behavior, NEVER);
    while (fixture->observer_callback == NULL)
        assert_int_not_equal(uv_run(&fixture->loop, UV_RUN_ONCE), 0);
}

static inline void start_and_stop_at(struct fixture *fixture, enum stage stage)
{
    fixture->class_behavior = stage == LOOKING_UP ? NEVER : AT_ONCE;
    fixture->provider_behavior = stage == FETCHING ? NEVER : AT_ONCE;
    fixture->status_behavior = stage == OBSERVING ? NEVER : AT_ONCE;
    start_publish(fixture);
    if (stage == LOOKING_UP)
        run_until(fixture, &fixture->class_starts);
    else if (stage == FETCHING)
        run_until(fixture, &fixture->provider_calls);
    else if (stage == OBSERVING)
        run_until_observing(fixture);
}

#define FIXTURE()                                                                                            \
    struct fixture *fixture = *state;                                                                        \
    if (!may_mount)                                                                                          \
    skip()

#endif
