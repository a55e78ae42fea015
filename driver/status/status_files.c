/*
 * status_files.c - status objects as JSON files.
 */
#include "driver/status/status_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/file.h"
#include "common/process/lifecycle.h"
#include "driver/base/worker.h"
#include "driver/status/observer_call.h"
#include "driver/status/pod_status_object.h"
#include "driver/status/status_file_name.h"
#include "driver/volume/target_path.h"
#include "driver/volume/volume.h"
#include "driver/volume/volume_table.h"

struct status_files {
    uv_loop_t *loop;
    struct log *log;
    char *directory;
    char *node_label;
    struct volume_table volumes; /* struct file_volume */
};

/* One volume whose file is known. */
struct file_volume {
    struct status_files *files; /* NULL once the observer is gone */
    struct volume_entry entry;
    char written[DIGEST_SHA256_HEX_LEN + 1]; /* digest of the file's status; "" = not known */
    char *error;                             /* its lastError; NULL = none */
    bool forgotten;
    bool running;                 /* the worker */
    struct observer_call *waiter; /* the call that waits for it; NULL = none */

    /* in and out of the worker */
    struct {
        char *path;      /* of the file */
        char *temporary; /* where it is written first */
        char *text;      /* NULL: the file is to be removed */
        struct error *error;
    } job;
    char digest[DIGEST_SHA256_HEX_LEN + 1]; /* of the status that is being written */
    char *next;                             /* text that came meanwhile; NULL = none */
    char next_digest[DIGEST_SHA256_HEX_LEN + 1];
};

/* --- the sweep at the start --- */

/* Is it a status file of a volume that does not exist any more? Other files are left alone. */
static bool is_stale(int directory_fd, const char *name)
{
    cleanup_buffer struct buffer text = {0};
    cleanup_free char *target = NULL;
    cleanup_free char *expected = NULL;
    enum volume_condition state = VOLUME_CORRUPT;

    if (file_read_at(directory_fd, name, STATUS_FILE_MAX, &text, /* err= */ NULL) < 0)
        return false;
    target = status_file_target(buffer_str(&text), text.len);
    expected = target != NULL ? status_file_name(target, /* err= */ NULL) : NULL;
    if (expected == NULL || strcmp(expected, name) != 0 ||
        volume_inspect(target, &state, /* err= */ NULL) < 0)
        return false;
    return state == VOLUME_ABSENT || state == VOLUME_UNMOUNTED;
}

static int sweep(const struct status_files *files, struct error **err)
{
    cleanup_dir DIR *directory = opendir(files->directory);
    const struct dirent *entry;
    unsigned n = 0;

    if (directory == NULL)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "open --status-dir %s", files->directory);
    while (n++ < STATUS_FILES_MAX && (entry = readdir(directory)) != NULL) {
        if (status_file_name_plausible(entry->d_name) && is_stale(dirfd(directory), entry->d_name))
            (void)unlinkat(dirfd(directory), entry->d_name, 0); /* the next sweep tries again */
    }
    return 0;
}

/* --- the worker --- */

static int write_all(int fd, const char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        ssize_t n = write(fd, text, left);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        text += n;
        left -= (size_t)n;
    }
    return 0;
}

static int replace_file(const struct file_volume *volume, struct error **err)
{
    cleanup_close int fd =
        open(volume->job.temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    int failed;

    if (fd < 0)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "create %s", volume->job.temporary);
    failed = write_all(fd, volume->job.text) < 0 || rename(volume->job.temporary, volume->job.path) < 0;
    if (failed) {
        (void)error_set_errno(err, errno == ENOSPC ? GRPC_STATUS_RESOURCE_EXHAUSTED : GRPC_STATUS_INTERNAL,
                              errno, "write %s", volume->job.path);
        (void)unlink(volume->job.temporary);
        return -1;
    }
    return 0;
}

static void run_write(void *job)
{
    struct file_volume *volume = job;

    if (volume->job.text != NULL)
        (void)replace_file(volume, &volume->job.error);
    else if (unlink(volume->job.path) < 0 && errno != ENOENT)
        (void)error_set_errno(&volume->job.error, GRPC_STATUS_INTERNAL, errno, "remove %s", volume->job.path);
}

/* --- volumes --- */

