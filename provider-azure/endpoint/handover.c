/*
 * handover.c - kept values for the next process.
 */
#include "provider-azure/endpoint/handover.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/base/secret.h"
#include "common/grpc/client.h"
#include "provider-azure/vault/stale_message.h"

#define SERVICE "handover.v1.Handover"

static int check_uid(uid_t uid, struct error **err)
{
    if (uid == geteuid())
        return 0;
    return error_set(err, GRPC_STATUS_PERMISSION_DENIED, "the process runs as user %u, not as %u",
                     (unsigned)uid, (unsigned)geteuid());
}

/* --- the new process --- */

static int check_time(const struct handover_service *service, struct error **err)
{
    if (transport_now_ms(service->network->transport) <= service->until_ms)
        return 0;
    return error_set(err, GRPC_STATUS_PERMISSION_DENIED, "the process started more than %d s ago",
                     HANDOVER_WINDOW_MS / 1000);
}

/* 1: it is kept now, or was not worth it; 0: it is older than the machine is up, which slept: its age cannot
 * be counted on; -1 with err set. */
static int keep(const struct handover_service *service, const Handover__V1__Value *message,
                struct error **err)
{
    struct stale_value value;
    if (message->age_ms >= transport_now_ms(service->network->transport))
        return 0;
    if (stale_message_read(message, transport_now_ms(service->network->transport), &value, err) < 0)
        return -1;
    stale_store_keep(service->store, &value.key, value.response, value.keep_ms);
    vault_response_unref(value.response);
    return 1;
}

static void on_put(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    const struct handover_service *service = arg;
    const Handover__V1__PutRequest *put = (const Handover__V1__PutRequest *)(const void *)request;
    Handover__V1__PutResponse response = HANDOVER__V1__PUT_RESPONSE__INIT;
    cleanup_error struct error *error = NULL;
    uid_t uid = 0;

    if (grpc_call_peer_uid(call, &uid, &error) < 0 || check_uid(uid, &error) < 0 ||
        check_time(service, &error) < 0) {
        log_warning(service->network->log, "kept values of another process refused", LOG_ERR(error));
        grpc_call_fail(call, error);
        return;
    }
    for (size_t i = 0; i < put->n_values; i++) {
        int kept = keep(service, put->values[i], &error);
        if (kept < 0) {
            log_warning(service->network->log, "kept values of another process refused", LOG_ERR(error));
            grpc_call_fail(call, error);
            return;
        }
        response.kept += (uint32_t)kept;
    }
    if (put->n_values > 0)
        log_info(service->network->log, "took over values that the process before kept for outages",
                 LOG_UINT("values", response.kept));
    grpc_call_reply(call, &response.base);
}

void handover_service_init(struct handover_service *service, struct stale_store *store,
                           const struct network *network)
{
    *service = (struct handover_service){
        .methods = {{"Put", &handover__v1__put_request__descriptor, on_put}},
        .store = store,
        .network = network,
        .until_ms = transport_now_ms(network->transport) + HANDOVER_WINDOW_MS,
    };
    service->service =
        (struct grpc_service){.name = SERVICE, .methods = service->methods, .n_methods = 1, .arg = service};
}

/* --- the old process --- */

struct handover {
    struct grpc_channel *channel;
    struct stale_store *store;
    const struct network *network;
    uint64_t end_ms;
    uint64_t values;
    handover_callback *callback;
    void *arg;
};

static int check_successor(uid_t peer_uid, pid_t peer_pid, uid_t socket_owner, void *arg, struct error **err)
{
    (void)peer_pid; /* 0 for a process in another container */
    (void)arg;
    return check_uid(peer_uid, err) < 0 || check_uid(socket_owner, err) < 0 ? -1 : 0;
}

static void finish(struct handover *handover, const struct error *error)
{
    handover_callback *callback = handover->callback;
    void *arg = handover->arg;

    if (error != NULL)
        log_info(handover->network->log, "no process takes over the values that were kept for outages",
                 LOG_ERR(error));
    else
        log_info(handover->network->log, "values that were kept for outages given to the next process",
                 LOG_UINT("values", handover->values));
    grpc_channel_destroy(handover->channel);
    free(handover);
    callback(arg);
}

