/*
 * test_driver_publish.c - one publish through all of its states, and its ends: cancelled or interrupted in
 * each state, failing in
 * each state, taken back when its record can not be written.
 *
 * Real: the volume (in a mount namespace of its own, below a tmpfs on /mnt), the provider's socket,
 * workers. Fake: where classes
 * come from and where the status is recorded.
 */
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

#include "common/file.h"
#include "common/lifecycle.h"
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
    struct published_volumes *published;
    struct provider_registry *providers;
    struct provider_server *provider_server;
    struct class_source classes;
    struct class_memo *class_memo;
    struct status_recorders recorders;
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
    status_callback *status_callback;
    void *callback_arg;
    uv_timer_t status_timer; /* the same for the recorder */
    void *status_arg;
    struct provider_mount *held_mount; /* NEVER: until the driver hangs up */
    unsigned class_starts, class_cancels, provider_calls, provider_cancels, status_starts, status_cancels;
    unsigned forgotten;
    bool needed; /* the record, for a first mount */
    enum status_event recorded_event;
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

static void deliver_class(uv_timer_t *timer)
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

static struct class_lookup *fake_class_start(void *state, const char *ns, const char *name,
                                             uint64_t timeout_ms, class_lookup_callback *callback, void *arg,
                                             struct error **err)
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

static void fake_class_cancel(struct class_lookup *lookup)
{
    struct world *world = (struct world *)(void *)lookup;

    (void)uv_timer_stop(&world->timer);
    world->class_callback = NULL;
    world->class_cancels++;
}

/* --- the fake status recorder --- */

static void deliver_status(uv_timer_t *timer)
{
    struct world *world = timer->data;
    status_callback *callback = world->status_callback;
    cleanup_error struct error *error = NULL;

    world->status_callback = NULL;
    if (world->status_manner == AT_ONCE_BADLY)
        (void)error_set(&error, GRPC_STATUS_PERMISSION_DENIED, "the record is forbidden");
    callback(error, world->status_arg);
}

static struct status_call *fake_status_start(void *state, const struct status_record *record,
                                             uint64_t timeout_ms, status_callback *callback, void *arg,
                                             struct error **err)
{
    struct world *world = state;
    const char *version =
        record->versions == NULL ? "?" : string_map_get(record->versions, "secret/password");

    assert_string_equal(record->target_path, TARGET);
    assert_string_equal(record->pod_name, "web-0");
    assert_string_equal(record->class_name, "web");
    if (record->class != NULL)
        assert_string_equal(record->class->name, "web");
    assert_int_equal(record->event == STATUS_FAILED, record->failure != NULL);
    world->recorded_event = record->event;
    (void)snprintf(world->recorded_failure, sizeof(world->recorded_failure), "%s",
                   error_message(record->failure));
    assert_in_range(timeout_ms, 1, TIMEOUT_MS);
    assert_int_equal(access(SECRET, R_OK), 0); /* the volume is complete before it is recorded */
    (void)snprintf(world->recorded_version, sizeof(world->recorded_version), "%s", version);
    world->status_starts++;
    if (world->status_manner == NOT_STARTED) {
        (void)error_set(err, GRPC_STATUS_UNAVAILABLE, "no recorder");
        return NULL;
    }
    world->status_callback = callback;
    world->status_arg = arg;
    if (world->status_manner != NEVER)
        assert_int_equal(uv_timer_start(&world->status_timer, deliver_status, 0, 0), 0);
    return (struct status_call *)(void *)world;
}

static void fake_status_cancel(void *state, struct status_call *call)
{
    struct world *world = state;

    assert_ptr_equal(call, world);
    (void)uv_timer_stop(&world->status_timer);
    world->status_callback = NULL;
    world->status_cancels++;
}

static bool fake_status_needed(void *state, const struct status_record *record)
{
    const struct world *world = state;

    assert_int_equal(record->event, STATUS_MOUNTED);
    return world->needed;
}

static void fake_status_forget(void *state, const char *target_path)
{
    struct world *world = state;

    assert_string_equal(target_path, TARGET);
    world->forgotten++;
}

/* --- the provider --- */

