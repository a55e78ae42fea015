/*
 * node_taint.c - takes the start-up taint from the node when the driver can serve it.
 */
#include "driver/kubelet/node_taint.h"

#include <stdlib.h>
#include <string.h>

#include "driver/kube/kube_upsert.h"

struct node_taint {
    struct kube_client *client;
    struct kube_return kube_back;
    struct log *log;
    char *node;
    uv_timer_t retry;           /* embedded; freed when it is closed */
    struct kube_upsert *upsert; /* owned; NULL when it does not run */
    uint64_t retry_first_ms;
    uint64_t retry_ms;
};

/* --- what to write --- */

static bool is_ours(const cJSON *taint)
{
    const cJSON *key = cJSON_GetObjectItemCaseSensitive(taint, "key");

    return cJSON_IsString(key) && strcmp(key->valuestring, NODE_TAINT_KEY) == 0;
}

/* A merge patch replaces a list as a whole. */
static cJSON *patch_without_ours(const cJSON *taints)
{
    cleanup_json cJSON *patch = cJSON_CreateObject();
    cJSON *spec = cJSON_AddObjectToObject(patch, "spec");
    cJSON *rest = cJSON_AddArrayToObject(spec, "taints");
    const cJSON *taint;

    if (rest == NULL)
        return NULL;
    cJSON_ArrayForEach(taint, taints)
    {
        cJSON *copy = is_ours(taint) ? NULL : cJSON_Duplicate(taint, /* recurse= */ 1);

        if (!is_ours(taint) && !cJSON_AddItemToArray(rest, copy))
            return NULL;
    }
    return steal_ptr(&patch);
}

static cJSON *build(enum kube_upsert_step step, const cJSON *current, void *arg, struct error **err)
{
    const struct node_taint *node_taint = arg;
    const cJSON *taints =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(current, "spec"), "taints");
    const cJSON *taint;
    cJSON *patch;

    if (step != KUBE_UPSERT_PATCH) {
        (void)error_set(err, GRPC_STATUS_NOT_FOUND, "there is no node \"%s\"", node_taint->node);
        return NULL;
    }
    cJSON_ArrayForEach(taint, taints)
    {
        if (!is_ours(taint))
            continue;
        patch = patch_without_ours(taints);
        if (patch == NULL)
            (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return patch;
    }
    return NULL; /* nothing to do */
}

/* --- doing it --- */

static void retry_later(struct node_taint *taint, const struct error *error);

static void done(struct kube_upsert_result *result, const struct error *error, void *arg)
{
    struct node_taint *taint = arg;

    taint->upsert = NULL;
    if (error != NULL) {
        retry_later(taint, error);
        return;
    }
    taint->retry_ms = taint->retry_first_ms;
    if (result->wrote)
        log_info(taint->log, "the start-up taint is removed, the node takes pods",
                 LOG_STR("node", taint->node), LOG_STR("taint", NODE_TAINT_KEY));
}

void node_taint_remove(struct node_taint *taint)
{
    cleanup_error struct error *error = NULL;

    if (taint->upsert != NULL)
        return;
    (void)uv_timer_stop(&taint->retry);
    taint->upsert = kube_upsert_start(taint->client,
                                      &(struct kube_upsert_request){.group = "",
                                                                    .version = "v1",
                                                                    .ns = "",
                                                                    .resource = "nodes",
                                                                    .name = taint->node,
                                                                    .first = KUBE_UPSERT_READ,
                                                                    .build = build},
                                      done, taint, &error);
    if (taint->upsert == NULL)
        retry_later(taint, error);
}

static void retry_now(uv_timer_t *timer)
{
    node_taint_remove(timer->data);
}

/* The API server answers again. Should it answer with trouble at first, as one that has just started does,
 * the pauses begin anew. */
static void kube_is_back(void *arg)
{
    struct node_taint *taint = arg;

    taint->retry_ms = taint->retry_first_ms;
    if (uv_is_active((uv_handle_t *)&taint->retry))
        (void)uv_timer_start(&taint->retry, retry_now, 0, 0);
}

static void retry_later(struct node_taint *taint, const struct error *error)
{
    log_error(
        taint->log,
        error_code(error) == GRPC_STATUS_PERMISSION_DENIED
            ? "the start-up taint can not be removed: get and patch on nodes must be allowed, see manifests/optional"
            : "the start-up taint can not be removed, it will be tried again",
        LOG_STR("node", taint->node), LOG_STR("taint", NODE_TAINT_KEY), LOG_ERR(error),
        LOG_UINT("after_ms", taint->retry_ms));
    (void)uv_timer_start(&taint->retry, retry_now, taint->retry_ms, 0);
    taint->retry_ms *= 2;
    if (taint->retry_ms > NODE_TAINT_RETRY_CAP_MS)
        taint->retry_ms = NODE_TAINT_RETRY_CAP_MS;
}

/* --- life --- */

struct node_taint *node_taint_create(struct kube_client *client, const char *node, uint64_t retry_first_ms,
                                     struct log *log, struct error **err)
{
    struct node_taint *taint = calloc(1, sizeof(*taint));
    char *copy = strdup(node);

    if (taint == NULL || copy == NULL) {
        free(taint);
        free(copy);
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    *taint = (struct node_taint){.client = client,
                                 .log = log,
                                 .node = copy,
                                 .retry_first_ms = retry_first_ms != 0 ? retry_first_ms
                                                                       : (uint64_t)NODE_TAINT_RETRY_FIRST_MS};
    taint->retry_ms = taint->retry_first_ms;
    (void)uv_timer_init(kube_client_loop(client), &taint->retry); /* can not fail */
    taint->retry.data = taint;
    taint->kube_back = (struct kube_return){.back = kube_is_back, .arg = taint};
    kube_client_listen(client, &taint->kube_back);
    return taint;
}

static void timer_closed(uv_handle_t *handle)
{
    struct node_taint *taint = handle->data;

    free(taint->node);
    free(taint);
}

void node_taint_destroy(struct node_taint *taint)
{
    if (taint == NULL)
        return;
    kube_return_end(&taint->kube_back);
    if (taint->upsert != NULL)
        kube_upsert_cancel(&taint->upsert);
    uv_close((uv_handle_t *)&taint->retry, timer_closed);
}
