/*
 * unpublish.c - one NodeUnpublishVolume.
 */
#include "driver/unpublish.h"

#include <stdlib.h>
#include <string.h>

#include "driver/volume.h"
#include "driver/worker.h"

struct unpublish {
    const struct publisher *publisher;
    struct volume_lock lock;
    unpublish_callback *callback; /* NULL: nobody waits */
    void *arg;
    char *target_path;
    struct error *error; /* out of the worker */
};

static void dispose(struct unpublish *unpublish)
{
    volume_lock_release(&unpublish->lock);
    error_free(unpublish->error);
    free(unpublish->target_path);
    free(unpublish);
}

static void finish(struct unpublish *unpublish)
{
    const struct publisher *publisher = unpublish->publisher;
    unpublish_callback *callback = unpublish->callback;

    telemetry_unpublish(publisher->telemetry, error_code(unpublish->error));
    if (unpublish->error != NULL) {
        log_error(publisher->log, "failed to clean and unmount target path",
                  LOG_STR("targetPath", unpublish->target_path), LOG_ERR(unpublish->error));
    } else {
        published_volumes_remove(publisher->published, unpublish->target_path);
        log_info(publisher->log, "volume unpublished", LOG_STR("targetPath", unpublish->target_path));
    }
    unpublish->callback = NULL;
    if (callback != NULL)
        callback(unpublish->error, unpublish->arg);
    dispose(unpublish);
}

static void run(void *job)
{
    struct unpublish *unpublish = job;

    (void)volume_unpublish(unpublish->target_path, &unpublish->error);
}

static void done(void *job)
{
    finish(job);
}

static void lock_granted(struct volume_lock *lock)
{
    struct unpublish *unpublish = container_of(lock, struct unpublish, lock);

    if (worker_start(unpublish->publisher->loop, run, done, unpublish, &unpublish->error) < 0)
        finish(unpublish);
}

struct unpublish *unpublish_start(const struct publisher *publisher, const char *target_path,
                                  unpublish_callback *callback, void *arg, struct error **err)
{
    struct unpublish *unpublish = calloc(1, sizeof(*unpublish));
    char *path = strdup(target_path);

    if (unpublish == NULL || path == NULL) {
        free(unpublish);
        free(path);
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    *unpublish =
        (struct unpublish){.publisher = publisher, .callback = callback, .arg = arg, .target_path = path};
    volume_locks_interrupt(publisher->locks, path);
    if (volume_lock_take(publisher->locks, &unpublish->lock, path, lock_granted, /* interrupted= */ NULL) &&
        worker_start(publisher->loop, run, done, unpublish, err) < 0) {
        dispose(unpublish);
        return NULL;
    }
    return unpublish;
}

void unpublish_cancel(struct unpublish **unpublish)
{
    (*unpublish)->callback = NULL;
    *unpublish = NULL;
}