static void hung_up(struct provider_mount *mount, void *arg)
{
    struct world *world = arg;
    cleanup_error struct error *error = NULL;

    world->provider_cancels++;
    world->held_mount = NULL;
    (void)error_set(&error, GRPC_STATUS_CANCELLED, "cancelled");
    provider_mount_fail(mount, error);
}

static void provide(struct provider_mount *mount, void *arg)
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

static const struct provider *provider_of(struct world *world)
{
    static struct provider provider; /* borrowed by the server for the length of a test */

    provider = (struct provider){.name = "fake", .version = "1.0.0", .mount = provide, .arg = world};
    return &provider;
}

/* --- the world --- */

static int group_set_up(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    may_mount =
        geteuid() == 0 && unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    if (!may_mount)
        (void)fprintf(stderr, "not root, or no mount namespaces here: the publish tests are skipped\n");
    return 0;
}

static void serve_provider(struct world *world)
{
    char address[] = PROVIDER "/fake.sock";
    cleanup_error struct error *error = NULL;

    world->provider_server = provider_server_create(
        &world->loop, provider_of(world),
        &(struct provider_server_config){.endpoint = {.kind = ENDPOINT_UNIX, .address = address}}, &error);
    if (world->provider_server == NULL)
        fail_msg("%s", error_message(error));
}

static int set_up(void **state)
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
    world->published = published_volumes_create(NULL);
    world->providers = provider_registry_create(
        &world->loop,
        &(struct provider_registry_config){
            .additional_directories = "", .directory = PROVIDER, .max_response_bytes = 4 << 20},
        NULL);
    serve_provider(world);
    world->classes = (struct class_source){
        .name = "fake", .start = fake_class_start, .cancel = fake_class_cancel, .state = world};
    world->class_memo = class_memo_create(&world->loop, &world->classes, 0, NULL, NULL);
    world->recorders = (struct status_recorders){.list = {{.name = "fake",
                                                           .action = "record the volume's status",
                                                           .needed = fake_status_needed,
                                                           .start = fake_status_start,
                                                           .cancel = fake_status_cancel,
                                                           .forget = fake_status_forget,
                                                           .state = world}},
                                                 .n = 1};
    world->needed = true;
    world->publisher = (struct publisher){.loop = &world->loop,
                                          .locks = world->locks,
                                          .published = world->published,
                                          .classes = &world->classes,
                                          .class_memo = world->class_memo,
                                          .providers = world->providers,
                                          .recorders = &world->recorders};
    return 0;
}

static void destroy_server(void *arg)
{
    provider_server_destroy(arg);
}

static int tear_down(void **state)
{
    struct world *world = *state;

    if (may_mount) {
        assert_int_equal(volume_locks_count(world->locks), 0);
        assert_null(world->held_mount);
        class_memo_destroy(world->class_memo);
        provider_registry_destroy(world->providers);
        if (world->provider_server != NULL)
            provider_server_stop(world->provider_server, 0, destroy_server, world->provider_server);
        uv_close((uv_handle_t *)&world->timer, NULL);
        uv_close((uv_handle_t *)&world->status_timer, NULL);
        assert_int_equal(uv_run(&world->loop, UV_RUN_DEFAULT), 0);
        assert_int_equal(uv_loop_close(&world->loop), 0);
        volume_locks_destroy(world->locks);
        published_volumes_destroy(world->published);
        assert_int_equal(umount2("/mnt", MNT_DETACH), 0);
    }
    free(world);
    return 0;
}

/* --- steps --- */

static void answered(const struct error *error, void *arg)
{
    struct world *world = arg;

    world->publish = NULL;
    world->answers++;
    world->code = error_code(error);
    (void)snprintf(world->message, sizeof(world->message), "%s", error_message(error));
}

static void start_publish(struct world *world)
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
static void run_until(struct world *world, const unsigned *reached)
{
    unsigned before = *reached;
    unsigned answers = world->answers;

    while (*reached == before && world->answers == answers)
        assert_int_not_equal(uv_run(&world->loop, UV_RUN_ONCE), 0);
    assert_int_not_equal(*reached, before);
}

static void run_until_idle(struct world *world)
{
    while (volume_locks_count(world->locks) > 0 || world->held_mount != NULL)
        assert_int_not_equal(uv_run(&world->loop, UV_RUN_ONCE), 0);
}

