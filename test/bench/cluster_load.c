/*
 * cluster_load.c - plays kubelet and driver of many nodes in front of real providers.
 *
 * Each node is a provider's socket, DIRECTORY/<number>.sock, with a number of pods. A pod calls Mount until
 * it has its secrets, with the kubelet's deadline and its growing pauses; then it calls again as a republish,
 * whenever the kubelet's call for it finds a rotation check due by the rules of the driver (rotation.h).
 * Nothing is mounted. Pods with the same number modulo --classes use the same class; class c reads the
 * secrets c<c>-o0, c<c>-o1 ... of the vault vault<c modulo --vaults>, as the application
 * app<c modulo --apps>.
 *
 * --speed divides all times of kubelet and driver. Each call that ends is one line of the log: milliseconds
 * of the monotonic clock, node, pod, class, "first" or "check", gRPC status, milliseconds that it took,
 * milliseconds since the pod's start (first) or its last successful call (check).
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "common/base/backoff.h"
#include "common/base/buffer.h"
#include "common/base/secret.h"
#include "common/grpc/client.h"
#include "common/process/lifecycle.h"
#include "common/process/options.h"
#include "driver/rotation/rotation.h"
#include "proto/provider.pb-c.h"

enum {
    MOUNT_LIMIT_MS = 118000, /* of the kubelet's 2 minutes the driver keeps a margin */
    SYNC_MIN_MS = 60000,     /* the kubelet's calls for a mounted volume */
    SYNC_MAX_MS = 90000,
    ONCE_MS = 1000,               /* a driver's second: its rules count in seconds */
    CONTAINER_START_MS = 2000,    /* --wave: a pod counts as started so long after its secrets are there */
    MAX_ATTRIBUTES = 1024 * 1024, /* 500 objects have 40 KiB */
};

/* The kubelet's pauses after a failed mount. */
static const struct backoff kubelet_pauses = {.first = 500, .growth_percent = 200, .cap = 122000};

struct options {
    const char *directory;
    const char *log;
    const char *prefix;
    int64_t nodes, pods, classes, objects, vaults, apps, wave, speed, seconds, seed;
    int64_t spread_ns, interval_ns;
};

#define ROW(flag, kind, member, value, text)                                                                 \
    {                                                                                                        \
        .name = (flag), .type = (kind), .offset = offsetof(struct options, member),                          \
        .default_value = (value), .help = (text)                                                             \
    }
static const struct option_row rows[] = {
    ROW("directory", OPTION_STRING, directory, NULL, "`directory` of the sockets 0.sock, 1.sock ..."),
    ROW("log", OPTION_STRING, log, "/dev/null", "`file` for one line for each call"),
    ROW("prefix", OPTION_STRING, prefix, "pod", "start of the pods' `name`"),
    ROW("nodes", OPTION_INT, nodes, "1", "`number` of nodes"),
    ROW("pods", OPTION_INT, pods, "30", "`number` of pods of a node"),
    ROW("classes", OPTION_INT, classes, "20", "`number` of classes"),
    ROW("objects", OPTION_INT, objects, "5", "`number` of secrets of a class"),
    ROW("vaults", OPTION_INT, vaults, "1", "`number` of vaults"),
    ROW("apps", OPTION_INT, apps, "1", "`number` of applications"),
    ROW("wave", OPTION_INT, wave, "0", "`number` of pods that may be starting at a time; 0 = all"),
    ROW("speed", OPTION_INT, speed, "1", "`factor` by which kubelet and driver are faster"),
    ROW("seconds", OPTION_INT, seconds, "0", "`number` of seconds to run; 0 = until all pods have started"),
    ROW("seed", OPTION_INT, seed, "1", "`number` that the random times depend on"),
    ROW("spread", OPTION_DURATION, spread_ns, "0s", "`time` within which the nodes start"),
    ROW("rotation-poll-interval", OPTION_DURATION, interval_ns, "0s", "`interval`; 0 = no rotation checks"),
};

struct pod {
    struct node *node;
    uv_timer_t timer;
    unsigned number;
    bool ready;
    unsigned failures;
    uint32_t seed;
    uint64_t started_ms; /* the first call, or the start of the node if it was to wait */
    uint64_t called_ms;
    uint64_t served_ms; /* the last successful call */
    uint64_t retry_ms;  /* no rotation check before */
    V1alpha1__MountResponse *mounted;
};

struct node {
    struct load *load;
    unsigned number;
    struct grpc_channel *channel;
    struct pod *pods;
};

