/*
 * fuzz_csi_node.c - requests of csi.v1.Node: from the bytes of a message to the operation behind it. The
 * first byte chooses the method, and whether the operation fails, is cancelled or succeeds.
 *
 * The target stands in for the operations: nothing is mounted. What they get has a harmless path; the
 * kubelet's keys of the volume context are the kubelet's; for a parameter that class and pod both define the
 * class wins, unless the operator lets the pod.
 */
#include "driver/base/worker.h"
#include "driver/csi/csi_node.h"
#include "driver/publish/publish.h"
#include "driver/publish/unpublish.h"
#include "driver/volume/target_path.h"
#include "driver/volume/volume.h"
#include "test/fuzz/fuzz_call.h"

struct publish {
    publish_callback *done;
    void *arg;
};
struct unpublish {
    publish_callback *done;
    void *arg;
};

static struct publish publish;
static struct unpublish unpublish;

/* Independent of target_path.c: no component of the path leads elsewhere. */
static void expect_harmless(const char *path)
{
    size_t len = strlen(path);

    EXPECT(path[0] == '/' && strstr(path, "/../") == NULL);
    EXPECT(strcmp(path + len - (len < 3 ? len : 3), "/..") != 0);
}

static const char *const class_parameters[][2] = {
    {"objects", "class"}, {"csi.storage.k8s.io/pod.uid", "forged"}, {"secretProviderClass", "class"}};

static void expect_entry(const struct string_map *map, const char *key, const char *value)
{
    const char *found = string_map_get(map, key);

    EXPECT(found != NULL && strcmp(found, value) == 0);
}

static void check_attributes(const struct publish_request *request, bool pod_overrides)
{
    cleanup_string_map struct string_map parameters = {0}, attributes = {0};
    const char *forged = string_map_get(&request->context, class_parameters[1][0]);
    const char *pods = string_map_get(&request->context, "objects");
    const char *tokens = string_map_get(&request->secrets, CONTEXT_TOKENS);

    for (size_t i = 0; i < ARRAY_SIZE(class_parameters); i++)
        (void)string_map_set(&parameters, class_parameters[i][0], class_parameters[i][1], NULL);
    if (publish_request_attributes(request, &parameters, pod_overrides, &attributes, NULL) < 0)
        return;
    expect_entry(&attributes, "objects", pod_overrides && pods != NULL ? pods : "class");
    if (forged == NULL)
        EXPECT(string_map_get(&attributes, class_parameters[1][0]) == NULL);
    else
        expect_entry(&attributes, class_parameters[1][0], forged);
    if (tokens != NULL && tokens[0] != '\0')
        expect_entry(&attributes, CONTEXT_TOKENS, tokens);
    for (size_t i = 0; i < request->context.n; i++) {
        const struct string_map_entry *entry = &request->context.entries[i];

        if (string_map_get(&parameters, entry->key) == NULL && strcmp(entry->key, CONTEXT_TOKENS) != 0)
            expect_entry(&attributes, entry->key, entry->value);
    }
}

struct publish *publish_start(const struct publisher *publisher, struct publish_request *request,
                              uint64_t timeout_ms, publish_callback *done, void *arg, struct error **err)
{
    struct target_path target;
    bool fails = request->readonly && request->class_name[0] == '\0';

    (void)publisher;
    (void)timeout_ms;
    expect_harmless(request->target_path);
    EXPECT(request->volume_id[0] != '\0' && request->context.n > 0);
    if (target_path_parse(request->target_path, &target))
        EXPECT(strlen(request->pod_uid) == target.pod_uid_len &&
               strncmp(request->pod_uid, target.pod_uid, target.pod_uid_len) == 0);
    check_attributes(request, /* pod_overrides= */ false);
    check_attributes(request, /* pod_overrides= */ true);
    publish_request_finish(request);
    if (fails) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    publish = (struct publish){done, arg};
    return &publish;
}

uint64_t publish_response_margin(uint64_t timeout_ms)
{
    (void)timeout_ms;
    return 0;
}

void publish_pending_error(const struct publish *pending, struct error **err)
{
    (void)pending;
    (void)error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED, "pending");
}

void publish_cancel(struct publish **cancelled, enum grpc_status reason)
{
    EXPECT(reason == GRPC_STATUS_CANCELLED);
    **cancelled = (struct publish){0};
    *cancelled = NULL;
}

struct unpublish *unpublish_start(const struct publisher *publisher, const char *target_path,
                                  publish_callback *done, void *arg, struct error **err)
{
    (void)publisher;
    (void)err;
    expect_harmless(target_path);
    unpublish = (struct unpublish){done, arg};
    return &unpublish;
}

void unpublish_cancel(struct unpublish **cancelled)
{
    **cancelled = (struct unpublish){0};
    *cancelled = NULL;
}

static bool operation_fails;

int volume_stats(const char *target_path, struct volume_stats *ret_stats, struct error **err)
{
    expect_harmless(target_path);
    if (operation_fails)
        return error_set(err, GRPC_STATUS_NOT_FOUND, "no volume");
    *ret_stats = (struct volume_stats){.total_bytes = UINT64_MAX, .used_bytes = 1};
    return 0;
}

/* The worker, which a cancelled call leaves behind. */
static struct {
    void (*done)(void *job);
    void *job;
} work;

int worker_start(uv_loop_t *loop, void (*run)(void *job), void (*done)(void *job), void *job,
                 struct error **err)
{
    (void)loop;
    (void)err;
    run(job);
    work.done = done;
    work.job = job;
    return 0;
}

void pods_mounts_seen(struct pods_mounts *pods, const char *target_path)
{
    (void)pods;
    expect_harmless(target_path);
}

static void finish_operation(void)
{
    cleanup_error struct error *error = NULL;

    if (operation_fails)
        (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "the operation failed");
    if (publish.done != NULL)
        publish.done(error, publish.arg);
    if (unpublish.done != NULL)
        unpublish.done(error, unpublish.arg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct publisher publisher;
    static struct csi_node node = {.node_id = "node-1", .publisher = &publisher};
    static struct grpc_service storage;
    struct grpc_call call = {0};
    ProtobufCMessage *message;

    if (fuzz_service == NULL)
        csi_node_add(/* server= */ NULL, &node, &storage);
    if (size < 1)
        return 0;
    operation_fails = (data[0] & 0x40) != 0;
    publish = (struct publish){0};
    unpublish = (struct unpublish){0};
    work.done = NULL;
    message = fuzz_serve(&call, data[0] & 0x3f, data + 1, size - 1);
    if ((data[0] & 0x80) != 0 && call.cancelled != NULL)
        call.cancelled(&call, call.arg);
    else
        finish_operation();
    if (work.done != NULL)
        work.done(work.job);
    EXPECT(call.n_ended == (message != NULL ? 1 : 0));
    message_free(message);
    return 0;
}
