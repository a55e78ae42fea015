/*
 * node_taint.c - removes the start-up taint from the node when the driver can serve it.
 */
#include "driver/kubelet/node_taint.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/backoff.h"
#include "common/process/loop_timer.h"
#include "driver/kube/kube_upsert.h"

struct node_taint {
    struct kube_client *client;
    struct kube_health_listener kube_back;
    struct log *log;
    char *node;
    struct loop_timer *retry;
    struct backoff law;         /* of the pauses before a retry */
    unsigned failures;          /* in a row */
    struct kube_upsert *upsert; /* owned; NULL when it does not run */
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
            (void)error_no_memory(err, NULL);
        return patch;
    }
    return NULL; /* nothing to do */
}

/* --- writing it --- */

static void retry_later(struct node_taint *taint, const struct error *error);

static void done(struct kube_upsert_result *result, const struct error *error, void *arg)
{
    struct node_taint *taint = arg;

    taint->upsert = NULL;
    if (error != NULL) {
        retry_later(taint, error);
        return;
    }
    taint->failures = 0;
    if (result->wrote)
        log_info(taint->log, "the start-up taint is removed, the node takes pods",
                 LOG_STR("node", taint->node), LOG_STR("taint", NODE_TAINT_KEY));
}

void node_taint_remove(struct node_taint *taint)
{
    cleanup_error struct error *error = NULL;

    if (taint->upsert != NULL)
        return;
    loop_timer_stop(taint->retry);
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

static void retry_now(void *arg)
{
    node_taint_remove(arg);
}

/* The API server is reachable again. One that has just started may respond with failures at first: the
 * pauses start from the shortest. */
static void kube_is_back(void *arg)
{
    struct node_taint *taint = arg;

    taint->failures = 0;
    if (loop_timer_is_running(taint->retry))
        loop_timer_start(taint->retry, 0);
}

static void retry_later(struct node_taint *taint, const struct error *error)
{
    uint64_t pause_ms = backoff_pause(&taint->law, ++taint->failures, backoff_random());

    log_error(
        taint->log,
        error_code(error) == GRPC_STATUS_PERMISSION_DENIED
            ? "the start-up taint cannot be removed: get and patch on nodes must be allowed, see manifests/optional"
            : "the start-up taint cannot be removed, retrying",
        LOG_STR("node", taint->node), LOG_STR("taint", NODE_TAINT_KEY), LOG_ERR(error),
        LOG_UINT("afterMs", pause_ms));
    loop_timer_start(taint->retry, pause_ms);
}

/* --- life --- */

struct node_taint *node_taint_create(struct kube_client *client, const char *node, uint64_t retry_first_ms,
                                     struct log *log, struct error **err)
{
    struct node_taint *taint = alloc_zeroed(sizeof(*taint), err);

    if (taint == NULL)
        return NULL;
    *taint = (struct node_taint){
        .client = client,
        .log = log,
        .node = alloc_text(node, err),
        .law = {.first = retry_first_ms != 0 ? retry_first_ms : (uint64_t)NODE_TAINT_RETRY_FIRST_MS,
                .growth_percent = 200,
                .cap = NODE_TAINT_RETRY_CAP_MS},
        .kube_back = {.on_recovered = kube_is_back, .arg = taint}};
    if (taint->node != NULL)
        taint->retry = loop_timer_create(kube_client_loop(client), retry_now, taint, err);
    if (taint->retry == NULL) {
        free(taint->node);
        free(taint);
        return NULL;
    }
    kube_client_listen(client, &taint->kube_back);
    return taint;
}

void node_taint_destroy(struct node_taint *taint)
{
    if (taint == NULL)
        return;
    kube_health_unlisten(&taint->kube_back);
    if (taint->upsert != NULL)
        kube_upsert_cancel(&taint->upsert);
    loop_timer_destroy(taint->retry);
    free(taint->node);
    free(taint);
}
