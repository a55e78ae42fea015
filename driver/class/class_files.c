/*
 * class_files.c - SecretProviderClasses from a directory.
 */
#include "driver/class/class_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/alloc.h"
#include "common/base/buffer.h"
#include "common/base/cleanup.h"
#include "common/base/file.h"
#include "driver/base/worker.h"

/* --- finding a class (on a worker) --- */

struct search {
    const char *ns;
    const char *name;
    struct secret_provider_class *class;
    struct buffer problems;
};

static bool has_suffix(const char *name, const char *suffix)
{
    size_t len = strlen(name);
    size_t suffix_len = strlen(suffix);

    return len > suffix_len && strcasecmp(name + len - suffix_len, suffix) == 0;
}

static int is_class_file(const struct dirent *entry)
{
    const char *name = entry->d_name;

    return name[0] != '.' &&
           (has_suffix(name, ".yaml") || has_suffix(name, ".yml") || has_suffix(name, ".json"));
}

static int consider(struct secret_provider_class *class, void *arg, struct error **err)
{
    struct search *search = arg;

    (void)err;
    if (search->class == NULL && strcmp(class->name, search->name) == 0 && strcmp(class->ns, search->ns) == 0)
        search->class = class;
    else
        secret_provider_class_free(class);
    return 0;
}

static int search_file(int dir_fd, const char *file, struct search *search, struct error **err)
{
    cleanup_buffer struct buffer text = {0};

    if (file_read_at(dir_fd, file, CLASS_TEXT_MAX, &text, err) < 0)
        return -1;
    if (has_suffix(file, ".json"))
        return class_json_each(buffer_str(&text), text.len, CLASS_FILES_NAMESPACE, consider, search, err);
    return class_yaml_each(buffer_str(&text), text.len, CLASS_FILES_NAMESPACE, consider, search, err);
}

static void note_problem(struct search *search, const char *file, const struct error *error)
{
    /* When the list is full the rest is left out: the first ones are enough to act upon. */
    (void)buffer_printf(&search->problems, /* err= */ NULL, "%s%s: %s", search->problems.len > 0 ? "; " : "",
                        file, error_message(error));
}

static int search_directory(const char *directory, struct search *search, struct error **err)
{
    cleanup_close int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct dirent **entries = NULL;
    int n;

    if (fd < 0)
        return error_set_errno(err, errno == ENOENT ? GRPC_STATUS_NOT_FOUND : GRPC_STATUS_INTERNAL, errno,
                               "open the class directory '%s'", directory);
    n = scandir(directory, &entries, is_class_file, alphasort); /* musl has no scandirat() */
    if (n < 0)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "list the class directory '%s'", directory);
    for (int i = 0; i < n; i++) {
        cleanup_error struct error *error = NULL;

        if (i < CLASS_FILES_MAX && search->class == NULL &&
            search_file(fd, entries[i]->d_name, search, &error) < 0)
            note_problem(search, entries[i]->d_name, error);
        free(entries[i]);
    }
    free(entries);
    if (n > CLASS_FILES_MAX && search->class == NULL)
        (void)buffer_printf(&search->problems, /* err= */ NULL, "%sonly the first %d files are read",
                            search->problems.len > 0 ? "; " : "", CLASS_FILES_MAX);
    return 0;
}

struct secret_provider_class *class_files_find(const char *directory, const char *ns, const char *name,
                                               char **ret_problems, struct error **err)
{
    struct search search = {.ns = ns, .name = name};
    int ret;

    buffer_init(&search.problems, CLASS_FILES_PROBLEMS_MAX);
    ret = search_directory(directory, &search, err);
    if (ret == 0 && search.class == NULL) {
        if (search.problems.len > 0)
            (void)error_set(err, GRPC_STATUS_NOT_FOUND, "no usable file in '%s' defines it (%s): not found",
                            directory, buffer_str(&search.problems));
        else
            (void)error_set(err, GRPC_STATUS_NOT_FOUND, "no file in '%s' defines it: not found", directory);
    }
    *ret_problems = search.problems.len > 0 ? strdup(buffer_str(&search.problems)) : NULL;
    buffer_finish(&search.problems);
    return search.class;
}

