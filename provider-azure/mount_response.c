/*
 * mount_response.c - the response of a mount.
 */
#include "provider-azure/mount_response.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/alloc.h"
#include "common/base/secret.h"
#include "provider-azure/content/compose.h"
#include "provider-azure/fallback_warning.h"
#include "provider-azure/objects/aggregate_error.h"
#include "provider-azure/objects/object_path.h"

struct mount_response {
    const struct content_options *options;
    const struct object_list *objects;
    struct buffer *composed; /* of each composed file; NULL until all objects are converted */
    size_t next_composed;    /* to make, among the PKCS#12 files */
    struct error *compose_failure;
    struct pem_cache *pems;
    const struct vault *own_vault; /* NULL: the class names none */
    struct fetch_output *outputs;
    struct content *contents; /* of each output; without files for an optional object that is not there */
    size_t n;
    size_t next;               /* to convert */
    struct pem_waiter *waiter; /* for the PEM of `next`, then for the file `next_composed` */
    struct pem_budget budget;
    response_callback *callback;
    void *arg;
    struct aggregate_error failures;
};

static char *join_index(const char *text, int index)
{
    char *joined = NULL;
    if (index < 0)
        return strdup(text);
    return asprintf(&joined, "%s/%d", text, index) < 0 ? NULL : joined;
}

static int convert(const struct mount_response *response, const struct fetch_output *output,
                   struct pem_conversion *pem, struct content *ret_content, struct error **err)
{
    if (output->error != NULL) {
        if (err != NULL)
            *err = error_copy(output->error);
        return -1;
    }
    if (output->object == NULL)
        return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED,
                         "no response from the vault before the caller's deadline");
    cleanup_free char *path = join_index(output->item->path, output->index);
    if (path == NULL)
        return error_no_memory(err, NULL);
    return content_make(response->options, output->item, path, output->object, pem, ret_content, err);
}

/* Adds the failure of the next object, if there is one, and goes on to the one behind it. */
static void advance(struct mount_response *response, struct error *failure)
{
    if (failure != NULL)
        aggregate_error_add(&response->failures, response->outputs[response->next].item, failure);
    error_free(failure);
    response->next++;
}

static void convert_next(struct mount_response *response, struct pem_conversion *pem)
{
    struct error *failure = NULL;
    (void)convert(response, &response->outputs[response->next], pem, &response->contents[response->next],
                  &failure);
    advance(response, failure);
}

static void convert_rest(struct mount_response *response);
static void compose_rest(struct mount_response *response);

static void on_pem(struct pem_conversion *pem, const struct error *error, void *arg)
{
    struct mount_response *response = arg;

    response->waiter = NULL;
    if (pem != NULL)
        convert_next(response, pem);
    else
        advance(response, error_copy(error));
    pem_conversion_unref(pem);
    convert_rest(response);
}

/* Starts the conversion of the next object's value. */
static void start_pem(struct mount_response *response)
{
    struct error *failure = NULL;
    const struct fetch_output *output = &response->outputs[response->next];
    response->waiter = pem_cache_get(response->pems, output->principal, output->object->value,
                                     &response->budget, on_pem, response, &failure);
    if (response->waiter == NULL)
        advance(response, failure);
}

static void convert_rest(struct mount_response *response)
{
    while (response->next < response->n && response->waiter == NULL) {
        const struct fetch_output *output = &response->outputs[response->next];
        if (output->not_found && output->item->optional) {
            log_info(response->options->log, "optional object left out",
                     LOG_STR("object", output->item->name), LOG_STR("reason", error_message(output->error)));
            response->next++;
        } else if (output->object != NULL && content_needs_pem(output->item, output->object)) {
            start_pem(response);
        } else {
            convert_next(response, /* pem= */ NULL);
        }
    }
    if (response->waiter == NULL)
        compose_rest(response);
}

void mount_response_convert(struct mount_response *response, response_callback *callback, void *arg)
{
    response->callback = callback;
    response->arg = arg;
    convert_rest(response);
}

