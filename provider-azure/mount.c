/*
 * mount.c - one mount operation.
 */
#include "provider-azure/mount.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provider-azure/content.h"
#include "provider-azure/object_path.h"

/* Kept back from the caller's time: to answer before the caller gives up, so that it hears the reason. */
enum { MARGIN_MS = 300, GUARD_MS = 150 };
/* Failing objects told in full; the others are counted. */
enum { MAX_TOLD = 8 };

#define PREFIX "failed to mount objects, error"

struct mount {
    const struct mount_shared *shared;
    struct mount_request request;
    struct store_freshness freshness;
    uint8_t volume[DIGEST_LEN];
    uint64_t deadline_ms;
    struct transport_timer *guard;
    struct transport_timer *empty; /* nothing to do: done in the next turn */
    struct token_wait *token_wait; /* TOKEN */
    struct token *token;
    struct fetch *fetch; /* FETCH */
    const struct mount_sink *sink;
    mount_callback *callback;
    void *arg;
};

static void mount_free(struct mount *mount)
{
    const struct transport *transport = mount->shared->network->transport;
    transport_stop(transport, &mount->guard);
    transport_stop(transport, &mount->empty);
    token_wait_cancel(&mount->token_wait);
    fetch_destroy(mount->fetch);
    token_unref(mount->token);
    mount_request_finish(&mount->request);
    free(mount);
}

/* Ends the mount; takes over `error`. */
static void finish(struct mount *mount, struct error *error)
{
    mount_callback *callback = mount->callback;
    void *arg = mount->arg;
    const struct mount_shared *shared = mount->shared;
    if (error == NULL)
        volume_log_note(shared->volumes, mount->volume, transport_now_ms(shared->network->transport));
    mount_free(mount);
    if (error != NULL)
        error_wrap(&error, PREFIX);
    callback(error, arg);
    error_free(error);
}

/* --- telling what failed
 * ------------------------------------------------------------------------------------------------ */

/* All failures as one error: each cause once, with the objects it concerns. The code is that of the first. */
struct verdict {
    struct error *first;
    struct buffer text;
    size_t told;
    size_t untold;
    char *last_cause;
    size_t same;
};

static void verdict_close_cause(struct verdict *verdict)
{
    if (verdict->same > 0)
        (void)buffer_printf(&verdict->text, NULL, " (the same for %zu more object%s)", verdict->same,
                            verdict->same == 1 ? "" : "s");
    verdict->same = 0;
}

static void verdict_add(struct verdict *verdict, const struct object_item *item, const struct error *cause)
{
    if (verdict->last_cause != NULL && strcmp(verdict->last_cause, error_message(cause)) == 0) {
        verdict->same++;
        return;
    }
    verdict_close_cause(verdict);
    if (verdict->told == MAX_TOLD) {
        verdict->untold++;
        return;
    }
    struct error *error = error_copy(cause);
    object_wrap_error(item, &error);
    (void)buffer_printf(&verdict->text, NULL, "%s%s", verdict->told > 0 ? "; " : "", error_message(error));
    verdict->told++;
    free(verdict->last_cause);
    verdict->last_cause = strdup(error_message(cause));
    if (verdict->first == NULL)
        verdict->first = error;
    else
        error_free(error);
}

/* NULL when nothing failed. */
static struct error *verdict_finish(struct verdict *verdict)
{
    struct error *error = NULL;
    verdict_close_cause(verdict);
    if (verdict->untold > 0)
        (void)buffer_printf(&verdict->text, NULL, "; and %zu more objects failed", verdict->untold);
    if (verdict->first != NULL)
        error_set(&error, error_code(verdict->first), "%s", buffer_str(&verdict->text));
    error_free(verdict->first);
    free(verdict->last_cause);
    buffer_finish(&verdict->text);
    return error;
}

/* --- the answer
 * -----------------------------------------------------------------------------------------------------------
 */

/* What one output became: nothing (an optional object that is not there), a file, or several. */
struct file {
    char *path;
    struct content content;
    char **part_paths; /* of each part of the content */
};

static void files_free(struct file *files, size_t n)
{
    for (size_t i = 0; files != NULL && i < n; i++) {
        for (size_t k = 0; files[i].part_paths != NULL && k < files[i].content.n_parts; k++)
            free(files[i].part_paths[k]);
        free(files[i].part_paths);
        free(files[i].path);
        content_finish(&files[i].content);
    }
    free(files);
}

static char *join_index(const char *text, int index)
{
    char *joined = NULL;
    if (index < 0)
        return strdup(text);
    return asprintf(&joined, "%s/%d", text, index) < 0 ? NULL : joined;
}