static void on_reply(ProtobufCMessage *response, const struct error *error, void *arg);

/* Sends the values, which stay the caller's. */
static int send_values(struct handover *handover, Handover__V1__Value **values, size_t n, struct error **err)
{
    Handover__V1__PutRequest request = HANDOVER__V1__PUT_REQUEST__INIT;
    uint64_t now = transport_now_ms(handover->network->transport);

    request.n_values = n;
    request.values = values;
    if (now >= handover->end_ms)
        return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED, "more than %d ms", HANDOVER_LIMIT_MS);
    return grpc_client_call_start(handover->channel, "/" SERVICE "/Put", &request.base,
                                  &handover__v1__put_response__descriptor, handover->end_ms - now, on_reply,
                                  handover, err) == NULL
               ? -1
               : 0;
}

/* The values of one call. */
struct batch {
    struct stale_value values[STALE_MAX_VALUES];
    Handover__V1__Value *messages[STALE_MAX_VALUES];
    size_t n;
    size_t bytes;
};

static void batch_destroy(struct batch *batch)
{
    for (size_t i = 0; batch != NULL && i < batch->n; i++) {
        stale_message_destroy(batch->messages[i]);
        vault_response_unref(batch->values[i].response);
    }
    free(batch);
}

static int batch_add(struct batch *batch, struct stale_store *store, struct error **err)
{
    struct stale_value *value = &batch->values[batch->n];
    if (!stale_store_take_first(store, value))
        return 0;
    batch->messages[batch->n] = stale_message_create(value, err);
    if (batch->messages[batch->n] == NULL) {
        vault_response_unref(value->response);
        return -1;
    }
    batch->bytes += vault_response_size(value->response);
    batch->n++;
    return 1;
}

/* 1: a call is under way; 0: nothing is left; -1 with err set. */
static int send_next(struct handover *handover, struct error **err)
{
    struct batch *batch = calloc(1, sizeof(*batch));
    int result = batch != NULL ? 1 : error_no_memory(err, NULL);

    while (result > 0 && batch->n < STALE_MAX_VALUES && batch->bytes < HANDOVER_CALL_BYTES)
        result = batch_add(batch, handover->store, err);
    if (result >= 0 && batch->n > 0) {
        handover->values += batch->n;
        result = send_values(handover, batch->messages, batch->n, err) < 0 ? -1 : 1;
    }
    batch_destroy(batch);
    return result;
}

static void on_reply(ProtobufCMessage *response, const struct error *error, void *arg)
{
    struct handover *handover = arg;
    cleanup_error struct error *failure = NULL;

    if (response != NULL)
        protobuf_c_message_free_unpacked(response, secret_protobuf_allocator());
    if (error != NULL)
        finish(handover, error);
    else if (send_next(handover, &failure) <= 0)
        finish(handover, failure);
}

bool handover_start(const struct handover_config *config, handover_callback *callback, void *arg)
{
    cleanup_error struct error *error = NULL;
    const struct grpc_channel_config channel = {
        .unix_path = config->endpoint->address,
        .connect_timeout_ms = HANDOVER_LIMIT_MS,
        .peer_check = check_successor,
    };

    if (stale_store_is_empty(config->store) || config->endpoint->kind != ENDPOINT_UNIX)
        return false;
    struct handover *handover = calloc(1, sizeof(*handover));
    if (handover == NULL)
        return false;
    *handover = (struct handover){
        .channel = grpc_channel_create(config->loop, &channel, &error),
        .store = config->store,
        .network = config->network,
        .end_ms = transport_now_ms(config->network->transport) + HANDOVER_LIMIT_MS,
        .callback = callback,
        .arg = arg,
    };
    if (handover->channel != NULL && send_values(handover, NULL, 0, &error) == 0)
        return true;
    log_warning(config->network->log, "no process takes over the values that were kept for outages",
                LOG_ERR(error));
    grpc_channel_destroy(handover->channel);
    free(handover);
    return false;
}