struct load {
    struct options options;
    uv_loop_t loop;
    uv_timer_t end;
    uint64_t random;
    struct node *nodes;
    int64_t n_pods, next, n_ready; /* pods, of all nodes; next: in a wave */
    FILE *log;
    bool ended;
    bool failed;
};

static uint64_t random_below(struct load *load, uint64_t limit)
{
    load->random = load->random * 6364136223846793005U + 1442695040888963407U;
    return limit == 0 ? 0 : (load->random >> 33) % limit;
}

static uint64_t scaled(const struct load *load, uint64_t ms)
{
    return ms / (uint64_t)load->options.speed;
}

static void start_pod(uv_timer_t *timer);
static void on_sync(uv_timer_t *timer);

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void end(struct load *load)
{
    if (load->ended)
        return;
    load->ended = true;
    for (int64_t i = 0; i < load->options.nodes; i++) {
        grpc_channel_destroy(load->nodes[i].channel);
        load->nodes[i].channel = NULL;
        for (int64_t p = 0; p < load->options.pods; p++)
            close_handle((uv_handle_t *)&load->nodes[i].pods[p].timer, NULL);
    }
    close_handle((uv_handle_t *)&load->end, NULL);
}

/* ---- requests ---- */

static unsigned class_of(const struct pod *pod)
{
    return pod->number % (unsigned)pod->node->load->options.classes;
}

static int attributes_of(const struct pod *pod, struct buffer *out, struct error **err)
{
    const struct options *options = &pod->node->load->options;
    unsigned class = class_of(pod);
    unsigned node = pod->node->number;

    if (buffer_printf(
            out, err,
            "{\"keyvaultName\":\"vault%u\",\"tenantId\":\"bench\",\"secretProviderClass\":\"class-%u\","
            "\"csi.storage.k8s.io/pod.name\":\"%s-%u-%u\",\"csi.storage.k8s.io/pod.uid\":\"%s-%u-%u\","
            "\"csi.storage.k8s.io/pod.namespace\":\"default\","
            "\"csi.storage.k8s.io/serviceAccount.name\":\"default\",\"objects\":\"array:\\n",
            class % (unsigned)options->vaults, class, options->prefix, node, pod->number, options->prefix,
            node, pod->number) < 0)
        return -1;
    for (int64_t i = 0; i < options->objects; i++)
        if (buffer_printf(out, err, "  - |\\n    objectName: c%u-o%lld\\n    objectType: secret\\n", class,
                          (long long)i) < 0)
            return -1;
    return buffer_append_str(out, "\"}", err);
}

static void target_of(const struct pod *pod, char target[static PATH_MAX])
{
    const struct load *load = pod->node->load;

    (void)snprintf(target, PATH_MAX, "%s/pods/%s-%u-%u/volumes/kubernetes.io~csi/secrets/mount",
                   load->options.directory, load->options.prefix, pod->node->number, pod->number);
}

static void on_mounted(ProtobufCMessage *response, const struct error *error, void *arg);

static void call(struct pod *pod)
{
    struct load *load = pod->node->load;
    char secrets[128], target[PATH_MAX];
    char permission[] = "420";
    cleanup_buffer struct buffer attributes;
    cleanup_error struct error *error = NULL;
    V1alpha1__MountRequest request;

    buffer_init(&attributes, MAX_ATTRIBUTES);
    v1alpha1__mount_request__init(&request);
    target_of(pod, target);
    unsigned app = class_of(pod) % (unsigned)load->options.apps;
    (void)snprintf(secrets, sizeof(secrets), "{\"clientid\":\"app%u\",\"clientsecret\":\"bench-secret\"}",
                   app);
    if (attributes_of(pod, &attributes, &error) < 0) {
        load->failed = true;
        end(load);
        return;
    }
    request.attributes = (char *)(uintptr_t)buffer_str(&attributes);
    request.secrets = secrets;
    request.target_path = target;
    request.permission = permission;
    if (pod->mounted != NULL) {
        request.n_current_object_version = pod->mounted->n_object_version;
        request.current_object_version = pod->mounted->object_version;
    }
    pod->called_ms = uv_now(&load->loop);
    if (grpc_client_call_start(pod->node->channel, "/v1alpha1.CSIDriverProvider/Mount", &request.base,
                               &v1alpha1__mount_response__descriptor, scaled(load, MOUNT_LIMIT_MS),
                               on_mounted, pod, &error) == NULL) {
        load->failed = true;
        end(load);
    }
}

static void after(struct pod *pod, uint64_t ms, uv_timer_cb callback)
{
    (void)uv_timer_start(&pod->timer, callback, ms, 0);
}

