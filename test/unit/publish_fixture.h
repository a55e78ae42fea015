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
#include "driver/publish/publish.h"
#include "driver/publish/unpublish.h"
#include "driver/volume/volume.h"

#define TARGET   "/mnt/pods/uid/volumes/kubernetes.io~csi/web/mount"
#define SECRET   TARGET "/password"
#define PROVIDER "/mnt/providers"

enum { TIMEOUT_MS = 20 * 1000 };

/* How a fake answers. */
enum manner { AT_ONCE, AT_ONCE_BADLY, NEVER, NOT_STARTED };

/* Everything a test has; one per test. */
struct world {
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
    enum manner class_manner, provider_manner, status_manner;
    const char *provider_text; /* content of the one file */
    const char *class_provider;
    const char *refresh, *rotation_interval; /* annotations of the class */
    bool no_parameters, writable;
    const char *class_name, *pod_namespace; /* of the request */
    uv_timer_t timer;                       /* delivers the answer of the fake that was started last */
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
    unsigned answers;
    enum grpc_status code;
    char message[2048];
    struct publish *publish;
};

static bool may_mount;

/* --- the fake class source --- */

static inline void deliver_class(uv_timer_t *timer)
{
    struct world *world = timer->data;
    class_lookup_callback *callback = world->class_callback;
    struct secret_provider_class *class = NULL;
    cleanup_error struct error *error = NULL;

    world->class_callback = NULL;
    if (world->class_manner == AT_ONCE) {
        class = calloc(1, sizeof(*class));
        assert_non_null(class);
        class->name = strdup("web");
        class->ns = strdup("shop");
        class->uid = strdup("");
        class->provider = strdup(world->class_provider);
        class->refresh = world->refresh != NULL ? strdup(world->refresh) : NULL;
        class->rotation_interval = world->rotation_interval != NULL ? strdup(world->rotation_interval) : NULL;
        if (!world->no_parameters)
            assert_int_equal(string_map_set(&class->parameters, "key", "from the class", NULL), 0);
    } else {
        (void)error_set(&error, GRPC_STATUS_NOT_FOUND, "\"web\" not found");
    }
    callback(class, error, world->callback_arg);
}

static inline struct class_lookup *fake_class_start(void *state, const char *ns, const char *name,
                                                    uint64_t timeout_ms, class_lookup_callback *callback,
                                                    void *arg, struct error **err)
{
    struct world *world = state;

    assert_string_equal(ns, "shop");
    assert_string_equal(name, "web");
    assert_in_range(timeout_ms, 1, TIMEOUT_MS);
    world->class_starts++;
    if (world->class_manner == NOT_STARTED) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "no memory for a lookup");
        return NULL;
    }
    world->class_callback = callback;
    world->callback_arg = arg;
    if (world->class_manner != NEVER)
        assert_int_equal(uv_timer_start(&world->timer, deliver_class, 0, 0), 0);
    return (struct class_lookup *)(void *)world;
}

static inline void fake_class_cancel(struct class_lookup *lookup)
{
    struct world *world = (struct world *)(void *)lookup;

    (void)uv_timer_stop(&world->timer);
    world->class_callback = NULL;
    world->class_cancels++;
}

/* --- the fake observer --- */

static inline void deliver_status(uv_timer_t *timer)
{
    struct world *world = timer->data;
    observer_callback *callback = world->observer_callback;
    cleanup_error struct error *error = NULL;

    world->observer_callback = NULL;
    if (world->status_manner == AT_ONCE_BADLY)
        (void)error_set(&error, GRPC_STATUS_PERMISSION_DENIED, "the record is forbidden");
    callback(error, world->status_arg);
}

static inline struct observer_call *fake_status_start(void *state, const struct volume_event *event,
                                                      uint64_t timeout_ms, observer_callback *callback,
                                                      void *arg, struct error **err)
{
    struct world *world = state;
    const char *version = event->versions == NULL ? "?" : string_map_get(event->versions, "secret/password");

    assert_string_equal(event->target_path, TARGET);
    assert_string_equal(event->pod_name, "web-0");
    assert_string_equal(event->class_name, "web");
    if (event->class != NULL)
        assert_string_equal(event->class->name, "web");
    assert_int_equal(event->type == VOLUME_EVENT_FAILED, event->failure != NULL);
    world->recorded_event = event->type;
    (void)snprintf(world->recorded_failure, sizeof(world->recorded_failure), "%s",
                   error_message(event->failure));
    assert_in_range(timeout_ms, 1, TIMEOUT_MS);
    assert_int_equal(access(SECRET, R_OK), 0); /* the volume is complete before it is recorded */
    (void)snprintf(world->recorded_version, sizeof(world->recorded_version), "%s", version);
    world->status_starts++;
    if (world->status_manner == NOT_STARTED) {
        (void)error_set(err, GRPC_STATUS_UNAVAILABLE, "no observer");
        return NULL;
    }
    world->observer_callback = callback;
    world->status_arg = arg;
    if (world->status_manner != NEVER)
        assert_int_equal(uv_timer_start(&world->status_timer, deliver_status, 0, 0), 0);
    return (struct observer_call *)(void *)world;
}