static int check_paths(const struct mount_response *response, struct error **err)
{
    size_t n_paths = response->objects->n_composed;
    for (size_t i = 0; i < response->n; i++)
        n_paths += response->contents[i].files.n;
    if (n_paths > FETCH_MAX_FILES)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "more than %d files in one volume",
                         FETCH_MAX_FILES);
    cleanup_free struct object_path *paths = calloc(n_paths + 1, sizeof(*paths));
    if (paths == NULL)
        return error_no_memory(err, NULL);
    n_paths = 0;
    for (size_t i = 0; i < response->n; i++) {
        const char *object = response->outputs[i].item->name;
        for (size_t k = 0; k < response->contents[i].files.n; k++) {
            const char *path = response->contents[i].files.at[k].path;
            if (object_path_check(path, err) < 0)
                return error_wrap(err, "file %.300s of object %s", path, object);
            paths[n_paths++] = (struct object_path){.path = path, .object = object};
        }
    }
    for (size_t i = 0; i < response->objects->n_composed; i++)
        paths[n_paths++] =
            (struct object_path){.path = response->objects->composed[i].path, .object = "(composed)"};
    return object_paths_check(paths, n_paths, err);
}

/* "secret/name", "secret/name/1"; of a vault that is not the class's "secret/name@host". The caller frees. NULL
 * with err set on lack of memory. */
static char *make_id(const struct mount_response *response, const struct fetch_output *output,
                     const char *prefix, struct error **err)
{
    cleanup_free char *name = join_index(output->item->name, output->index);
    bool is_own = output->vault == response->own_vault;
    char *id = name != NULL ? alloc_concat(prefix, object_type_name(output->item->type), "/", name,
                                           is_own ? "" : "@", is_own ? "" : output->vault->host, (char *)NULL)
                            : NULL;
    if (id == NULL)
        (void)error_no_memory(err, NULL);
    return id;
}

