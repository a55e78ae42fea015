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
#include "common/base/list.h"
#include "common/process/loop_timer.h"
#include "driver/base/worker.h"

/* --- finding a class (on a worker) --- */

struct search {
    const char *ns;
    const char *name;
    struct secret_provider_class *class;
    struct class_stamps *stamps;
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

    class_stamps_add(search->stamps, dir_fd, file);
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

static int open_directory(const char *directory, struct error **err)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        (void)error_set_errno(err, errno == ENOENT ? GRPC_STATUS_NOT_FOUND : GRPC_STATUS_INTERNAL, errno,
                              "open the class directory '%s'", directory);
    return fd;
}

static int search_directory(const char *directory, struct search *search, struct error **err)
{
    cleanup_close int fd = open_directory(directory, err);
    struct dirent **entries = NULL;
    int n;

    if (fd < 0)
        return -1;
    class_stamps_begin(search->stamps, fd);
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
                                               char **ret_problems, struct class_stamps *ret_stamps,
                                               struct error **err)
{
    struct search search = {.ns = ns, .name = name, .stamps = ret_stamps};
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

/* A class that was found, and the files that it was read from. */
struct found_class {
    struct list link; /* in the source's list */
    struct secret_provider_class *class;
    struct class_stamps stamps;
};

struct class_files {
    uv_loop_t *loop;
    struct log *log;
    char *directory;
    char *last_problems; /* as logged; NULL when all was well */
    struct list found;   /* the last used comes first */
    size_t n_found;
    struct list ready; /* lookups that need no worker, until `deliver` expires */
    struct loop_timer *deliver;
};

struct class_lookup {
    struct list link; /* in the source's list `ready`, or in none */
    /* for the worker */
    char *directory;
    char *ns;
    char *name;
    /* from the worker */
    struct secret_provider_class *class;
    struct class_stamps stamps;
    char *problems;
    struct error *error;
    /* for the loop */
    struct class_files *files;
    class_lookup_callback *callback; /* NULL once cancelled */
    void *arg;
};

static void lookup_free(struct class_lookup *lookup)
{
    list_remove(&lookup->link);
    free(lookup->directory);
    free(lookup->ns);
    free(lookup->name);
    secret_provider_class_free(lookup->class);
    class_stamps_finish(&lookup->stamps);
    free(lookup->problems);
    error_free(lookup->error);
    free(lookup);
}

/* --- what was found before --- */

static void found_free(struct class_files *files, struct found_class *found)
{
    list_remove(&found->link);
    files->n_found--;
    secret_provider_class_free(found->class);
    class_stamps_finish(&found->stamps);
    free(found);
}

static struct found_class *found_find(const struct class_files *files, const char *ns, const char *name)
{
    for (struct list *link = files->found.next; link != &files->found; link = link->next) {
        struct found_class *found = container_of(link, struct found_class, link);

        if (strcmp(found->class->name, name) == 0 && strcmp(found->class->ns, ns) == 0)
            return found;
    }
    return NULL;
}

/* The class as a worker would find it now, NULL if only a worker can say. */
static struct secret_provider_class *found_get(struct class_files *files, const char *ns, const char *name)
{
    struct found_class *found = found_find(files, ns, name);

    if (found == NULL)
        return NULL;
    if (!class_stamps_are_current(&found->stamps, files->directory)) {
        found_free(files, found);
        return NULL;
    }
    list_remove(&found->link);
    list_insert_before(files->found.next, &found->link);
    return secret_provider_class_ref(found->class);
}

/* Keeps what a worker has found. Problems are not kept: they are reported by each lookup that meets them. */
static void found_put(struct class_files *files, struct class_lookup *lookup)
{
    struct found_class *found;

    if (lookup->class == NULL || lookup->problems != NULL || !lookup->stamps.complete)
        return;
    found = found_find(files, lookup->ns, lookup->name);
    if (found != NULL)
        found_free(files, found);
    else if (files->n_found == CLASS_FILES_KEPT_MAX)
        found_free(files, container_of(files->found.prev, struct found_class, link));
    found = malloc(sizeof(*found));
    if (found == NULL)
        return; /* the next lookup reads again */
    *found =
        (struct found_class){.class = secret_provider_class_ref(lookup->class), .stamps = lookup->stamps};
    lookup->stamps = (struct class_stamps){0};
    list_init(&found->link);
    list_insert_before(files->found.next, &found->link);
    files->n_found++;
}

/* --- lookups --- */

static void lookup_run(void *job)
{
    struct class_lookup *lookup = job;

    lookup->class = class_files_find(lookup->directory, lookup->ns, lookup->name, &lookup->problems,
                                     &lookup->stamps, &lookup->error);
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

        found_put(lookup->files, lookup);
        log_problems(lookup->files, &lookup->problems);
        lookup->callback = NULL;
        callback(steal_ptr(&lookup->class), lookup->error, lookup->arg);
    }
    lookup_free(lookup);
}