static inline void fake_status_cancel(void *state, struct observer_call *call)
{
    struct world *world = state;

    assert_ptr_equal(call, world);
    (void)uv_timer_stop(&world->status_timer);
    world->observer_callback = NULL;
    world->status_cancels++;
}

static inline bool fake_status_is_required(void *state, const struct volume_event *event)
{
    const struct world *world = state;

    assert_int_equal(event->type, VOLUME_EVENT_MOUNTED);
    return world->needed;
}

static inline void fake_status_on_removed(void *state, const char *target_path)
{
    struct world *world = state;

    assert_string_equal(target_path, TARGET);
    world->forgotten++;
}

/* --- the provider --- */

static inline void hung_up(struct provider_mount *mount, void *arg)
{
    struct world *world = arg;
    cleanup_error struct error *error = NULL;

    world->provider_cancels++;
    world->held_mount = NULL;
    (void)error_set(&error, GRPC_STATUS_CANCELLED, "cancelled");
    provider_mount_fail(mount, error);
}

static inline void provide(struct provider_mount *mount, void *arg)
{
    struct world *world = arg;
    const char *text = world->provider_text;
    cleanup_error struct error *error = NULL;

    world->provider_calls++;
    world->versions_sent = provider_mount_current_count(mount);
    assert_string_equal(string_map_get(provider_mount_attributes(mount), "key"), "from the class");
    switch (world->provider_manner) {
    case NEVER:
        world->held_mount = mount;
        provider_mount_on_cancel(mount, hung_up, world);
        break;
    case AT_ONCE:
        assert_int_equal(provider_mount_add_file(mount, "password", 0644, text, strlen(text), NULL), 0);
        assert_int_equal(provider_mount_add_version(mount, "secret/password", text, NULL), 0);
        provider_mount_done(mount);
        break;
    case AT_ONCE_BADLY:
    case NOT_STARTED:
        (void)error_set(&error, GRPC_STATUS_PERMISSION_DENIED, "the vault said no");
        provider_mount_fail(mount, error);
        break;
    }
}

static inline const struct provider *provider_of(struct world *world)
{
    static struct provider provider; /* borrowed by the server for the length of a test */

    provider = (struct provider){.name = "fake", .version = "1.0.0", .mount = provide, .arg = world};
    return &provider;
}

/* --- the world --- */

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

static inline void serve_provider(struct world *world)
{
    char address[] = PROVIDER "/fake.sock";
    cleanup_error struct error *error = NULL;

    world->provider_server = provider_server_create(
        &world->loop, provider_of(world),
        &(struct provider_server_config){.endpoint = {.kind = ENDPOINT_UNIX, .address = address}}, &error);
    if (world->provider_server == NULL)
        fail_msg("%s", error_message(error));
}

static inline int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    *state = world;
    if (!may_mount)
        return 0;
    if (mount("test", "/mnt", "tmpfs", 0, "mode=0755") < 0 || mkdir(PROVIDER, 0755) < 0)
        return -1;
    assert_int_equal(uv_loop_init(&world->loop), 0);
    assert_int_equal(uv_timer_init(&world->loop, &world->timer), 0);
    world->timer.data = world;
    assert_int_equal(uv_timer_init(&world->loop, &world->status_timer), 0);
    world->status_timer.data = world;
    world->provider_text = "v1";
    world->class_provider = "fake";
    world->class_name = "web";
    world->pod_namespace = "shop";
    world->locks = volume_locks_create(NULL);
    world->volumes = volume_states_create(NULL);
    world->providers = provider_registry_create(
        &world->loop,
        &(struct provider_registry_config){
            .additional_directories = "", .directory = PROVIDER, .max_response_bytes = 4 << 20},
        NULL);
    serve_provider(world);
    world->classes = (struct class_source){
        .name = "fake", .start = fake_class_start, .cancel = fake_class_cancel, .state = world};
    world->class_cache = class_cache_create(&world->loop, &world->classes, 0, NULL, NULL);
    world->observers = (struct volume_observers){.list = {{.name = "fake",
                                                           .action = "record the volume's status",
                                                           .is_required = fake_status_is_required,
                                                           .start = fake_status_start,
                                                           .cancel = fake_status_cancel,
                                                           .on_removed = fake_status_on_removed,
                                                           .state = world}},
                                                 .n = 1};
    world->needed = true;
    world->publisher = (struct publisher){.loop = &world->loop,
                                          .locks = world->locks,
                                          .volumes = world->volumes,
                                          .classes = &world->classes,
                                          .class_cache = world->class_cache,
                                          .providers = world->providers,
                                          .observers = &world->observers};
    return 0;
}