static void publish(struct world *world)
{
    unsigned answers = world->answers;

    start_publish(world);
    run_until(world, &world->answers);
    assert_int_equal(world->answers, answers + 1);
    run_until_idle(world);
    assert_int_equal(world->answers, answers + 1);
}

static void must_publish(struct world *world)
{
    publish(world);
    if (world->code != GRPC_STATUS_OK)
        fail_msg("%d: %s", (int)world->code, world->message);
}

static void assert_failed(const struct world *world, enum grpc_status code, const char *text)
{
    assert_int_equal(world->code, code);
    if (strstr(world->message, text) == NULL)
        fail_msg("'%s' is not in '%s'", text, world->message);
}

static enum volume_state state_of_target(void)
{
    enum volume_state state = VOLUME_CORRUPT;

    assert_int_equal(volume_inspect(TARGET, &state, NULL), 0);
    return state;
}

static void assert_content(const char *expected)
{
    cleanup_buffer struct buffer text = {0};

    assert_int_equal(state_of_target(), VOLUME_PUBLISHED);
    assert_int_equal(file_read(SECRET, 100, &text, NULL), 0);
    assert_string_equal(buffer_str(&text), expected);
}

static void unpublished(const struct error *error, void *arg)
{
    assert_null(error);
    (*(unsigned *)arg)++;
}

/* Where a publish stands, by what the fakes were asked. */
enum stage { INSPECTING, LOOKING_UP, ASKING, RECORDING, STAGES };

/* A look has answered its caller by then. */
static void run_until_recording(struct world *world)
{
    assert_int_equal(world->status_manner, NEVER);
    while (world->status_callback == NULL)
        assert_int_not_equal(uv_run(&world->loop, UV_RUN_ONCE), 0);
}

static void start_and_stop_at(struct world *world, enum stage stage)
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

/* --- the way through --- */

static void a_volume_appears_and_is_recorded(void **state)
{
    WORLD();
    must_publish(world);
    assert_content("v1");
    assert_int_equal(world->class_starts, 1);
    assert_int_equal(world->provider_calls, 1);
    assert_int_equal(world->versions_sent, 0);
    assert_int_equal(world->status_starts, 1);
    assert_string_equal(world->recorded_version, "v1");
    assert_string_equal(
        string_map_get(&published_volumes_find(world->published, TARGET)->versions, "secret/password"), "v1");
}

static void without_a_recorder_nothing_is_recorded(void **state)
{
    WORLD();
    world->publisher.recorders = NULL;
    must_publish(world);
    assert_content("v1");
    assert_int_equal(world->status_starts, 0);
}

static void a_second_publish_asks_nobody(void **state)
{
    WORLD();
    must_publish(world);
    world->class_manner = world->provider_manner = world->status_manner = AT_ONCE_BADLY;
    must_publish(world);
    assert_int_equal(world->class_starts, 1);
    assert_int_equal(world->provider_calls, 1);
    assert_content("v1");
}

static void a_look_that_is_due_updates_the_files_and_the_record(void **state)
{
    WORLD();
    world->publisher.rotation = true;
    must_publish(world);
    world->provider_text = "v2";
    must_publish(world);
    assert_content("v2");
    assert_int_equal(world->versions_sent, 1); /* what is mounted now is told */
    assert_int_equal(world->status_starts, 2);
    assert_string_equal(world->recorded_version, "v2");
}

static void a_look_before_the_interval_is_over_asks_nobody(void **state)
{
    WORLD();
    world->publisher.rotation = true;
    world->publisher.rotation_interval_s = 3600;
    must_publish(world);
    must_publish(world);
    assert_int_equal(world->provider_calls, 1);
}

/* As after a restart: nothing is in memory, the volume tells. */
static void forget_everything(struct world *world)
{
    published_volumes_destroy(world->published);
    world->published = published_volumes_create(NULL);
    world->publisher.published = world->published;
}