static void on_ready(void *arg)
{
    struct class_files *files = arg;
    struct list ready;

    list_init(&ready);
    list_move_all(&ready, &files->ready);
    while (!list_empty(&ready)) {
        struct class_lookup *lookup = container_of(ready.next, struct class_lookup, link);

        list_remove(&lookup->link); /* a callback may cancel others */
        lookup->callback(steal_ptr(&lookup->class), /* error= */ NULL, lookup->arg);
        lookup_free(lookup);
    }
}

static int start_worker(struct class_files *files, const char *ns, const char *name,
                        struct class_lookup *lookup, struct error **err)
{
    lookup->directory = strdup(files->directory);
    lookup->ns = strdup(ns);
    lookup->name = strdup(name);
    if (lookup->directory == NULL || lookup->ns == NULL || lookup->name == NULL)
        return error_no_memory(err, NULL);
    return worker_start(files->loop, lookup_run, lookup_done, lookup, err);
}

static struct class_lookup *files_start(void *state, const char *ns, const char *name, uint64_t timeout_ms,
                                        class_lookup_callback *callback, void *arg, struct error **err)
{
    struct class_files *files = state;
    struct class_lookup *lookup = alloc_zeroed(sizeof(*lookup), err);

    (void)timeout_ms; /* local files */
    if (lookup == NULL)
        return NULL;
    *lookup = (struct class_lookup){
        .class = found_get(files, ns, name), .files = files, .callback = callback, .arg = arg};
    list_init(&lookup->link);
    if (lookup->class != NULL) {
        list_insert_before(&files->ready, &lookup->link);
        loop_timer_start(files->deliver, 0);
    } else if (start_worker(files, ns, name, lookup, err) < 0) {
        lookup_free(lookup);
        return NULL;
    }
    return lookup;
}

static void files_cancel(struct class_lookup *lookup)
{
    if (!list_empty(&lookup->link))
        lookup_free(lookup);
    else
        lookup->callback = NULL; /* lingers until its worker is back; touches nothing of ours then */
}

static void files_destroy(void *state)
{
    struct class_files *files = state;

    while (!list_empty(&files->found))
        found_free(files, container_of(files->found.next, struct found_class, link));
    loop_timer_destroy(files->deliver);
    free(files->directory);
    free(files->last_problems);
    free(files);
}

/* The first mount would be late to say so. */
static void warn_of_missing(const struct class_files *files)
{
    cleanup_error struct error *error = NULL;
    cleanup_close int fd = open_directory(files->directory, &error);

    if (fd < 0)
        log_warning(files->log, "the class directory cannot be opened, mounts fail until it can",
                    LOG_STR("directory", files->directory), LOG_ERR(error));
}

int class_files_create(uv_loop_t *loop, const char *directory, struct log *log,
                       struct class_source *ret_source, struct error **err)
{
    struct class_files *files = alloc_zeroed(sizeof(*files), err);
    cleanup_free char *copy = files != NULL ? alloc_text(directory, err) : NULL;
    struct loop_timer *deliver = copy != NULL ? loop_timer_create(loop, on_ready, files, err) : NULL;

    if (deliver == NULL) {
        free(files);
        return -1;
    }
    *files =
        (struct class_files){.loop = loop, .log = log, .directory = steal_ptr(&copy), .deliver = deliver};
    list_init(&files->found);
    list_init(&files->ready);
    warn_of_missing(files);
    *ret_source = (struct class_source){.name = "files",
                                        .default_namespace = CLASS_FILES_NAMESPACE,
                                        .local = true,
                                        .start = files_start,
                                        .cancel = files_cancel,
                                        .destroy = files_destroy,
                                        .state = files};
    return 0;
}