/* The kubelet's next call for a mounted volume. */
static void wait_for_sync(struct pod *pod)
{
    struct load *load = pod->node->load;
    if (load->options.interval_ns > 0)
        after(pod, scaled(load, SYNC_MIN_MS + random_below(load, SYNC_MAX_MS - SYNC_MIN_MS)), on_sync);
}

static void start_next(struct load *load)
{
    if (load->next == load->n_pods)
        return;
    /* one pod on each node, then the second ones */
    struct node *node = &load->nodes[load->next % load->options.nodes];
    struct pod *pod = &node->pods[load->next / load->options.nodes];
    load->next++;
    after(pod, load->options.wave > 0 ? scaled(load, random_below(load, ONCE_MS)) : 0, start_pod);
}

static void on_container_started(uv_timer_t *timer)
{
    struct pod *pod = timer->data;
    start_next(pod->node->load);
    wait_for_sync(pod);
}

static void became_ready(struct pod *pod)
{
    struct load *load = pod->node->load;

    pod->ready = true;
    if (++load->n_ready == load->n_pods) {
        (void)printf("ready\n");
        (void)fflush(stdout);
        if (load->options.seconds == 0) {
            end(load);
            return;
        }
    }
    if (load->options.wave > 0)
        after(pod, scaled(load, CONTAINER_START_MS), on_container_started);
    else
        wait_for_sync(pod);
}

/* Trouble passes; anything else is a mistake in the set-up. The Go provider has one code for all. */
static bool is_trouble(enum grpc_status code)
{
    return code == GRPC_STATUS_UNKNOWN || code == GRPC_STATUS_RESOURCE_EXHAUSTED ||
           code == GRPC_STATUS_UNAVAILABLE || code == GRPC_STATUS_DEADLINE_EXCEEDED;
}

static void on_mounted(ProtobufCMessage *response, const struct error *error, void *arg)
{
    struct pod *pod = arg;
    struct load *load = pod->node->load;
    uint64_t now = uv_now(&load->loop);

    (void)fprintf(load->log, "%llu %u %u %u %s %d %llu %llu\n", (unsigned long long)now, pod->node->number,
                  pod->number, class_of(pod), pod->ready ? "check" : "first",
                  error != NULL ? (int)error_code(error) : 0, (unsigned long long)(now - pod->called_ms),
                  (unsigned long long)(now - (pod->ready ? pod->served_ms : pod->started_ms)));
    if (error != NULL && !is_trouble(error_code(error))) {
        load->failed = true;
        (void)fprintf(stderr, "cluster-load: %s\n", error_message(error));
        end(load);
        return;
    }
    if (error != NULL) {
        pod->failures++;
        if (!pod->ready) {
            after(pod, scaled(load, backoff_pause(&kubelet_pauses, pod->failures, 0)), start_pod);
            return;
        }
        int64_t pause_s = rotation_backoff_s(pod->failures, load->options.interval_ns / 1000000000,
                                             (uint32_t)random_below(load, UINT32_MAX));
        pod->retry_ms = now + scaled(load, (uint64_t)pause_s * ONCE_MS);
        wait_for_sync(pod);
        return;
    }
    pod->failures = 0;
    pod->retry_ms = 0;
    pod->served_ms = now;
    if (pod->mounted != NULL)
        protobuf_c_message_free_unpacked(&pod->mounted->base, secret_protobuf_allocator());
    pod->mounted = (V1alpha1__MountResponse *)(void *)response;
    if (pod->ready)
        wait_for_sync(pod);
    else
        became_ready(pod);
}

static void start_pod(uv_timer_t *timer)
{
    struct pod *pod = timer->data;
    if (pod->started_ms == 0)
        pod->started_ms = uv_now(&pod->node->load->loop);
    call(pod);
}

/* In the seconds of a driver that is not faster. */
static void on_sync(uv_timer_t *timer)
{
    struct pod *pod = timer->data;
    struct load *load = pod->node->load;
    uint64_t now = uv_now(&load->loop);
    const struct rotation_spec spec = {.interval_s = load->options.interval_ns / 1000000000};
    uint64_t speed = (uint64_t)load->options.speed;
    const struct rotation_facts facts = {
        .last_checked_unix = pod->served_ms * speed / ONCE_MS,
        .first_seen_unix = (int64_t)(pod->started_ms * speed / ONCE_MS),
        .seed = pod->seed,
        .waits_after_failure = now < pod->retry_ms,
    };
    if (rotation_due(&facts, &spec, (int64_t)(now * speed / ONCE_MS)))
        call(pod);
    else
        wait_for_sync(pod);
}