/* An object that was kept has a second version: when it was read. */
static int emit_read_time(const struct mount_response *response, const struct fetch_output *output,
                          const struct response_writer *writer, void *arg, struct error **err)
{
    cleanup_free char *id = make_id(response, output, "kept/", err);
    time_t seconds = (time_t)output->stale_read_unix_s;
    struct tm utc = {0};
    char text[32] = "";

    if (id == NULL)
        return -1;
    if (gmtime_r(&seconds, &utc) == NULL || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        (void)snprintf(text, sizeof(text), "%lld", (long long)seconds); /* beyond the calendar */
    return writer->add_version(arg, id, text, err);
}

/* The object's version; from another vault "version@host". NULL on lack of memory. */
static char *make_version(const struct fetch_output *output)
{
    /* An object that is not there has the empty version: drivers refuse a response without versions. */
    const char *version = output->object != NULL ? output->object->version : "";
    char *made = NULL;
    if (output->served == output->vault)
        return strdup(version);
    return asprintf(&made, "%s@%s", version, output->served->host) < 0 ? NULL : made;
}

static int emit_version(const struct mount_response *response, const struct fetch_output *output,
                        const struct response_writer *writer, void *arg, struct error **err)
{
    cleanup_free char *id = make_id(response, output, "", err);
    cleanup_free char *version = make_version(output);
    if (id == NULL)
        return -1;
    if (version == NULL)
        return error_no_memory(err, NULL);
    if (writer->add_version(arg, id, version, err) < 0)
        return -1;
    return output->stale ? emit_read_time(response, output, writer, arg, err) : 0;
}

/* One warning about all objects that had been kept. */
static int warn_of_stale(const struct mount_response *response, const struct response_writer *writer,
                         void *arg, struct error **err)
{
    enum { NAMED_MAX = 8, WARNING_MAX = 4096 };
    cleanup_buffer struct buffer text;
    cleanup_buffer struct buffer names;
    uint64_t oldest_ms = 0;
    size_t n = 0;

    buffer_init(&text, WARNING_MAX);
    buffer_init(&names, WARNING_MAX);
    for (size_t i = 0; i < response->n; i++) {
        const struct fetch_output *output = &response->outputs[i];
        if (!output->stale)
            continue;
        cleanup_free char *id = make_id(response, output, "", err);
        if (id == NULL)
            return -1;
        if (n++ < NAMED_MAX && buffer_printf(&names, err, "%s%s", n > 1 ? ", " : "", id) < 0)
            return -1;
        oldest_ms = output->stale_age_ms > oldest_ms ? output->stale_age_ms : oldest_ms;
    }
    if (n == 0)
        return 0;
    if (n > NAMED_MAX && buffer_printf(&names, err, " and %zu more", n - NAMED_MAX) < 0)
        return -1;
    if (buffer_printf(&text, err,
                      "the vault could not answer, objects are as they were read up to %llu s ago: %s",
                      (unsigned long long)(oldest_ms / 1000), buffer_str(&names)) < 0)
        return -1;
    return writer->add_warning(arg, buffer_str(&text), err);
}

static int emit_composed(const struct mount_response *response, const struct response_writer *writer,
                         void *arg, struct error **err)
{
    for (size_t i = 0; i < response->objects->n_composed; i++) {
        const struct composed_item *item = &response->objects->composed[i];
        const struct buffer *text = &response->composed[i];
        if (writer->add_file(arg, item->path, item->mode, text->data, text->len, err) < 0)
            return -1;
    }
    return 0;
}

/* Frees the contents of each object when they are written: of one object at a time there are two copies. */
static int emit(struct mount_response *response, const struct response_writer *writer, void *arg,
                struct error **err)
{
    for (size_t i = 0; i < response->n; i++) {
        const struct fetch_output *output = &response->outputs[i];
        struct content *content = &response->contents[i];
        for (size_t k = 0; k < content->files.n && !output->item->hidden; k++) {
            const struct content_file *file = &content->files.at[k];
            if (writer->add_file(arg, file->path, output->item->mode, file->bytes, file->len, err) < 0)
                return -1;
        }
        content_finish(content);
        if (emit_version(response, output, writer, arg, err) < 0)
            return -1;
    }
    if (emit_composed(response, writer, arg, err) < 0 ||
        fallback_warnings_emit(response->outputs, response->n, response->options->log, writer, arg, err) < 0)
        return -1;
    return warn_of_stale(response, writer, arg, err);
}

/* --- composed files --- */

/* All files, also those that are hidden, and optional objects that are not there. The caller frees. */
static struct compose_source *list_sources(const struct mount_response *response, size_t *ret_n)
{
    size_t most = 0;
    for (size_t i = 0; i < response->n; i++)
        most += response->contents[i].files.n + 1;
    struct compose_source *sources = calloc(most + 1, sizeof(*sources));
    *ret_n = 0;
    for (size_t i = 0; sources != NULL && i < response->n; i++) {
        const struct fetch_output *output = &response->outputs[i];
        const struct content_files *files = &response->contents[i].files;
        for (size_t k = 0; k < files->n; k++)
            sources[(*ret_n)++] = (struct compose_source){.path = files->at[k].path,
                                                          .bytes = files->at[k].bytes,
                                                          .len = files->at[k].len,
                                                          .version = output->object->version};
        if (files->n == 0)
            sources[(*ret_n)++] = (struct compose_source){.path = output->item->path, .absent = true};
    }
    return sources;
}

static bool is_key_store(const struct composed_item *item)
{
    return item->format == COMPOSED_PKCS12 || item->format == COMPOSED_TRUST_STORE;
}

static void on_key_store(struct pem_conversion *made, const struct error *error, void *arg)
{
    struct mount_response *response = arg;
    const struct composed_item *item = &response->objects->composed[response->next_composed];
    const struct error *failure = made != NULL ? made->error : error;

    response->waiter = NULL;
    if (failure != NULL)
        response->compose_failure = error_copy(failure);
    else if (made != NULL)
        (void)buffer_append(&response->composed[response->next_composed], made->text.data, made->text.len,
                            &response->compose_failure);
    if (response->compose_failure != NULL)
        (void)error_wrap(&response->compose_failure, "failed to compose file %s", item->path);
    pem_conversion_unref(made);
    response->next_composed++;
    compose_rest(response);
}

/* Of all who have read an object of the mount: a file is shared by those who could read all its sources. */
static void digest_principals(const struct mount_response *response, uint8_t ret[DIGEST_SHA256_LEN])
{
    memset(ret, 0, DIGEST_SHA256_LEN);
    for (size_t i = 0; i < response->n; i++) {
        const struct digest_field fields[] = {{ret, DIGEST_SHA256_LEN},
                                              {response->outputs[i].principal, DIGEST_SHA256_LEN}};
        if (fields[1].bytes != NULL)
            digest_fields(fields, ARRAY_SIZE(fields), ret);
    }
}

/* Starts the making of the next file. */
static void start_key_store(struct mount_response *response)
{
    const struct composed_item *item = &response->objects->composed[response->next_composed];
    size_t n = 0;
    cleanup_free struct compose_source *sources = list_sources(response, &n);
    struct key_store_recipe *recipe = NULL;
    uint8_t principals[DIGEST_SHA256_LEN];

    digest_principals(response, principals);
    if (sources == NULL)
        (void)error_no_memory(&response->compose_failure, NULL);
    else
        recipe = key_store_prepare(item, sources, n, &response->compose_failure);
    if (recipe != NULL)
        response->waiter = pem_cache_get_key_store(response->pems, principals, &recipe, &response->budget,
                                                   on_key_store, response, &response->compose_failure);
    if (response->waiter == NULL)
        (void)error_wrap(&response->compose_failure, "failed to compose file %s", item->path);
}

static int init_composed(struct mount_response *response)
{
    size_t n = response->objects->n_composed;
    response->composed = calloc(n + 1, sizeof(*response->composed));
    if (response->composed == NULL)
        return error_no_memory(&response->compose_failure, NULL);
    for (size_t i = 0; i < n; i++)
        buffer_init(&response->composed[i], COMPOSED_MAX);
    return 0;
}

/* Makes the PKCS#12 files, which takes time, when all objects are there. The other composed files are made
 * in the end. */
static void compose_rest(struct mount_response *response)
{
    const struct object_list *objects = response->objects;
    bool failed = aggregate_error_any(&response->failures) ||
                  (response->composed == NULL && objects->n_composed > 0 && init_composed(response) < 0);

    while (!failed && response->next_composed < objects->n_composed && response->waiter == NULL &&
           response->compose_failure == NULL) {
        if (is_key_store(&objects->composed[response->next_composed]))
            start_key_store(response);
        else
            response->next_composed++;
    }
    if (response->waiter == NULL)
        response->callback(response->arg);
}

static int compose_files(struct mount_response *response, struct error **err)
{
    const struct object_list *objects = response->objects;
    size_t n = 0;
    if (response->compose_failure != NULL)
        return error_move(err, &response->compose_failure);
    if (objects->n_composed == 0)
        return 0;
    if (response->next_composed < objects->n_composed)
        return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED,
                         "file %s was not composed before the caller's deadline",
                         objects->composed[response->next_composed].path);
    cleanup_free struct compose_source *sources = list_sources(response, &n);
    if (sources == NULL)
        return error_no_memory(err, NULL);
    for (size_t i = 0; i < objects->n_composed; i++) {
        if (!is_key_store(&objects->composed[i]) &&
            compose(&objects->composed[i], sources, n, &response->composed[i], err) < 0)
            return -1;
    }
    return 0;
}