static int name_parts(struct file *file, struct error **err)
{
    const struct content *content = &file->content;
    file->part_paths = calloc(content->n_parts + 1, sizeof(*file->part_paths));
    for (size_t i = 0; file->part_paths != NULL && i < content->n_parts; i++) {
        if (asprintf(&file->part_paths[i], "%s%s", file->path, content->parts[i].suffix) < 0) {
            file->part_paths[i] = NULL;
            return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        }
    }
    return file->part_paths == NULL ? error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory") : 0;
}

/* Converts every output; failures of single objects go to the verdict. */
static struct error *convert(const struct content_options *options, const struct fetch_output *outputs,
                             size_t n, struct file *files)
{
    struct verdict verdict = {0};
    buffer_init(&verdict.text, (size_t)16 * 1024);
    for (size_t i = 0; i < n; i++) {
        const struct fetch_output *output = &outputs[i];
        struct error *error = NULL;
        if (output->absent && output->item->optional) {
            log_info(options->log, "optional object left out", LOG_STR("object", output->item->name),
                     LOG_STR("reason", error_message(output->error)));
            continue;
        }
        files[i].path = join_index(output->item->path, output->index);
        if (output->error != NULL)
            error = error_copy(output->error);
        else if (output->answer == NULL)
            error_set(&error, GRPC_STATUS_DEADLINE_EXCEEDED,
                      "no answer from the vault before the caller's deadline");
        else if (files[i].path == NULL)
            error_set(&error, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        else
            (void)(content_make(options, output->item, output->answer, &files[i].content, &error) == 0 &&
                   name_parts(&files[i], &error) == 0);
        if (error != NULL)
            verdict_add(&verdict, output->item, error);
        error_free(error);
    }
    return verdict_finish(&verdict);
}

static int check_paths(const struct fetch_output *outputs, const struct file *files, size_t n,
                       struct error **err)
{
    size_t n_paths = 0;
    for (size_t i = 0; i < n; i++)
        n_paths += files[i].content.n_parts;
    if (n_paths > FETCH_MAX_FILES)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "more than %d files in one volume",
                         FETCH_MAX_FILES);
    cleanup_free struct object_path *paths = calloc(n_paths + 1, sizeof(*paths));
    if (paths == NULL)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    n_paths = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < files[i].content.n_parts; k++) {
            const char *path = files[i].part_paths[k];
            if (object_path_check(path, err) < 0)
                return error_wrap(err, "file %.300s of object %s", path, outputs[i].item->name);
            paths[n_paths++] = (struct object_path){.path = path, .object = outputs[i].item->name};
        }
    }
    return object_paths_check(paths, n_paths, err);
}

static int hand_out_version(const struct mount *mount, const struct fetch_output *output, struct error **err)
{
    cleanup_free char *name = join_index(output->item->name, output->index);
    cleanup_free char *id = NULL;
    if (name == NULL || asprintf(&id, "%s/%s", object_type_name(output->item->type), name) < 0) {
        id = NULL;
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    /* What is not there has the empty version: a driver wants to hear of every object, and of one at least. */
    return mount->sink->add_version(mount->arg, id, output->answer != NULL ? output->answer->version : "",
                                    err);
}

static int hand_out(const struct mount *mount, const struct fetch_output *outputs, const struct file *files,
                    size_t n, struct error **err)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < files[i].content.n_parts; k++) {
            const struct content_part *part = &files[i].content.parts[k];
            if (mount->sink->add_file(mount->arg, files[i].part_paths[k], outputs[i].item->mode, part->bytes,
                                      part->len, err) < 0)
                return -1;
        }
        if (hand_out_version(mount, &outputs[i], err) < 0)
            return -1;
    }
    return 0;
}

