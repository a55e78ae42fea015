/*
 * unpublish.c - one NodeUnpublishVolume.
 */
#include "driver/publish/unpublish.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "driver/base/worker.h"
#include "driver/volume/volume.h"

struct unpublish {
    const struct publisher *publisher;
    struct volume_lock lock;
    publish_callback *callback; /* NULL once called or cancelled */
    void *arg;
    char *target_path;
    bool running;        /* the worker */
    struct error *error; /* from the worker */
};

static void unpublish_dispose(struct unpublish *unpublish)
{
    volume_lock_release(&unpublish->lock);
    error_free(unpublish->error);
    free(unpublish->target_path);
    free(unpublish);
}

static void unpublish_conclude(struct unpublish *unpublish, const struct error *error)
{
    const struct publisher *publisher = unpublish->publisher;
    publish_callback *callback = unpublish->callback;

    driver_metrics_unpublish(publisher->metrics, error_code(error));
    if (error != NULL) {
        /* Existing log checks search for these words. */
        log_error(publisher->log, "failed to clean and unmount target path",
                  LOG_STR("targetPath", unpublish->target_path), LOG_ERR(error));
    } else {
        log_info(publisher->log, "volume unpublished", LOG_STR("targetPath", unpublish->target_path));
        observer_chain_on_removed(publisher->observers, unpublish->target_path);
        volume_states_remove(publisher->volumes, unpublish->target_path);
    }
    unpublish->callback = NULL;
    if (callback != NULL)
        callback(error, unpublish->arg);
    unpublish_dispose(unpublish);
}

static void run_unpublish(void *job)
{
    struct unpublish *unpublish = job;

    (void)volume_unpublish(unpublish->target_path, &unpublish->error);
}

static void unpublish_done(void *job)
{
    struct unpublish *unpublish = job;
    cleanup_error struct error *error = steal_ptr(&unpublish->error);

    if (error != NULL)
        (void)error_wrap(&error, "failed to clean and unmount target path %s", unpublish->target_path);
    unpublish_conclude(unpublish, error);
}

static void lock_granted(struct volume_lock *lock)
{
    struct unpublish *unpublish = container_of(lock, struct unpublish, lock);
    cleanup_error struct error *error = NULL;

    unpublish->running = true;
    if (worker_start(unpublish->publisher->loop, run_unpublish, unpublish_done, unpublish, &error) < 0)
        unpublish_conclude(unpublish, error);
}

struct unpublish *unpublish_start(const struct publisher *publisher, const char *target_path,
                                  publish_callback *callback, void *arg, struct error **err)
{
    struct unpublish *unpublish = alloc_zeroed(sizeof(*unpublish), err);

    if (unpublish == NULL)
        return NULL;
    *unpublish = (struct unpublish){.publisher = publisher,
                                    .callback = callback,
                                    .arg = arg,
                                    .target_path = alloc_text(target_path, err)};
    if (unpublish->target_path == NULL) {
        free(unpublish);
        return NULL;
    }
    volume_locks_interrupt(publisher->locks, unpublish->target_path);
    if (volume_lock_take(publisher->locks, &unpublish->lock, unpublish->target_path, lock_granted,
                         /* interrupted= */ NULL)) {
        unpublish->running = true;
        if (worker_start(publisher->loop, run_unpublish, unpublish_done, unpublish, err) < 0) {
            unpublish_dispose(unpublish);
            return NULL;
        }
    }
    return unpublish;
}

void unpublish_cancel(struct unpublish **unpublish)
{
    (*unpublish)->callback = NULL;
    if (!(*unpublish)->running) {
        driver_metrics_unpublish((*unpublish)->publisher->metrics, GRPC_STATUS_CANCELLED);
        unpublish_dispose(*unpublish);
    }
    *unpublish = NULL;
}