static void job_finish(struct file_volume *volume)
{
    free(steal_ptr(&volume->job.path));
    free(steal_ptr(&volume->job.temporary));
    secret_free(steal_ptr(&volume->job.text));
    error_free(steal_ptr(&volume->job.error));
}

static void volume_free(struct file_volume *volume)
{
    if (volume->files != NULL)
        volume_table_remove(&volume->files->volumes, &volume->entry);
    job_finish(volume);
    secret_free(volume->next);
    free(volume->error);
    free(volume);
}

static struct file_volume *volume_get(struct status_files *files, const struct volume_event *event,
                                      struct error **err)
{
    const struct volume_names names = volume_event_names(event);
    struct volume_entry *known = volume_table_find(&files->volumes, event->target_path);
    struct file_volume *volume;

    if (known != NULL)
        return container_of(known, struct file_volume, entry);
    volume = calloc(1, sizeof(*volume));
    if (volume == NULL || volume_table_add(&files->volumes, &volume->entry, &names) < 0) {
        free(volume);
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    volume->files = files;
    return volume;
}

static void work_done(void *job);

/* `text` is taken over; NULL removes the file. */
static int work_start(struct file_volume *volume, char *text, struct error **err)
{
    const struct status_files *files = volume->files;
    char target_path[TARGET_PATH_MAX + 1];
    cleanup_free char *name = status_file_name(volume_entry_path(&volume->entry, target_path), err);

    volume->job.text = text;
    if (name == NULL)
        goto failed;
    if (asprintf(&volume->job.path, "%s/%s", files->directory, name) < 0)
        volume->job.path = NULL;
    if (asprintf(&volume->job.temporary, "%s/.%s.new", files->directory, name) < 0)
        volume->job.temporary = NULL;
    if (volume->job.path == NULL || volume->job.temporary == NULL) {
        (void)error_no_memory(err, NULL);
        goto failed;
    }
    if (worker_start(files->loop, run_write, work_done, volume, err) < 0)
        goto failed;
    volume->running = true;
    return 0;
failed:
    job_finish(volume);
    return -1;
}

/* The file goes, and then the volume. */
static void remove_file(struct file_volume *volume)
{
    cleanup_error struct error *error = NULL;

    volume->forgotten = true;
    volume->written[0] = '\0';
    secret_free(steal_ptr(&volume->next));
    if (volume->running)
        return; /* its end comes back here */
    if (work_start(volume, NULL, &error) < 0)
        volume_free(volume); /* the next start sweeps */
}

/* The text that came while the worker ran is next. */
static bool start_next(struct file_volume *volume, struct error **err)
{
    char *text = steal_ptr(&volume->next);

    if (text == NULL)
        return false;
    memcpy(volume->digest, volume->next_digest, sizeof(volume->digest));
    return work_start(volume, text, err) == 0;
}

static void work_done(void *job)
{
    struct file_volume *volume = job;
    bool removal = volume->job.text == NULL;
    cleanup_error struct error *error = steal_ptr(&volume->job.error);
    struct observer_call *waiter = volume->waiter;

    volume->running = false;
    job_finish(volume);
    if (volume->files == NULL) {
        volume_free(volume);
        return;
    }
    if (removal && error != NULL)
        log_warning(volume->files->log, "a status file cannot be removed", LOG_ERR(error));
    error_free(removal ? steal_ptr(&error) : NULL);
    if (start_next(volume, &error))
        return;
    if (error == NULL && !removal)
        memcpy(volume->written, volume->digest, sizeof(volume->written));
    if (volume->forgotten && removal)
        volume_free(volume);
    else if (volume->forgotten)
        remove_file(volume);
    if (waiter != NULL)
        observer_call_finish(waiter, error);
}

/* --- the interface --- */

static bool is_up_to_date(const struct file_volume *volume, const struct desired_pod_status *desired)
{
    return strcmp(volume->written, desired->digest) == 0 && !desired->changed &&
           (desired->error == NULL || (volume->error != NULL && strcmp(volume->error, desired->error) == 0));
}

static char *print(const struct desired_pod_status *desired, struct error **err)
{
    cleanup_free char *name =
        pod_status_name(desired->pod_name, desired->pod_namespace, desired->class_name, 0, err);
    cleanup_json cJSON *object = name != NULL ? pod_status_object(desired, name, err) : NULL;

    if (object == NULL)
        return NULL;
    if (desired->pod_uid[0] == '\0') /* without podInfoOnMount */
        cJSON_DeleteItemFromObjectCaseSensitive(cJSON_GetObjectItemCaseSensitive(object, "metadata"),
                                                "ownerReferences");
    return json_print(object, err);
}

static int write_desired(struct file_volume *volume, const struct desired_pod_status *desired,
                         struct error **err)
{
    char *text = print(desired, err);

