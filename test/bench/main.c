/*
 * main.c - secrets-store-bench: publishes and unpublishes volumes and measures the calls.
 *
 * It calls a CSI node plugin as a kubelet does, on one connection, with a number of volumes in flight.
 * The result is one line of name=value words for bench.sh. Times are those of whole calls at the caller.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/file.h"
#include "common/base/secret.h"
#include "common/crypto/digest.h"
#include "common/grpc/client.h"
#include "common/process/lifecycle.h"
#include "common/process/options.h"
#include "proto/csi.pb-c.h"

enum { CALL_TIMEOUT_MS = 120000, CONTEXT_ENTRIES = 6, SECRET_ENTRIES = 2, MAX_SECRET_BYTES = 65536 };

struct options {
    const char *endpoint;
    const char *kubelet_dir;
    const char *class_name;
    const char *clientid_file;
    const char *clientsecret_file;
    const char *prefix;
    int64_t volumes;
    int64_t concurrency;
    int64_t first;
    bool class_per_volume;
    bool identity_per_volume;
    bool keep;
    bool only_unpublish;
};

#define ROW(flag, kind, member, value, text)                                                                 \
    {                                                                                                        \
        .name = (flag), .type = (kind), .offset = offsetof(struct options, member),                          \
        .default_value = (value), .help = (text)                                                             \
    }
static const struct option_row rows[] = {
    ROW("endpoint", OPTION_STRING, endpoint, NULL, "`path` of the CSI socket"),
    ROW("kubelet-dir", OPTION_STRING, kubelet_dir, NULL, "`directory` below which the volumes are"),
    ROW("class", OPTION_STRING, class_name, NULL, "`name` of the SecretProviderClass"),
    ROW("class-per-volume", OPTION_BOOL, class_per_volume, NULL,
        "add - and the volume's number to the class"),
    ROW("identity-per-volume", OPTION_BOOL, identity_per_volume, NULL,
        "add - and the volume's number to the client id"),
    ROW("clientid-file", OPTION_STRING, clientid_file, NULL, "`file` with the client id"),
    ROW("clientsecret-file", OPTION_STRING, clientsecret_file, NULL, "`file` with the client secret"),
    ROW("prefix", OPTION_STRING, prefix, "pod", "start of the pods' `uid`"),
    ROW("volumes", OPTION_INT, volumes, "100", "`number` of volumes"),
    ROW("first", OPTION_INT, first, "0", "`number` of the first volume"),
    ROW("concurrency", OPTION_INT, concurrency, "1", "`number` of volumes in flight"),
    ROW("keep", OPTION_BOOL, keep, NULL, "publish only"),
    ROW("only-unpublish", OPTION_BOOL, only_unpublish, NULL, "unpublish what --keep left"),
};

struct bench {
    struct options options;
    struct grpc_channel *channel;
    struct buffer clientid, clientsecret;
    uint64_t *publish_ns; /* one sample for each volume */
    uint64_t *unpublish_ns;
    size_t n_publish, n_unpublish;
    int64_t next; /* number of the next volume to start */
    int64_t in_flight;
    int64_t failed;
    uint64_t ended_ns;
    struct error *error; /* the first one */
};

struct volume {
    struct bench *bench;
    char uid[128];
    char id[4 + DIGEST_SHA256_HEX_LEN + 1];
    char target[PATH_MAX];
    char class_name[128];
    char clientid[128];
    uint64_t started_ns;
};

static void start_next(struct bench *bench);

static char *borrowed(const char *text)
{
    return (char *)(uintptr_t)text;
}

static void volume_ended(struct volume *volume, const struct error *error)
{
    struct bench *bench = volume->bench;

    if (error != NULL) {
        bench->failed++;
        if (bench->error == NULL)
            bench->error = error_copy(error);
    }
    free(volume);
    bench->in_flight--;
    bench->ended_ns = clock_monotonic_ns();
    start_next(bench);
    if (bench->in_flight == 0) {
        grpc_channel_destroy(bench->channel);
        bench->channel = NULL;
    }
}

static void on_unpublished(ProtobufCMessage *response, const struct error *error, void *arg)
{
    struct volume *volume = arg;
    struct bench *bench = volume->bench;

    if (response != NULL)
        protobuf_c_message_free_unpacked(response, secret_protobuf_allocator());
    if (error == NULL)
        bench->unpublish_ns[bench->n_unpublish++] = clock_monotonic_ns() - volume->started_ns;
    volume_ended(volume, error);
}

static void unpublish(struct volume *volume)
{
    Csi__V1__NodeUnpublishVolumeRequest request;
    struct error *error = NULL;

    csi__v1__node_unpublish_volume_request__init(&request);
    request.volume_id = volume->id;
    request.target_path = volume->target;
    volume->started_ns = clock_monotonic_ns();
    if (grpc_client_call_start(volume->bench->channel, "/csi.v1.Node/NodeUnpublishVolume", &request.base,
                               &csi__v1__node_unpublish_volume_response__descriptor, CALL_TIMEOUT_MS,
                               on_unpublished, volume, &error) == NULL)
        volume_ended(volume, error);
    error_free(error);
}