/* --- the source --- */

struct class_files {
    uv_loop_t *loop;
    struct log *log;
    char *directory;
    char *last_problems; /* as logged; NULL when all was well */
};

struct class_lookup {
    /* for the worker */
    char *directory;
    char *ns;
    char *name;
    /* from the worker */
    struct secret_provider_class *class;
    char *problems;
    struct error *error;
    /* for the loop */
    struct class_files *files;
    class_lookup_callback *callback; /* NULL once cancelled */
    void *arg;
};

static void lookup_free(struct class_lookup *lookup)
{
    free(lookup->directory);
    free(lookup->ns);
    free(lookup->name);
    secret_provider_class_free(lookup->class);
    free(lookup->problems);
    error_free(lookup->error);
    free(lookup);
}

static void lookup_run(void *job)
{
    struct class_lookup *lookup = job;

    lookup->class =
        class_files_find(lookup->directory, lookup->ns, lookup->name, &lookup->problems, &lookup->error);
}

/* A bad file is worth one line, not one per mount. A search that ends early at a hit sees fewer files, so its
 * list is the beginning of a longer one that may have been logged already. */
static void log_problems(struct class_files *files, char **problems)
{
    if (*problems == NULL ||
        (files->last_problems != NULL && strncmp(*problems, files->last_problems, strlen(*problems)) == 0))
        return;
    log_warning(files->log, "class files cannot be used", LOG_STR("directory", files->directory),
                LOG_STR("problems", *problems));
    free(files->last_problems);
    files->last_problems = steal_ptr(problems);
}

static void lookup_done(void *job)
{
    struct class_lookup *lookup = job;

    if (lookup->callback != NULL) {
        class_lookup_callback *callback = lookup->callback;

        log_problems(lookup->files, &lookup->problems);
        lookup->callback = NULL;
        callback(steal_ptr(&lookup->class), lookup->error, lookup->arg);
    }
    lookup_free(lookup);
}

static struct class_lookup *files_start(void *state, const char *ns, const char *name, uint64_t timeout_ms,
                                        class_lookup_callback *callback, void *arg, struct error **err)
{
    struct class_files *files = state;
    struct class_lookup *lookup = alloc_zeroed(sizeof(*lookup), err);

    (void)timeout_ms; /* local files */
    if (lookup == NULL)
        return NULL;
    *lookup = (struct class_lookup){.directory = strdup(files->directory),
                                    .ns = strdup(ns),
                                    .name = strdup(name),
                                    .files = files,
                                    .callback = callback,
                                    .arg = arg};
    if (lookup->directory == NULL || lookup->ns == NULL || lookup->name == NULL) {
        lookup_free(lookup);
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    if (worker_start(files->loop, lookup_run, lookup_done, lookup, err) < 0) {
        lookup_free(lookup);
        return NULL;
    }
    return lookup;
}

static void files_cancel(struct class_lookup *lookup)
{
    lookup->callback = NULL; /* lingers until its worker is back; touches nothing of ours then */
}

static void files_destroy(void *state)
{
    struct class_files *files = state;

    free(files->directory);
    free(files->last_problems);
    free(files);
}

int class_files_create(uv_loop_t *loop, const char *directory, struct log *log,
                       struct class_source *ret_source, struct error **err)
{
    struct class_files *files = alloc_zeroed(sizeof(*files), err);
    char *copy = files != NULL ? alloc_text(directory, err) : NULL;

    if (copy == NULL) {
        free(files);
        return -1;
    }
    *files = (struct class_files){.loop = loop, .log = log, .directory = copy};
    *ret_source = (struct class_source){.name = "files",
                                        .default_namespace = CLASS_FILES_NAMESPACE,
                                        .local = true,
                                        .start = files_start,
                                        .cancel = files_cancel,
                                        .destroy = files_destroy,
                                        .state = files};
    return 0;
}