/* ---- start and end ---- */

static int create_node(struct load *load, unsigned number, struct error **err)
{
    struct node *node = &load->nodes[number];
    char path[PATH_MAX], target[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%.4000s/%u.sock", load->options.directory, number);
    const struct grpc_channel_config config = {.unix_path = path};

    *node = (struct node){.load = load, .number = number};
    node->channel = grpc_channel_create(&load->loop, &config, err);
    node->pods = calloc((size_t)load->options.pods, sizeof(*node->pods));
    if (node->channel == NULL || node->pods == NULL)
        return node->channel == NULL ? -1 : error_no_memory(err, NULL);
    uint64_t start_ms = random_below(load, (uint64_t)load->options.spread_ns / 1000000 + 1);
    for (unsigned i = 0; i < load->options.pods; i++) {
        struct pod *pod = &node->pods[i];
        pod->node = node;
        pod->number = i;
        (void)uv_timer_init(&load->loop, &pod->timer);
        pod->timer.data = pod;
        target_of(pod, target);
        pod->seed = rotation_seed(target);
        if (load->options.wave == 0)
            after(pod, scaled(load, start_ms), start_pod);
    }
    return 0;
}

static void on_end(uv_timer_t *timer)
{
    end(timer->data);
}

static void on_signal(void *arg)
{
    end(arg);
}

static void destroy(struct load *load)
{
    for (int64_t i = 0; i < load->options.nodes; i++) {
        for (int64_t p = 0; p < load->options.pods && load->nodes[i].pods != NULL; p++)
            if (load->nodes[i].pods[p].mounted != NULL)
                protobuf_c_message_free_unpacked(&load->nodes[i].pods[p].mounted->base,
                                                 secret_protobuf_allocator());
        free(load->nodes[i].pods);
    }
    free(load->nodes);
}

static int run(struct load *load, struct error **err)
{
    struct lifecycle *lifecycle;

    load->nodes = calloc((size_t)load->options.nodes, sizeof(*load->nodes));
    if (load->nodes == NULL)
        return error_no_memory(err, NULL);
    if (uv_loop_init(&load->loop) != 0)
        return error_set(err, GRPC_STATUS_INTERNAL, "cannot create an event loop");
    lifecycle = lifecycle_create(&load->loop, /* log= */ NULL, on_signal, load, err);
    if (lifecycle == NULL)
        return -1;
    (void)uv_timer_init(&load->loop, &load->end);
    load->end.data = load;
    load->n_pods = load->options.nodes * load->options.pods;
    for (unsigned i = 0; i < load->options.nodes; i++)
        if (create_node(load, i, err) < 0)
            return -1;
    for (int64_t i = 0; i < load->options.wave; i++)
        start_next(load);
    if (load->options.seconds > 0)
        (void)uv_timer_start(&load->end, on_end, (uint64_t)load->options.seconds * 1000, 0);
    while (!load->ended && uv_run(&load->loop, UV_RUN_ONCE) != 0)
        ;
    lifecycle_destroy(lifecycle);
    (void)uv_run(&load->loop, UV_RUN_DEFAULT);
    lifecycle_close_loop(&load->loop, /* log= */ NULL);
    (void)printf("started %lld of %lld\n", (long long)load->n_ready, (long long)load->n_pods);
    return load->failed ? error_set(err, GRPC_STATUS_INTERNAL, "a call failed or could not be started") : 0;
}

int main(int argc, char **argv)
{
    struct load load = {0};
    cleanup_error struct error *error = NULL;
    int rest = 0;

    if (options_parse(rows, ARRAY_SIZE(rows), argc, argv, &load.options, &rest, &error) != OPTIONS_RUN ||
        load.options.nodes < 1 || load.options.pods < 1 || load.options.classes < 1 ||
        load.options.vaults < 1 || load.options.apps < 1 || load.options.speed < 1) {
        (void)fprintf(stderr, "%s\n", error_message(error));
        options_usage(rows, ARRAY_SIZE(rows), "cluster-load", stderr);
        return 2;
    }
    load.random = (uint64_t)load.options.seed;
    load.log = fopen(load.options.log, "we");
    if (load.log == NULL) {
        perror(load.options.log);
        return 1;
    }
    int status = 0;
    if (run(&load, &error) < 0) {
        (void)fprintf(stderr, "cluster-load: %s\n", error_message(error));
        status = 1;
    }
    destroy(&load);
    return fclose(load.log) != 0 ? 1 : status;
}