    if (text == NULL)
        return -1;
    if (volume->running) {
        secret_free(volume->next);
        volume->next = text;
        memcpy(volume->next_digest, desired->digest, sizeof(volume->next_digest));
    } else {
        if (work_start(volume, text, err) < 0)
            return -1;
        memcpy(volume->digest, desired->digest, sizeof(volume->digest));
    }
    volume->forgotten = false;
    volume->written[0] = '\0';
    free(volume->error);
    volume->error = desired->error != NULL ? strdup(desired->error) : NULL;
    return 0;
}

static struct observer_call *files_start(void *state, const struct volume_event *event, uint64_t timeout_ms,
                                         observer_callback *callback, void *arg, struct error **err)
{
    struct status_files *files = state;
    struct desired_pod_status *desired =
        desired_pod_status_create(event, files->node_label, clock_unix_s(), err);
    struct file_volume *volume = desired != NULL ? volume_get(files, event, err) : NULL;
    struct observer_call *call =
        volume != NULL ? observer_call_create(files->loop, callback, arg, err) : NULL;
    bool write = volume != NULL && !is_up_to_date(volume, desired);

    (void)timeout_ms; /* a worker is awaited, as everywhere */
    if (call != NULL && write && write_desired(volume, desired, err) < 0)
        observer_call_cancel(NULL, steal_ptr(&call));
    desired_pod_status_destroy(desired);
    if (call == NULL)
        return NULL;
    if (write)
        observer_call_wait(call, &volume->waiter, UINT64_MAX, NULL);
    else
        observer_call_finish_later(call, NULL);
    return call;
}

static void files_on_removed(void *state, const char *target_path)
{
    cleanup_error struct error *error = NULL;
    const struct volume_event event = {.target_path = target_path};
    struct file_volume *volume = volume_get(state, &event, &error); /* also after a restart */

    if (volume != NULL)
        remove_file(volume);
}

struct volume_observer status_files_observer(struct status_files *files)
{
    return (struct volume_observer){.name = "status-files",
                                    .action = "write the volume's status file",
                                    .wants_failures = true,
                                    .start = files_start,
                                    .cancel = observer_call_cancel,
                                    .on_removed = files_on_removed,
                                    .state = files};
}

struct status_files *status_files_create(uv_loop_t *loop, const char *directory, const char *node,
                                         struct log *log, struct error **err)
{
    struct status_files *files = calloc(1, sizeof(*files));

    if (files == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *files = (struct status_files){.loop = loop, .log = log, .directory = strdup(directory)};
    volume_table_init(&files->volumes, /* pool= */ NULL);
    files->node_label = pod_status_node_label(node, err);
    if (files->node_label == NULL)
        goto failed;
    if (files->directory == NULL) {
        (void)error_no_memory(err, NULL);
        goto failed;
    }
    if (mkdir(directory, 0755) < 0 && errno != EEXIST) {
        (void)error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "make --status-dir %s", directory);
        goto failed;
    }
    if (sweep(files, err) < 0)
        goto failed;
    return files;
failed:
    status_files_destroy(files);
    return NULL;
}

void status_files_destroy(struct status_files *files)
{
    struct volume_entry *entry;
    struct volume_entry *next;

    if (files == NULL)
        return;
    for (entry = volume_table_next(&files->volumes, NULL); entry != NULL; entry = next) {
        struct file_volume *volume = container_of(entry, struct file_volume, entry);

        next = volume_table_next(&files->volumes, entry);
        if (volume->running) { /* ends by itself, and stays as it is then */
            volume_table_remove(&files->volumes, &volume->entry);
            secret_free(steal_ptr(&volume->next));
            volume->files = NULL;
        } else {
            volume_free(volume);
        }
    }
    volume_table_finish(&files->volumes);
    free(files->directory);
    free(files->node_label);
    free(files);
}