static void a_restarted_driver_knows_the_interval_the_provider_and_the_versions(void **state)
{
    const struct published_volume *volume;
    WORLD();

    world->publisher.rotation = true;
    world->publisher.rotation_interval_s = 3600;
    must_publish(world);
    forget_everything(world);
    must_publish(world);
    assert_int_equal(world->provider_calls, 1);
    volume = published_volumes_find(world->published, TARGET);
    assert_non_null(volume);
    assert_string_equal(volume->provider, "fake");
    assert_string_equal(string_map_get(&volume->versions, "secret/password"), "v1");
    world->publisher.rotation_interval_s = 0;
    forget_everything(world);
    must_publish(world);
    assert_int_equal(world->provider_calls, 2);
    assert_int_equal(world->versions_sent, 1);
}

static void without_rotation_a_restarted_driver_knows_the_provider(void **state)
{
    WORLD();
    must_publish(world);
    forget_everything(world);
    must_publish(world);
    assert_int_equal(world->class_starts, 1);
    assert_int_equal(world->provider_calls, 1);
    assert_string_equal(published_volumes_find(world->published, TARGET)->provider, "fake");
}

static void the_class_can_ask_for_a_look_before_the_interval_is_over(void **state)
{
    WORLD();
    world->publisher.rotation = true;
    world->publisher.rotation_interval_s = 3600;
    world->refresh = "monday";
    must_publish(world);
    must_publish(world);
    assert_int_equal(world->provider_calls, 1);
    world->provider_text = "v2";
    world->refresh = "tuesday";
    must_publish(world);
    assert_int_equal(world->provider_calls, 2);
    assert_content("v2");
    forget_everything(world); /* the wish that was granted is remembered by the volume */
    must_publish(world);
    assert_int_equal(world->provider_calls, 2);
}

/* A wish is tried at once, and its failure waits like any other. */
static void a_wish_that_fails_does_not_become_a_loop(void **state)
{
    WORLD();
    world->publisher.rotation = true;
    world->publisher.rotation_interval_s = 3600;
    must_publish(world);
    world->provider_manner = AT_ONCE_BADLY;
    world->refresh = "now";
    must_publish(world);
    must_publish(world);
    assert_int_equal(world->provider_calls, 2);
    world->provider_manner = AT_ONCE;
    world->refresh = "now, please"; /* another wish does not wait */
    must_publish(world);
    assert_int_equal(world->provider_calls, 3);
    assert_int_equal(published_volumes_find(world->published, TARGET)->failures, 0);
}

static void a_class_can_have_an_interval_of_its_own(void **state)
{
    WORLD();
    world->publisher.rotation = true;
    world->publisher.rotation_interval_s = 0;
    world->rotation_interval = "1h";
    must_publish(world);
    must_publish(world);
    assert_int_equal(world->provider_calls, 1);
    world->rotation_interval = "often"; /* not understood: the driver's own applies */
    must_publish(world);
    assert_int_equal(world->provider_calls, 2);
}

/* What the API server does not say any more holds as it was said last. */
static void a_class_that_can_not_be_read_is_no_reason_to_look(void **state)
{
    WORLD();
    world->publisher.rotation = true;
    world->publisher.rotation_interval_s = 0;
    world->rotation_interval = "1h";
    must_publish(world);
    world->class_manner = AT_ONCE_BADLY;
    must_publish(world);
    assert_int_equal(published_volumes_find(world->published, TARGET)->failures, 0);
    world->class_manner = NOT_STARTED;
    must_publish(world);
    assert_int_equal(published_volumes_find(world->published, TARGET)->failures, 0);
    assert_int_equal(world->provider_calls, 1);
}

/* --- failures --- */

static void a_first_publish_that_fails_leaves_nothing(void **state)
{
    static const struct {
        enum manner class_manner, provider_manner, status_manner;
        enum grpc_status code;
        const char *text;
    } table[] = {
        {AT_ONCE_BADLY, AT_ONCE, AT_ONCE, GRPC_STATUS_NOT_FOUND,
         "failed to get secretproviderclass shop/web: \"web\" not found"},
        {NOT_STARTED, AT_ONCE, AT_ONCE, GRPC_STATUS_RESOURCE_EXHAUSTED, "no memory for a lookup"},
        {AT_ONCE, AT_ONCE_BADLY, AT_ONCE, GRPC_STATUS_PERMISSION_DENIED,
         "failed to mount secrets store objects for pod shop/web-0: provider \"fake\": the vault said no"},
        {AT_ONCE, AT_ONCE, AT_ONCE_BADLY, GRPC_STATUS_PERMISSION_DENIED,
         "record the volume's status: the record is forbidden"},
        {AT_ONCE, AT_ONCE, NOT_STARTED, GRPC_STATUS_UNAVAILABLE, "no recorder"},
    };
    WORLD();

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        world->class_manner = table[i].class_manner;
        world->provider_manner = table[i].provider_manner;
        world->status_manner = table[i].status_manner;
        publish(world);
        assert_failed(world, table[i].code, table[i].text);
        assert_int_equal(state_of_target(), VOLUME_ABSENT);
        assert_null(published_volumes_find(world->published, TARGET));
    }
    world->class_manner = world->provider_manner = world->status_manner = AT_ONCE;
    must_publish(world);
    assert_content("v1");
}

