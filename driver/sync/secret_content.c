/*
 * secret_content.c - one entry of secretObjects applied to the files of a volume.
 */
#include "driver/sync/secret_content.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buffer.h"
#include "driver/sync/secret_field_owners.h"
#include "driver/sync/tls_split.h"

void secret_content_finish(struct secret_content *content)
{
    for (size_t i = 0; i < content->n_values; i++) {
        free(content->values[i].key);
        secret_destroy(content->values[i].bytes);
    }
    free(content->values);
    free(content->name);
    free(content->type);
    string_map_finish(&content->labels);
    string_map_finish(&content->annotations);
    *content = (struct secret_content){0};
}

/* --- values --- */

static const struct payload_file *find_file(const struct payload *files, const char *path)
{
    for (size_t i = 0; i < files->n; i++) {
        if (strcmp(files->files[i].path, path) == 0)
            return &files->files[i];
    }
    return NULL;
}

static struct secret *tls_value(const char *key, const struct secret *file, struct error **err)
{
    if (strcmp(key, "tls.crt") == 0)
        return tls_split_certificates(secret_bytes(file), secret_len(file), err);
    if (strcmp(key, "tls.key") == 0)
        return tls_split_private_key(secret_bytes(file), secret_len(file), err);
    (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                    "a Secret of type " SECRET_TYPE_TLS " has the keys tls.crt and tls.key only");
    return NULL;
}

/* Adds a value, or replaces that of the same key. Takes over both, also on failure. */
static int put_value(struct secret_content *content, char *key, struct secret *bytes, struct error **err)
{
    struct secret_value *grown;
    size_t at = 0;
    int order = 1;

    while (at < content->n_values && (order = strcmp(content->values[at].key, key)) < 0)
        at++;
    if (at < content->n_values && order == 0) {
        secret_destroy(content->values[at].bytes);
        content->values[at].bytes = bytes;
        free(key);
        return 0;
    }
    grown = reallocarray(content->values, content->n_values + 1, sizeof(*grown));
    if (grown == NULL) {
        free(key);
        secret_destroy(bytes);
        return error_no_memory(err, NULL);
    }
    content->values = grown;
    memmove(&grown[at + 1], &grown[at], (content->n_values - at) * sizeof(*grown));
    grown[at] = (struct secret_value){.key = key, .bytes = bytes};
    content->n_values++;
    return 0;
}

static int add_value(struct secret_content *content, const char *path, const char *key,
                     const struct payload *files, struct error **err)
{
    const struct payload_file *file;
    cleanup_secret struct secret *bytes = NULL;
    char *owned_key;

    if (*key == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "key is empty");
    if (*path == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "objectName is empty");
    file = find_file(files, path);
    if (file == NULL)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "the volume has no such file");
    if (strcmp(content->type, SECRET_TYPE_TLS) == 0) {
        bytes = tls_value(key, file->contents, err);
        if (bytes == NULL)
            return -1;
    } else {
        bytes = secret_from_bytes(secret_bytes(file->contents), secret_len(file->contents));
    }
    owned_key = strdup(key);
    if (bytes == NULL || owned_key == NULL) {
        free(owned_key);
        return error_no_memory(err, NULL);
    }
    return put_value(content, owned_key, steal_ptr(&bytes), err);
}

static int check_total(const struct secret_content *content, struct error **err)
{
    size_t total = 0;

    for (size_t i = 0; i < content->n_values; i++)
        total += secret_len(content->values[i].bytes);
    if (total > SECRET_DATA_MAX)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED,
                         "its data would have %zu bytes or more, a Kubernetes Secret holds at most %d", total,
                         SECRET_DATA_MAX);
    return 0;
}

static int add_values(struct secret_content *content, const struct secret_object *object,
                      const struct payload *files, struct error **err)
{
    for (size_t i = 0; i < object->n_data; i++) {
        cleanup_free char *path = secret_field_trim(object->data[i].object_name);
        cleanup_free char *key = secret_field_trim(object->data[i].key);

        if (path == NULL || key == NULL)
            return error_no_memory(err, NULL);
        if (add_value(content, path, key, files, err) < 0)
            return error_wrap(err, "data[%zu] (key '%.253s', file '%.300s')", i, key, path);
        if (check_total(content, err) < 0) /* at once: a small class must not fill the memory */
            return -1;
    }
    return 0;
}

/* --- names, labels, annotations --- */