static inline void destroy_server(void *arg)
{
    provider_server_destroy(arg);
}

static inline int tear_down(void **state)
{
    struct world *world = *state;

    if (may_mount) {
        assert_null(world->held_mount);
        class_cache_destroy(world->class_cache);
        provider_registry_destroy(world->providers);
        if (world->provider_server != NULL)
            provider_server_stop(world->provider_server, 0, destroy_server, world->provider_server);
        uv_close((uv_handle_t *)&world->timer, NULL);
        uv_close((uv_handle_t *)&world->status_timer, NULL);
        assert_int_equal(uv_run(&world->loop, UV_RUN_DEFAULT), 0);
        assert_int_equal(uv_loop_close(&world->loop), 0);
        volume_locks_destroy(world->locks);
        volume_states_destroy(world->volumes);
        assert_int_equal(umount2("/mnt", MNT_DETACH), 0);
    }
    free(world);
    return 0;
}

/* --- steps --- */

static inline void answered(const struct error *error, void *arg)
{
    struct world *world = arg;

    world->publish = NULL;
    world->answers++;
    world->code = error_code(error);
    (void)snprintf(world->message, sizeof(world->message), "%s", error_message(error));
}

static inline void start_publish(struct world *world)
{
    struct publish_request request = {.gid = (gid_t)-1, .readonly = !world->writable};
    const char *const context[][2] = {{CONTEXT_CLASS, world->class_name},
                                      {CONTEXT_POD_NAME, "web-0"},
                                      {CONTEXT_POD_NAMESPACE, world->pod_namespace},
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
    world->publish = publish_start(&world->publisher, &request, TIMEOUT_MS, answered, world, NULL);
    assert_non_null(world->publish);
    assert_null(request.target_path); /* moved */
}

/* Runs the loop until `reached` counts one more, or the publish is over. */
static inline void run_until(struct world *world, const unsigned *reached)
{
    unsigned before = *reached;
    unsigned answers = world->answers;

    while (*reached == before && world->answers == answers)
        assert_int_not_equal(uv_run(&world->loop, UV_RUN_ONCE), 0);
    assert_int_not_equal(*reached, before);
}

static inline void locks_are_idle(void *arg)
{
    bool *idle = arg;

    *idle = true;
}

static inline void run_until_idle(struct world *world)
{
    bool idle = false;

    volume_locks_on_idle(world->locks, locks_are_idle, &idle);
    while (!idle || world->held_mount != NULL)
        assert_int_not_equal(uv_run(&world->loop, UV_RUN_ONCE), 0);
}

static inline void publish(struct world *world)
{
    unsigned answers = world->answers;

    start_publish(world);
    run_until(world, &world->answers);
    assert_int_equal(world->answers, answers + 1);
    run_until_idle(world);
    assert_int_equal(world->answers, answers + 1);
}

static inline void must_publish(struct world *world)
{
    publish(world);
    if (world->code != GRPC_STATUS_OK)
        fail_msg("%d: %s", (int)world->code, world->message);
}

static inline void assert_failed(const struct world *world, enum grpc_status code, const char *text)
{
    assert_int_equal(world->code, code);
    if (strstr(world->message, text) == NULL)
        fail_msg("'%s' is not in '%s'", text, world->message);
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

/* Where a publish stands, by what the fakes were asked. */
enum stage { INSPECTING, LOOKING_UP, ASKING, RECORDING, STAGES };

/* A look has answered its caller by then. */
static inline void run_until_recording(struct world *world)
{
    assert_int_equal(world->status_manner, NEVER);
    while (world->observer_callback == NULL)
        assert_int_not_equal(uv_run(&world->loop, UV_RUN_ONCE), 0);
}

static inline void start_and_stop_at(struct world *world, enum stage stage)
{
    world->class_manner = stage == LOOKING_UP ? NEVER : AT_ONCE;
    world->provider_manner = stage == ASKING ? NEVER : AT_ONCE;
    world->status_manner = stage == RECORDING ? NEVER : AT_ONCE;
    start_publish(world);
    if (stage == LOOKING_UP)
        run_until(world, &world->class_starts);
    else if (stage == ASKING)
        run_until(world, &world->provider_calls);
    else if (stage == RECORDING)
        run_until_recording(world);
}

#define WORLD()                                                                                              \
    struct world *world = *state;                                                                            \
    if (!may_mount)                                                                                          \
    skip()

#endif