static void a_request_that_can_not_be_served_is_refused(void **state)
{
    static const struct {
        const char *class_name, *pod_namespace, *class_provider;
        bool no_parameters, writable;
        enum grpc_status code;
        const char *text;
    } table[] = {
        {"", "shop", "fake", false, false, GRPC_STATUS_INVALID_ARGUMENT, "secretProviderClass is not set"},
        {"../web", "shop", "fake", false, false, GRPC_STATUS_INVALID_ARGUMENT,
         "secretProviderClass '../web' is not a Kubernetes object name"},
        {"web", "", "fake", false, false, GRPC_STATUS_INVALID_ARGUMENT, "podInfoOnMount must be true"},
        {"web", "a/b", "fake", false, false, GRPC_STATUS_INVALID_ARGUMENT, "'a/b' is not a namespace"},
        {"web", "shop", "", false, false, GRPC_STATUS_INVALID_ARGUMENT,
         "provider is not set in secretproviderclass shop/web"},
        {"web", "shop", "fake", true, false, GRPC_STATUS_INVALID_ARGUMENT,
         "parameters are not set in secretproviderclass shop/web"},
        {"web", "shop", "fake", false, true, GRPC_STATUS_INVALID_ARGUMENT, "readOnly is not true"},
        {"web", "shop", "other", false, false, GRPC_STATUS_FAILED_PRECONDITION,
         "provider not found: provider \"other\""},
        {"web", "shop", "a/b", false, false, GRPC_STATUS_INVALID_ARGUMENT, "invalid provider"},
    };
    WORLD();

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        world->class_name = table[i].class_name;
        world->pod_namespace = table[i].pod_namespace;
        world->class_provider = table[i].class_provider;
        world->no_parameters = table[i].no_parameters;
        world->writable = table[i].writable;
        publish(world);
        assert_failed(world, table[i].code, table[i].text);
        assert_int_equal(state_of_target(), VOLUME_ABSENT);
    }
    assert_int_equal(world->provider_calls, 0);
}

/* A container restarts: its complete volume is there, whatever the request looks like by now. */
static void a_complete_volume_comes_before_any_judgement(void **state)
{
    WORLD();
    must_publish(world);
    world->class_name = "";
    world->pod_namespace = "";
    world->writable = true;
    must_publish(world);
    assert_content("v1");
}

static void the_source_may_have_a_default_namespace(void **state)
{
    WORLD();
    world->pod_namespace = "";
    world->classes.default_namespace = "shop";
    must_publish(world);
    assert_content("v1");
}

static void a_look_that_fails_is_answered_ok_and_changes_nothing(void **state)
{
    static const struct {
        enum manner class_manner, provider_manner;
        const char *failure;
    } table[] = {
        {AT_ONCE_BADLY, AT_ONCE, "failed to get secretproviderclass shop/web: \"web\" not found"},
        {NOT_STARTED, AT_ONCE, "no memory for a lookup"},
        {AT_ONCE, AT_ONCE_BADLY, "the vault said no"},
    };
    WORLD();

    world->publisher.rotation = true;
    must_publish(world);
    world->provider_text = "v2";
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct published_volume *volume = published_volumes_find(world->published, TARGET);

        world->class_manner = table[i].class_manner;
        world->provider_manner = table[i].provider_manner;
        world->recorders.list[0].failures = i > 0;
        must_publish(world);
        assert_content("v1");
        assert_int_equal(world->status_starts, i + 1); /* only a recorder that wants failures is told */
        if (i > 0) {
            assert_int_equal(world->recorded_event, STATUS_FAILED);
            assert_non_null(strstr(world->recorded_failure, table[i].failure));
            assert_string_equal(world->recorded_version, "v1"); /* still mounted */
        }
        assert_int_equal(volume->failures, i + 1);
        assert_true(volume->retry_unix > clock_unix_s());
        must_publish(world); /* too early for another try */
        assert_int_equal(volume->failures, i + 1);
        volume->retry_unix = 0;
    }
}