static int check_object(const struct secret_object *object, struct error **err)
{
    if (object->secret_name[0] == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "secretName is empty");
    if (object->type[0] == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "type is empty");
    if (object->n_data == 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "data is empty");
    if (string_map_get(&object->annotations, SECRET_FIELD_OWNERS_ANNOTATION) != NULL)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "the annotation " SECRET_FIELD_OWNERS_ANNOTATION " is written by this driver alone");
    return 0;
}

static int fill_names(struct secret_content *content, const struct secret_object *object, struct error **err)
{
    content->name = secret_field_trim(object->secret_name);
    content->type = secret_field_trim(object->type);
    if (content->type != NULL && content->type[0] == '\0') {
        free(content->type);
        content->type = strdup(SECRET_TYPE_OPAQUE);
    }
    if (content->name == NULL || content->type == NULL)
        return error_no_memory(err, NULL);
    if (!class_name_valid(content->name))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "secretName '%.300s' is not a Kubernetes object name", content->name);
    return 0;
}

static int check_later_entries(const struct secret_provider_class *class, size_t index, const char *name,
                               struct error **err)
{
    for (size_t i = index + 1; i < class->n_secret_objects; i++) {
        cleanup_free char *other = secret_field_trim(class->secret_objects[i].secret_name);

        if (other == NULL)
            return error_no_memory(err, NULL);
        if (strcmp(other, name) == 0)
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                             "secretObjects[%zu] names the same Secret, and the last entry counts", i);
    }
    return 0;
}

/* --- digest --- */

static int add_field(struct buffer *all, const void *bytes, size_t len, struct error **err)
{
    const uint64_t prefix = len;

    if (buffer_append(all, &prefix, sizeof(prefix), err) < 0)
        return -1;
    return len == 0 ? 0 : buffer_append(all, bytes, len, err);
}

static int add_map(struct buffer *all, const struct string_map *map, struct error **err)
{
    const uint64_t n = map->n;

    if (buffer_append(all, &n, sizeof(n), err) < 0)
        return -1;
    for (size_t i = 0; i < map->n; i++) {
        if (add_field(all, map->entries[i].key, strlen(map->entries[i].key), err) < 0 ||
            add_field(all, map->entries[i].value, strlen(map->entries[i].value), err) < 0)
            return -1;
    }
    return 0;
}

/* Every field is preceded by its length, so that different contents have different bytes. */
static int fill_digest(struct secret_content *content, struct error **err)
{
    cleanup_buffer struct buffer all = {0};

    buffer_init(&all, 16 * (size_t)SECRET_DATA_MAX); /* keys, labels and annotations come from one class */
    if (add_field(&all, content->type, strlen(content->type), err) < 0 ||
        add_map(&all, &content->labels, err) < 0 || add_map(&all, &content->annotations, err) < 0)
        return -1;
    for (size_t i = 0; i < content->n_values; i++) {
        const struct secret_value *value = &content->values[i];

        if (add_field(&all, value->key, strlen(value->key), err) < 0 ||
            add_field(&all, secret_bytes(value->bytes), secret_len(value->bytes), err) < 0)
            return -1;
    }
    if (digest_sha256(all.data, all.len, content->digest) < 0)
        return error_set(err, GRPC_STATUS_INTERNAL, "SHA-256 failed");
    return 0;
}

/* --- all of it --- */

static int build(const struct secret_provider_class *class, size_t index, const struct payload *files,
                 struct secret_content *content, struct error **err)
{
    const struct secret_object *object = &class->secret_objects[index];

    if (check_object(object, err) < 0 || fill_names(content, object, err) < 0 ||
        check_later_entries(class, index, content->name, err) < 0 ||
        string_map_merge(&content->labels, &object->labels, err) < 0 ||
        string_map_set(&content->labels, SECRET_MANAGED_LABEL, "true", err) < 0 ||
        string_map_merge(&content->annotations, &object->annotations, err) < 0 ||
        add_values(content, object, files, err) < 0)
        return -1;
    return fill_digest(content, err);
}

int secret_content_build(const struct secret_provider_class *class, size_t index, const struct payload *files,
                         struct secret_content *ret, struct error **err)
{
    cleanup_secret_content struct secret_content content = {0};

    if (build(class, index, files, &content, err) < 0)
        return error_wrap(err, "secretproviderclass %s/%s, secretObjects[%zu], Secret '%.253s'", class->ns,
                          class->name, index, class->secret_objects[index].secret_name);
    *ret = content;
    content = (struct secret_content){0};
    return 0;
}
