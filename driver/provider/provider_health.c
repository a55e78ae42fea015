/*
 * provider_health.c - the periodic Version call to the providers in use.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/list.h"
#include "common/base/secret.h"
#include "common/base/string_map.h"
#include "common/process/loop_timer.h"
#include "driver/provider/provider_client.h"
#include "proto/provider.pb-c.h"

#define VERSION_METHOD "/v1alpha1.CSIDriverProvider/Version"

enum { CHECK_TIMEOUT_MS = 5000, LOG_VERBOSITY = 4 };

struct provider_health {
    struct loop_timer *timer;
    struct provider_registry *registry;
    struct driver_metrics *metrics;
    struct log *log;
    struct list checks;     /* running */
    struct string_map last; /* provider -> "up" or "down", the last time */
};

struct check {
    struct list link;
    struct provider_health *health;
    struct provider_ref *provider;
    struct grpc_client_call *call;
    char *name;
};

static void check_free(struct check *check)
{
    list_remove(&check->link);
    provider_ref_release(check->provider);
    free(check->name);
    free(check);
}

static bool was_down(const struct provider_health *health, const char *name)
{
    const char *last = string_map_get(&health->last, name);

    return last != NULL && strcmp(last, "down") == 0;
}

/* An outcome that has not changed is logged for debugging only. */
static void note_failure(struct provider_health *health, const char *name, const struct error *error)
{
    driver_metrics_provider_up(health->metrics, name, false);
    if (was_down(health, name)) {
        log_debug(health->log, LOG_VERBOSITY, "provider health check failed again", LOG_STR("provider", name),
                  LOG_ERR(error));
        return;
    }
    log_warning(health->log, "provider health check failed", LOG_STR("provider", name), LOG_ERR(error));
    (void)string_map_set(&health->last, name, "down", /* err= */ NULL);
}

static void note_success(struct provider_health *health, const char *name,
                         const V1alpha1__VersionResponse *version)
{
    driver_metrics_provider_up(health->metrics, name, true);
    if (was_down(health, name))
        log_info(health->log, "provider is healthy again", LOG_STR("provider", name));
    (void)string_map_set(&health->last, name, "up", /* err= */ NULL);
    log_debug(health->log, LOG_VERBOSITY, "provider is healthy", LOG_STR("provider", name),
              LOG_STR("runtimeName", version->runtime_name),
              LOG_STR("runtimeVersion", version->runtime_version));
}

static void version_done(ProtobufCMessage *response, const struct error *error, void *arg)
{
    struct check *check = arg;

    if (error != NULL) {
        note_failure(check->health, check->name, error);
    } else {
        note_success(check->health, check->name, (const V1alpha1__VersionResponse *)response);
        protobuf_c_message_free_unpacked(response, secret_protobuf_allocator());
    }
    check_free(check);
}

static int check_start(struct check *check, const char *name, struct error **err)
{
    V1alpha1__VersionRequest request = V1ALPHA1__VERSION_REQUEST__INIT;
    char version[] = "v1alpha1";

    check->name = alloc_text(name, err);
    if (check->name == NULL)
        return -1;
    check->provider = provider_registry_find(check->health->registry, name, err);
    if (check->provider == NULL)
        return -1;
    request.version = version;
    check->call = grpc_client_call_start(provider_ref_channel(check->provider), VERSION_METHOD, &request.base,
                                         &v1alpha1__version_response__descriptor, CHECK_TIMEOUT_MS,
                                         version_done, check, err);
    return check->call == NULL ? -1 : 0;
}

static void check_provider(const char *name, void *arg)
{
    struct provider_health *health = arg;
    cleanup_error struct error *error = NULL;
    struct check *check = calloc(1, sizeof(*check));

    if (check == NULL)
        return; /* the next round retries */
    check->health = health;
    list_init(&check->link);
    list_insert_before(&health->checks, &check->link);
    if (check_start(check, name, &error) < 0) {
        note_failure(health, name, error);
        check_free(check);
    }
}

static void tick(void *arg)
{
    struct provider_health *health = arg;

    if (list_empty(&health->checks)) /* otherwise the last round still runs */
        provider_registry_each(health->registry, check_provider, health);
}

struct provider_health *provider_health_create(uv_loop_t *loop, struct provider_registry *registry,
                                               struct driver_metrics *metrics, struct log *log,
                                               uint64_t interval_ms, struct error **err)
{
    struct provider_health *health = alloc_zeroed(sizeof(*health), err);

    if (health == NULL)
        return NULL;
    health->registry = registry;
    health->metrics = metrics;
    health->log = log;
    list_init(&health->checks);
    health->timer = loop_timer_create(loop, tick, health, err);
    if (health->timer == NULL) {
        free(health);
        return NULL;
    }
    loop_timer_repeat(health->timer, interval_ms);
    return health;
}

void provider_health_destroy(struct provider_health *health)
{
    if (health == NULL)
        return;
    while (!list_empty(&health->checks)) {
        struct check *check = container_of(health->checks.next, struct check, link);

        grpc_client_call_cancel(&check->call);
        check_free(check);
    }
    string_map_finish(&health->last);
    loop_timer_destroy(health->timer);
    free(health);
}