/* A recorder that is in trouble is nobody's trouble but its own. */
static void a_look_that_can_not_be_recorded_is_a_look_all_the_same(void **state)
{
    WORLD();
    world->publisher.rotation = true;
    must_publish(world);
    for (enum manner manner = AT_ONCE_BADLY; manner <= NOT_STARTED; manner++) {
        unsigned answers = world->answers;

        world->provider_text = "v2";
        world->status_manner = manner;
        start_publish(world);
        run_until(world, &world->answers);
        assert_int_equal(world->code, GRPC_STATUS_OK);
        assert_content("v2");
        if (manner == NEVER) {
            run_until_recording(world); /* after the answer: the kubelet does not wait for it */
            assert_int_equal(world->answers, answers + 1);
            deliver_status(&world->status_timer);
        }
        run_until_idle(world);
        assert_int_equal(world->recorded_event, STATUS_LOOKED);
        assert_int_equal(published_volumes_find(world->published, TARGET)->failures, 0);
    }
}

static void a_first_mount_that_needs_no_record_stands_without_one(void **state)
{
    WORLD();
    world->needed = false;
    for (enum manner manner = AT_ONCE_BADLY; manner <= NOT_STARTED; manner++) {
        if (manner == NEVER)
            continue;
        world->status_manner = manner;
        must_publish(world);
        assert_content("v1");
        assert_int_equal(volume_unpublish(TARGET, NULL), 0);
    }
    assert_int_equal(world->forgotten, 0);
}

/* What an update that was cut short has left: a version is shown, but a link in the volume is missing. */
static void cut_the_volume_short(void)
{
    assert_int_equal(mount(NULL, TARGET, NULL, MS_REMOUNT, NULL), 0);
    assert_int_equal(unlink(SECRET), 0);
    assert_int_equal(state_of_target(), VOLUME_INCOMPLETE);
}