/* All reads have ended, or the guard did not let them. */
static void conclude(struct mount *mount)
{
    struct error *error = NULL;
    size_t n = 0;
    struct fetch_output *outputs = fetch_outputs(mount->fetch, &n);
    struct file *files = calloc(n + 1, sizeof(*files));

    if (outputs == NULL || files == NULL) {
        error_set(&error, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    } else {
        error = convert(mount->shared->content, outputs, n, files);
        if (error == NULL && check_paths(outputs, files, n, &error) == 0)
            (void)hand_out(mount, outputs, files, n, &error);
    }
    files_free(files, n);
    free(outputs);
    finish(mount, error);
}

static void on_fetched(void *arg)
{
    conclude(arg);
}

/* The same failure for all objects: told with the first, as everything that concerns objects. */
static void fail_all(struct mount *mount, const struct error *cause)
{
    struct verdict verdict = {0};
    buffer_init(&verdict.text, (size_t)16 * 1024);
    for (size_t i = 0; i < mount->request.objects.n; i++)
        verdict_add(&verdict, &mount->request.objects.items[i], cause);
    finish(mount, verdict_finish(&verdict));
}

static void on_token(struct token *token, const struct error *error, void *arg)
{
    struct mount *mount = arg;
    const struct mount_shared *shared = mount->shared;

    mount->token_wait = NULL;
    if (token == NULL) {
        fail_all(mount, error);
        return;
    }
    mount->token = token;
    const struct fetch_input input = {
        .transport = shared->network->transport,
        .store = shared->store,
        .vault = &mount->request.vault,
        .objects = &mount->request.objects,
        .identity = mount->request.identity,
        .token = token,
        .freshness = mount->freshness,
        .deadline_ms = mount->deadline_ms,
    };
    struct error *failure = NULL;
    mount->fetch = fetch_start(&input, on_fetched, mount, &failure);
    if (mount->fetch == NULL)
        finish(mount, failure);
}

static void on_guard(void *arg)
{
    struct mount *mount = arg;
    mount->guard = NULL;
    if (mount->fetch != NULL) {
        conclude(mount);
        return;
    }
    struct error *error = NULL;
    error_set(&error, GRPC_STATUS_DEADLINE_EXCEEDED, "no token before the caller's deadline");
    fail_all(mount, error);
    error_free(error);
}

static void on_empty(void *arg)
{
    struct mount *mount = arg;
    mount->empty = NULL;
    finish(mount, NULL);
}

static int begin(struct mount *mount, uint64_t time_left_ms, struct error **err)
{
    const struct transport *transport = mount->shared->network->transport;

    if (mount->request.objects.n == 0) {
        mount->empty = transport_after(transport, 0, on_empty, mount, err);
        return mount->empty == NULL ? -1 : 0;
    }
    uint64_t left = time_left_ms < MOUNT_LIMIT_MS ? time_left_ms : MOUNT_LIMIT_MS;
    uint64_t work = left > 2 * (uint64_t)MARGIN_MS ? left - MARGIN_MS : left / 2;
    mount->deadline_ms = transport_now_ms(transport) + work;
    mount->guard =
        transport_after(transport, work + (left - work) * GUARD_MS / MARGIN_MS, on_guard, mount, err);
    if (mount->guard == NULL)
        return -1;
    mount->token_wait = token_cache_get(mount->shared->tokens, mount->request.identity, /* rejected= */ NULL,
                                        mount->deadline_ms, on_token, mount, err);
    return mount->token_wait == NULL ? -1 : 0;
}

/* A volume is one volume of one pod; who sends no target path has one per pod and class. */
static void name_volume(const struct mount_input *input, uint8_t ret_volume[DIGEST_LEN])
{
    static const char *const names[] = {"csi.storage.k8s.io/pod.uid", "csi.storage.k8s.io/pod.namespace",
                                        "csi.storage.k8s.io/pod.name", "secretProviderClass"};
    struct digest_field fields[1 + ARRAY_SIZE(names)];
    for (size_t i = 0; i <= ARRAY_SIZE(names); i++) {
        const char *text = i == 0 ? input->target_path : string_map_get(input->attributes, names[i - 1]);
        fields[i] = (struct digest_field){text, text != NULL ? strlen(text) : 0};
    }
    digest_fields(fields, ARRAY_SIZE(fields), ret_volume);
}

struct mount *mount_start(const struct mount_shared *shared, const struct mount_input *input,
                          const struct mount_sink *sink, mount_callback *callback, void *arg,
                          struct error **err)
{
    struct mount *mount = calloc(1, sizeof(*mount));
    if (mount == NULL) {
        error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    *mount = (struct mount){
        .shared = shared,
        .freshness = {.republish = input->republish},
        .sink = sink,
        .callback = callback,
        .arg = arg,
    };
    name_volume(input, mount->volume);
    mount->freshness.answered_ms =
        volume_log_last_ms(shared->volumes, mount->volume, transport_now_ms(shared->network->transport));
    if (mount_request_parse(input->attributes, input->secrets, input->permission, shared->defaults,
                            &mount->request, err) < 0 ||
        begin(mount, input->time_left_ms, err) < 0) {
        error_wrap(err, PREFIX);
        mount_free(mount);
        return NULL;
    }
    return mount;
}

void mount_cancel(struct mount **mount)
{
    struct mount *gone = *mount;
    *mount = NULL;
    if (gone != NULL)
        mount_free(gone);
}