static void on_published(ProtobufCMessage *response, const struct error *error, void *arg)
{
    struct volume *volume = arg;
    struct bench *bench = volume->bench;

    if (response != NULL)
        protobuf_c_message_free_unpacked(response, secret_protobuf_allocator());
    if (error == NULL)
        bench->publish_ns[bench->n_publish++] = clock_monotonic_ns() - volume->started_ns;
    if (error != NULL || bench->options.keep)
        volume_ended(volume, error);
    else
        unpublish(volume);
}

static int make_parents(const char *root, const char *target)
{
    char path[PATH_MAX];

    for (const char *slash = strchr(target + strlen(root) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        (void)snprintf(path, sizeof(path), "%.*s", (int)(slash - target), target);
        if (mkdir(path, 0750) == -1 && errno != EEXIST)
            return -1;
    }
    return 0;
}

static void publish(struct volume *volume)
{
    const struct bench *bench = volume->bench;
    const char *context[CONTEXT_ENTRIES][2] = {
        {"secretProviderClass", volume->class_name},           {"csi.storage.k8s.io/pod.name", volume->uid},
        {"csi.storage.k8s.io/pod.namespace", "default"},       {"csi.storage.k8s.io/pod.uid", volume->uid},
        {"csi.storage.k8s.io/serviceAccount.name", "default"}, {"csi.storage.k8s.io/ephemeral", "true"},
    };
    const char *secrets[SECRET_ENTRIES][2] = {
        {"clientid", volume->clientid},
        {"clientsecret", buffer_str(&bench->clientsecret)},
    };
    Csi__V1__NodePublishVolumeRequest__VolumeContextEntry context_entries[CONTEXT_ENTRIES];
    Csi__V1__NodePublishVolumeRequest__VolumeContextEntry *context_pointers[CONTEXT_ENTRIES];
    Csi__V1__NodePublishVolumeRequest__SecretsEntry secret_entries[SECRET_ENTRIES];
    Csi__V1__NodePublishVolumeRequest__SecretsEntry *secret_pointers[SECRET_ENTRIES];
    Csi__V1__VolumeCapability__MountVolume mount;
    Csi__V1__VolumeCapability__AccessMode mode;
    Csi__V1__VolumeCapability capability;
    Csi__V1__NodePublishVolumeRequest request;
    struct error *error = NULL;

    for (size_t i = 0; i < CONTEXT_ENTRIES; i++) {
        csi__v1__node_publish_volume_request__volume_context_entry__init(&context_entries[i]);
        context_entries[i].key = borrowed(context[i][0]);
        context_entries[i].value = borrowed(context[i][1]);
        context_pointers[i] = &context_entries[i];
    }
    for (size_t i = 0; i < SECRET_ENTRIES; i++) {
        csi__v1__node_publish_volume_request__secrets_entry__init(&secret_entries[i]);
        secret_entries[i].key = borrowed(secrets[i][0]);
        secret_entries[i].value = borrowed(secrets[i][1]);
        secret_pointers[i] = &secret_entries[i];
    }
    csi__v1__volume_capability__mount_volume__init(&mount);
    csi__v1__volume_capability__access_mode__init(&mode);
    csi__v1__volume_capability__init(&capability);
    csi__v1__node_publish_volume_request__init(&request);
    mode.mode = CSI__V1__VOLUME_CAPABILITY__ACCESS_MODE__MODE__SINGLE_NODE_WRITER;
    capability.access_mode = &mode;
    capability.access_type_case = CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_MOUNT;
    capability.mount = &mount;
    request.volume_id = volume->id;
    request.target_path = volume->target;
    request.volume_capability = &capability;
    request.readonly = 1;
    request.volume_context = context_pointers;
    request.n_volume_context = CONTEXT_ENTRIES;
    request.secrets = secret_pointers;
    request.n_secrets = SECRET_ENTRIES;

    volume->started_ns = clock_monotonic_ns();
    if (grpc_client_call_start(bench->channel, "/csi.v1.Node/NodePublishVolume", &request.base,
                               &csi__v1__node_publish_volume_response__descriptor, CALL_TIMEOUT_MS,
                               on_published, volume, &error) == NULL)
        volume_ended(volume, error);
    error_free(error);
}

/* Starts one more volume, unless all are started. */
static void start_next(struct bench *bench)
{
    char text[256];
    struct volume *volume;
    long long number = (long long)(bench->options.first + bench->next);

    if (bench->next == bench->options.volumes)
        return;
    volume = calloc(1, sizeof(*volume));
    if (volume == NULL)
        abort();
    bench->next++;
    volume->bench = bench;
    (void)snprintf(volume->class_name, sizeof(volume->class_name),
                   bench->options.class_per_volume ? "%.64s-%lld" : "%.64s", bench->options.class_name,
                   number);
    (void)snprintf(volume->clientid, sizeof(volume->clientid),
                   bench->options.identity_per_volume ? "%.96s-%lld" : "%.96s", buffer_str(&bench->clientid),
                   number);
    (void)snprintf(volume->uid, sizeof(volume->uid), "%.64s-%08lld", bench->options.prefix, number);
    (void)snprintf(volume->target, sizeof(volume->target),
                   "%.2048s/pods/%s/volumes/kubernetes.io~csi/v/mount", bench->options.kubelet_dir,
                   volume->uid);
    int len = snprintf(text, sizeof(text), "%sv", volume->uid);
    (void)memcpy(volume->id, "csi-", 4);
    (void)digest_sha256_hex(text, (size_t)len, volume->id + 4);
    bench->in_flight++;
    if (bench->options.only_unpublish) {
        unpublish(volume);
        return;
    }
    if (make_parents(bench->options.kubelet_dir, volume->target) < 0) {
        cleanup_error struct error *error = NULL;
        (void)error_set_errno(&error, GRPC_STATUS_INTERNAL, errno, "cannot create '%s'", volume->target);
        volume_ended(volume, error);
        return;
    }
    publish(volume);
}

static int compare_ns(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;

    return (left > right) - (left < right);
}

static double percentile_us(uint64_t *samples, size_t n, unsigned percent)
{
    if (n == 0)
        return 0;
    qsort(samples, n, sizeof(*samples), compare_ns);
    size_t rank = (n - 1) * percent / 100;
    return (double)samples[rank] / 1000.0;
}

static int run(struct bench *bench, struct error **err)
{
    uv_loop_t loop;
    const struct grpc_channel_config config = {.unix_path = bench->options.endpoint};

    if (uv_loop_init(&loop) != 0)
        return error_set(err, GRPC_STATUS_INTERNAL, "cannot create an event loop");
    bench->channel = grpc_channel_create(&loop, &config, err);
    if (bench->channel == NULL)
        return -1;

    uint64_t started_ns = clock_monotonic_ns();
    for (int64_t i = 0; i < bench->options.concurrency; i++)
        start_next(bench);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    lifecycle_close_loop(&loop, /* log= */ NULL);

    double seconds = (double)(bench->ended_ns - started_ns) / 1e9;
    (void)printf(
        "volumes=%lld failed=%lld seconds=%.3f rate=%.0f publish_p50_us=%.0f publish_p99_us=%.0f unpublish_p50_us=%.0f unpublish_p99_us=%.0f\n",
        (long long)bench->options.volumes, (long long)bench->failed, seconds,
        (double)bench->options.volumes / seconds, percentile_us(bench->publish_ns, bench->n_publish, 50),
        percentile_us(bench->publish_ns, bench->n_publish, 99),
        percentile_us(bench->unpublish_ns, bench->n_unpublish, 50),
        percentile_us(bench->unpublish_ns, bench->n_unpublish, 99));
    return bench->error != NULL ? error_move(err, &bench->error) : 0;
}

int main(int argc, char **argv)
{
    struct bench bench = {0};
    cleanup_error struct error *error = NULL;
    int rest = 0;

    if (options_parse(rows, ARRAY_SIZE(rows), argc, argv, &bench.options, &rest, &error) != OPTIONS_RUN ||
        bench.options.volumes < 1) {
        (void)fprintf(stderr, "%s\n", error_message(error));
        options_usage(rows, ARRAY_SIZE(rows), "secrets-store-bench", stderr);
        return 2;
    }
    buffer_init(&bench.clientid, MAX_SECRET_BYTES);
    buffer_init(&bench.clientsecret, MAX_SECRET_BYTES);
    bench.publish_ns = calloc((size_t)bench.options.volumes, sizeof(*bench.publish_ns));
    bench.unpublish_ns = calloc((size_t)bench.options.volumes, sizeof(*bench.unpublish_ns));

    int status = 0;
    if (bench.publish_ns == NULL || bench.unpublish_ns == NULL ||
        (*bench.options.clientid_file != '\0' &&
         file_read(bench.options.clientid_file, MAX_SECRET_BYTES, &bench.clientid, &error) < 0) ||
        (*bench.options.clientsecret_file != '\0' &&
         file_read(bench.options.clientsecret_file, MAX_SECRET_BYTES, &bench.clientsecret, &error) < 0) ||
        run(&bench, &error) < 0) {
        (void)fprintf(stderr, "secrets-store-bench: %s\n", error_message(error));
        status = 1;
    }
    free(bench.publish_ns);
    free(bench.unpublish_ns);
    buffer_finish(&bench.clientid);
    buffer_finish(&bench.clientsecret);
    return status;
}