static void a_volume_that_may_be_in_use_is_completed_and_never_taken_back(void **state)
{
    WORLD();
    must_publish(world);
    for (enum manner manner = AT_ONCE_BADLY; manner <= NOT_STARTED; manner++) {
        if (manner == NEVER)
            continue;
        cut_the_volume_short();
        world->status_manner = manner;
        must_publish(world);
        assert_content("v1");
    }
    cut_the_volume_short();
    start_and_stop_at(world, RECORDING);
    publish_cancel(&world->publish, GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(world->status_cancels, 0); /* it is recorded although nobody waits */
    deliver_status(&world->status_timer);
    run_until_idle(world);
    assert_content("v1");
}

static void what_somebody_else_mounted_is_left_alone(void **state)
{
    WORLD();
    must_publish(world);
    assert_int_equal(volume_unpublish(TARGET, NULL), 0);
    assert_int_equal(mkdir(TARGET, 0755), 0);
    assert_int_equal(mount("/proc", TARGET, NULL, MS_BIND, NULL), 0);
    publish(world);
    assert_failed(world, GRPC_STATUS_FAILED_PRECONDITION, "is taken: it is a mount of another kind");
    assert_int_equal(umount2(TARGET, 0), 0);
}

/* --- ends before the end --- */

static void assert_children_ended(const struct world *world, enum stage stage)
{
    assert_int_equal(world->class_cancels, stage >= LOOKING_UP ? 1 : 0);
    assert_int_equal(world->provider_cancels, stage >= ASKING ? 1 : 0);
    assert_int_equal(world->status_cancels, stage >= RECORDING ? 1 : 0);
}

static void a_publish_can_be_cancelled_in_every_state_and_leaves_nothing(void **state)
{
    WORLD();
    for (enum stage stage = INSPECTING; stage < STAGES; stage++) {
        start_and_stop_at(world, stage);
        publish_cancel(&world->publish, GRPC_STATUS_DEADLINE_EXCEEDED);
        assert_null(world->publish);
        run_until_idle(world);
        assert_int_equal(world->answers, 0); /* nobody is told: the caller knows */
        assert_children_ended(world, stage);
        assert_int_equal(state_of_target(), VOLUME_ABSENT);
    }
    world->status_manner = AT_ONCE;
    must_publish(world);
    assert_content("v1");
}

static void an_unpublish_interrupts_a_publish_in_every_state(void **state)
{
    unsigned done = 0;
    WORLD();

    for (enum stage stage = INSPECTING; stage < STAGES; stage++) {
        start_and_stop_at(world, stage);
        assert_non_null(unpublish_start(&world->publisher, TARGET, unpublished, &done, NULL));
        assert_int_equal(world->answers, (unsigned)stage + 1); /* at once */
        assert_failed(world, GRPC_STATUS_ABORTED, "the volume is being unpublished");
        run_until_idle(world);
        assert_int_equal(done, (unsigned)stage + 1);
        assert_children_ended(world, stage);
        assert_int_equal(state_of_target(), VOLUME_ABSENT);
    }
}

/* The worker writes; what it has completed is not recorded, so it goes again. Cancelled as soon as the
 * provider
 * has answered. */
static void a_publish_cancelled_while_it_writes_is_taken_back(void **state)
{
    WORLD();
    world->provider_manner = AT_ONCE;
    start_publish(world);
    run_until(world, &world->provider_calls);
    /* The answer is on its way; go on turn by turn until the volume appears, or the record is asked for. */
    while (state_of_target() != VOLUME_PUBLISHED && world->status_starts == 0)
        assert_int_not_equal(uv_run(&world->loop, UV_RUN_NOWAIT), 0);
    publish_cancel(&world->publish, GRPC_STATUS_CANCELLED);
    run_until_idle(world);
    assert_int_equal(world->answers, 0);
    assert_int_equal(state_of_target(), VOLUME_ABSENT);
}

static void a_look_that_is_cancelled_keeps_the_volume(void **state)
{
    WORLD();
    world->publisher.rotation = true;
    must_publish(world);
    world->recorders.list[0].failures = true;
    for (enum stage stage = LOOKING_UP; stage < RECORDING; stage++) {
        struct published_volume *volume = published_volumes_find(world->published, TARGET);

        volume->retry_unix = 0;
        start_and_stop_at(world, stage);
        publish_cancel(&world->publish, GRPC_STATUS_UNAVAILABLE);
        run_until_idle(world);
        if (stage == LOOKING_UP) { /* the request goes on, for the next who asks */
            assert_int_equal(world->class_cancels, 0);
            world->class_manner = AT_ONCE;
            assert_int_equal(uv_timer_start(&world->timer, deliver_class, 0, 0), 0);
            while (world->class_callback != NULL)
                (void)uv_run(&world->loop, UV_RUN_NOWAIT);
        }
        assert_content("v1");
        assert_int_equal(volume->failures, (unsigned)stage);
        assert_int_equal(world->recorded_event, STATUS_FAILED);
        assert_non_null(strstr(world->recorded_failure, "the caller did not wait"));
    }
    assert_int_equal(world->answers, 1);
}

/* The caller of a look has its answer; whoever unpublishes need not wait for the record. */
static void an_unpublish_does_not_wait_for_a_look_to_be_recorded(void **state)
{
    unsigned done = 0;
    WORLD();

    world->publisher.rotation = true;
    must_publish(world);
    start_and_stop_at(world, RECORDING);
    assert_int_equal(world->answers, 2);
    assert_int_equal(world->code, GRPC_STATUS_OK);
    assert_non_null(unpublish_start(&world->publisher, TARGET, unpublished, &done, NULL));
    run_until_idle(world);
    assert_int_equal(done, 1);
    assert_int_equal(world->status_cancels, 1);
    assert_int_equal(world->forgotten, 1);
    assert_int_equal(state_of_target(), VOLUME_ABSENT);
    assert_int_equal(world->answers, 2);
}

/* While a volume is taken back, an unpublish comes: the caller is told ABORTED, and both removals agree. */
static void an_unpublish_may_come_during_the_rollback(void **state)
{
    unsigned done = 0;
    WORLD();

    world->status_manner = NOT_STARTED; /* ROLLBACK starts inside the callback of the write */
    start_publish(world);
    run_until(world, &world->status_starts);
    assert_int_equal(world->answers, 0);
    assert_non_null(unpublish_start(&world->publisher, TARGET, unpublished, &done, NULL));
    assert_int_equal(world->answers, 1);
    assert_failed(world, GRPC_STATUS_ABORTED, "the volume is being unpublished");
    run_until_idle(world);
    assert_int_equal(world->answers, 1);
    assert_int_equal(done, 1);
    assert_int_equal(state_of_target(), VOLUME_ABSENT);
}

static void a_publish_can_be_cancelled_during_the_rollback(void **state)
{
    WORLD();
    world->status_manner = NOT_STARTED;
    start_publish(world);
    run_until(world, &world->status_starts);
    publish_cancel(&world->publish, GRPC_STATUS_DEADLINE_EXCEEDED);
    run_until_idle(world);
    assert_int_equal(world->answers, 0);
    assert_int_equal(state_of_target(), VOLUME_ABSENT);
}

/* The kubelet repeats a call whose first one still unwinds: the second waits, then finds the work done. */
static void a_second_publish_waits_for_the_first(void **state)
{
    struct publish *first;
    WORLD();

    start_publish(world);
    first = world->publish;
    start_publish(world);
    assert_ptr_not_equal(world->publish, first);
    run_until(world, &world->answers);
    run_until(world, &world->answers);
    run_until_idle(world);
    assert_int_equal(world->answers, 2);
    assert_int_equal(world->code, GRPC_STATUS_OK);
    assert_int_equal(world->provider_calls, 1);
    assert_content("v1");
}

static void who_is_cancelled_in_the_queue_leaves_the_first_alone(void **state)
{
    WORLD();
    start_publish(world);
    start_publish(world);
    publish_cancel(&world->publish, GRPC_STATUS_CANCELLED);
    run_until(world, &world->answers);
    run_until_idle(world);
    assert_int_equal(world->answers, 1);
    assert_int_equal(world->code, GRPC_STATUS_OK);
    assert_content("v1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_volume_appears_and_is_recorded),
        TEST(without_a_recorder_nothing_is_recorded),
        TEST(a_second_publish_asks_nobody),
        TEST(a_look_that_is_due_updates_the_files_and_the_record),
        TEST(a_look_before_the_interval_is_over_asks_nobody),
        TEST(a_restarted_driver_knows_the_interval_the_provider_and_the_versions),
        TEST(without_rotation_a_restarted_driver_knows_the_provider),
        TEST(the_class_can_ask_for_a_look_before_the_interval_is_over),
        TEST(a_wish_that_fails_does_not_become_a_loop),
        TEST(a_class_can_have_an_interval_of_its_own),
        TEST(a_class_that_can_not_be_read_is_no_reason_to_look),
        TEST(a_first_publish_that_fails_leaves_nothing),
        TEST(a_request_that_can_not_be_served_is_refused),
        TEST(a_complete_volume_comes_before_any_judgement),
        TEST(the_source_may_have_a_default_namespace),
        TEST(a_look_that_fails_is_answered_ok_and_changes_nothing),
        TEST(a_look_that_can_not_be_recorded_is_a_look_all_the_same),
        TEST(a_first_mount_that_needs_no_record_stands_without_one),
        TEST(a_volume_that_may_be_in_use_is_completed_and_never_taken_back),
        TEST(what_somebody_else_mounted_is_left_alone),
        TEST(a_publish_can_be_cancelled_in_every_state_and_leaves_nothing),
        TEST(an_unpublish_interrupts_a_publish_in_every_state),
        TEST(a_publish_cancelled_while_it_writes_is_taken_back),
        TEST(a_look_that_is_cancelled_keeps_the_volume),
        TEST(an_unpublish_does_not_wait_for_a_look_to_be_recorded),
        TEST(an_unpublish_may_come_during_the_rollback),
        TEST(a_publish_can_be_cancelled_during_the_rollback),
        TEST(a_second_publish_waits_for_the_first),
        TEST(who_is_cancelled_in_the_queue_leaves_the_first_alone),
    };

    return cmocka_run_group_tests(tests, group_set_up, NULL);
}