/* Counts the objects that were not converted any more as failed, too. */
static void fail_rest(struct mount_response *response)
{
    struct error *error = NULL;
    error_set(&error, GRPC_STATUS_DEADLINE_EXCEEDED, "not converted before the caller's deadline");
    for (; response->next < response->n; response->next++) {
        const struct fetch_output *output = &response->outputs[response->next];
        if (output->not_found && output->item->optional)
            continue;
        if (output->error == NULL && output->object != NULL) {
            aggregate_error_add(&response->failures, output->item, error);
            continue;
        }
        struct error *failure = NULL;
        (void)convert(response, output, /* pem= */ NULL, &response->contents[response->next], &failure);
        aggregate_error_add(&response->failures, output->item, failure);
        error_free(failure);
    }
    error_free(error);
}

int mount_response_emit(struct mount_response *response, const struct response_writer *writer, void *arg,
                        struct error **err)
{
    pem_waiter_cancel(&response->waiter);
    fail_rest(response);
    struct error *failures = aggregate_error_finish(&response->failures);
    if (failures != NULL)
        return error_move(err, &failures);
    if (check_paths(response, err) < 0 || compose_files(response, err) < 0)
        return -1;
    return emit(response, writer, arg, err);
}

struct mount_response *mount_response_create(const struct response_input *input, struct error **err)
{
    struct mount_response *response = secret_calloc(1, sizeof(*response));
    if (response != NULL) {
        response->options = input->options;
        response->objects = input->objects;
        response->pems = input->pems;
        response->own_vault = input->own_vault;
        aggregate_error_init(&response->failures);
        response->outputs = fetch_outputs(input->fetch, &response->n);
        response->contents = secret_calloc(response->n + 1, sizeof(*response->contents));
    }
    if (response == NULL || response->outputs == NULL || response->contents == NULL) {
        (void)error_no_memory(err, NULL);
        mount_response_destroy(response);
        return NULL;
    }
    return response;
}

void mount_response_destroy(struct mount_response *response)
{
    if (response == NULL)
        return;
    pem_waiter_cancel(&response->waiter);
    for (size_t i = 0; response->contents != NULL && i < response->n; i++)
        content_finish(&response->contents[i]);
    for (size_t i = 0; response->composed != NULL && i < response->objects->n_composed; i++)
        buffer_finish(&response->composed[i]);
    free(response->composed);
    error_free(response->compose_failure);
    secret_free(response->contents);
    free(response->outputs);
    error_free(aggregate_error_finish(&response->failures));
    secret_free(response);
}
