/*
 * assembly.c - the answer of a mount.
 */
#include "provider-azure/mount_response.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provider-azure/aggregate_error.h"
#include "provider-azure/objects/object_path.h"

/* What one output became: nothing (an optional object that is not there), a file, or several. */
struct file {
    char *path;
    struct content content;
    char **part_paths; /* of each part of the content */
};

struct assembly {
    const struct content_options *options;
    struct fetch_output *outputs;
    struct file *files; /* one for each output */
    size_t n;
    size_t next; /* to convert */
    struct verdict verdict;
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

/* Whether converting takes long enough to let others have a turn. */
static bool is_costly(const struct fetch_output *output)
{
    return output->answer != NULL && output->answer->certificate && output->item->format == OBJECT_PEM;
}

static int convert(const struct assembly *assembly, const struct fetch_output *output, struct file *file,
                   struct error **err)
{
    if (output->error != NULL) {
        if (err != NULL)
            *err = error_copy(output->error);
        return -1;
    }
    if (output->answer == NULL)
        return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED,
                         "no answer from the vault before the caller's deadline");
    file->path = join_index(output->item->path, output->index);
    if (file->path == NULL)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    if (content_make(assembly->options, output->item, output->answer, &file->content, err) < 0)
        return -1;
    return name_parts(file, err);
}

bool assembly_step(struct assembly *assembly)
{
    while (assembly->next < assembly->n) {
        size_t i = assembly->next++;
        const struct fetch_output *output = &assembly->outputs[i];
        struct error *error = NULL;
        if (output->absent && output->item->optional) {
            log_info(assembly->options->log, "optional object left out",
                     LOG_STR("object", output->item->name), LOG_STR("reason", error_message(output->error)));
            continue;
        }
        if (convert(assembly, output, &assembly->files[i], &error) < 0)
            verdict_add(&assembly->verdict, output->item, error);
        error_free(error);
        if (is_costly(output))
            break;
    }
    return assembly->next == assembly->n;
}

static int check_paths(const struct assembly *assembly, struct error **err)
{
    const struct file *files = assembly->files;
    size_t n = assembly->n;
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
                return error_wrap(err, "file %.300s of object %s", path, assembly->outputs[i].item->name);
            paths[n_paths++] = (struct object_path){.path = path, .object = assembly->outputs[i].item->name};
        }
    }
    return object_paths_check(paths, n_paths, err);
}

static int hand_out_version(const struct fetch_output *output, const struct mount_sink *sink, void *arg,
                            struct error **err)
{
    cleanup_free char *name = join_index(output->item->name, output->index);
    cleanup_free char *id = NULL;
    if (name == NULL || asprintf(&id, "%s/%s", object_type_name(output->item->type), name) < 0) {
        id = NULL;
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    /* What is not there has the empty version: a driver wants to hear of every object, of one at least. */
    return sink->add_version(arg, id, output->answer != NULL ? output->answer->version : "", err);
}

static int hand_out(const struct assembly *assembly, const struct mount_sink *sink, void *arg,
                    struct error **err)
{
    for (size_t i = 0; i < assembly->n; i++) {
        const struct fetch_output *output = &assembly->outputs[i];
        const struct file *file = &assembly->files[i];
        for (size_t k = 0; k < file->content.n_parts; k++) {
            const struct content_part *part = &file->content.parts[k];
            if (sink->add_file(arg, file->part_paths[k], output->item->mode, part->bytes, part->len, err) < 0)
                return -1;
        }
        if (hand_out_version(output, sink, arg, err) < 0)
            return -1;
    }
    return 0;
}

/* What was not converted any more failed, too. */
static void give_up_rest(struct assembly *assembly)
{
    struct error *error = NULL;
    error_set(&error, GRPC_STATUS_DEADLINE_EXCEEDED, "not converted before the caller's deadline");
    for (; assembly->next < assembly->n; assembly->next++) {
        const struct fetch_output *output = &assembly->outputs[assembly->next];
        if (output->absent && output->item->optional)
            continue;
        if (output->error == NULL && output->answer != NULL) {
            verdict_add(&assembly->verdict, output->item, error);
            continue;
        }
        struct error *failure = NULL;
        (void)convert(assembly, output, &assembly->files[assembly->next], &failure);
        verdict_add(&assembly->verdict, output->item, failure);
        error_free(failure);
    }
    error_free(error);
}

int assembly_finish(struct assembly *assembly, const struct mount_sink *sink, void *arg, struct error **err)
{
    give_up_rest(assembly);
    struct error *failures = verdict_finish(&assembly->verdict);
    if (failures != NULL)
        return error_move(err, &failures);
    return check_paths(assembly, err) < 0 ? -1 : hand_out(assembly, sink, arg, err);
}

struct assembly *assembly_create(const struct fetch *fetch, const struct content_options *options,
                                 struct error **err)
{
    struct assembly *assembly = calloc(1, sizeof(*assembly));
    if (assembly != NULL) {
        assembly->options = options;
        verdict_init(&assembly->verdict);
        assembly->outputs = fetch_outputs(fetch, &assembly->n);
        assembly->files = calloc(assembly->n + 1, sizeof(*assembly->files));
    }
    if (assembly == NULL || assembly->outputs == NULL || assembly->files == NULL) {
        error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        assembly_destroy(assembly);
        return NULL;
    }
    return assembly;
}

void assembly_destroy(struct assembly *assembly)
{
    if (assembly == NULL)
        return;
    files_free(assembly->files, assembly->n);
    free(assembly->outputs);
    error_free(verdict_finish(&assembly->verdict));
    free(assembly);
}
