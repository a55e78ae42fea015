/*
 * secret_source.c - what Secrets are made of, copied out of a publish.
 */
#include "driver/sync/secret_source.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* --- class --- */

static int copy_data(const struct secret_object *from, struct secret_object *to, struct error **err)
{
    if (from->n_data == 0)
        return 0;
    to->data = calloc(from->n_data, sizeof(*to->data));
    if (to->data == NULL)
        return error_no_memory(err, NULL);
    to->n_data = from->n_data;
    for (size_t i = 0; i < from->n_data; i++) {
        to->data[i].object_name = strdup(from->data[i].object_name);
        to->data[i].key = strdup(from->data[i].key);
        if (to->data[i].object_name == NULL || to->data[i].key == NULL)
            return error_no_memory(err, NULL);
    }
    return 0;
}

static int copy_object(const struct secret_object *from, struct secret_object *to, struct error **err)
{
    to->secret_name = strdup(from->secret_name);
    to->type = strdup(from->type);
    if (to->secret_name == NULL || to->type == NULL)
        return error_no_memory(err, NULL);
    if (string_map_merge(&to->labels, &from->labels, err) < 0 ||
        string_map_merge(&to->annotations, &from->annotations, err) < 0)
        return -1;
    return copy_data(from, to, err);
}

struct secret_provider_class *secret_source_class(const struct secret_provider_class *class,
                                                  struct error **err)
{
    cleanup_class struct secret_provider_class *copy = calloc(1, sizeof(*copy));

    if (copy != NULL) {
        copy->name = strdup(class->name);
        copy->ns = strdup(class->ns);
        copy->uid = strdup(class->uid);
        copy->provider = strdup(class->provider);
        if (class->n_secret_objects > 0)
            copy->secret_objects = calloc(class->n_secret_objects, sizeof(*copy->secret_objects));
    }
    if (copy == NULL || copy->name == NULL || copy->ns == NULL || copy->uid == NULL ||
        copy->provider == NULL || (class->n_secret_objects > 0 && copy->secret_objects == NULL)) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    copy->n_secret_objects = class->n_secret_objects;
    for (size_t i = 0; i < class->n_secret_objects; i++) {
        if (copy_object(&class->secret_objects[i], &copy->secret_objects[i], err) < 0)
            return NULL;
    }
    return steal_ptr(&copy);
}

/* --- files --- */

/* White space around an objectName does not count; a name that merely contains the path costs a copy, no
 * more. */
static bool is_named(const struct secret_provider_class *class, const char *path)
{
    for (size_t i = 0; i < class->n_secret_objects; i++) {
        const struct secret_object *object = &class->secret_objects[i];

        for (size_t k = 0; k < object->n_data; k++) {
            if (strstr(object->data[k].object_name, path) != NULL)
                return true;
        }
    }
    return false;
}

int secret_source_files(const struct secret_provider_class *class, const struct payload *files,
                        struct payload *ret, struct error **err)
{
    cleanup_payload struct payload copy = {0};

    for (size_t i = 0; i < files->n; i++) {
        const struct payload_file *file = &files->files[i];
        struct secret *contents = NULL;

        if (is_named(class, file->path)) {
            contents = secret_from_bytes(secret_bytes(file->contents), secret_len(file->contents));
            if (contents == NULL)
                return error_no_memory(err, NULL);
        }
        if (payload_add(&copy, file->path, file->mode, contents, err) < 0)
            return -1;
    }
    if (payload_seal(&copy, err) < 0)
        return -1;
    *ret = copy;
    copy = (struct payload){0};
    return 0;
}
