/*
 * secret_content.c - one entry of secretObjects applied to the files of a volume.
 */
#include "driver/sync/secret_content.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buffer.h"
#include "driver/sync/secret_field_owners.h"
#include "driver/sync/tls_split.h"

enum {
    FILE_LIST_SIZE = 320, /* bytes of the names of files in an error */
};

void secret_content_finish(struct secret_content *content)
{
    for (size_t i = 0; i < content->n_values; i++) {
        free(content->values[i].key);
        secret_destroy(content->values[i].bytes);
    }
    free(content->values);
    for (size_t i = 0; i < content->n_kept; i++)
        free(content->kept[i]);
    free(content->kept);
    for (size_t i = 0; i < content->n_failures; i++)
        error_free(content->failures[i]);
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

/* The names of the files that are there, as many as fit: "a, b and 3 more". */
static void list_files(const struct payload *files, char list[FILE_LIST_SIZE])
{
    const size_t end = FILE_LIST_SIZE - sizeof(" and 10000 more");
    size_t len = 0, n = 0;

    (void)snprintf(list, FILE_LIST_SIZE, "%s", files->n == 0 ? "none" : "");
    for (; n < files->n && len + strlen(files->files[n].path) + 2 < end; n++)
        len += (size_t)snprintf(list + len, end - len, "%s%s", n == 0 ? "" : ", ", files->files[n].path);
    if (n < files->n)
        (void)snprintf(list + len, FILE_LIST_SIZE - len, "%s%zu more", n == 0 ? "" : " and ", files->n - n);
}

static int file_missing(const struct payload *files, struct error **err)
{
    char list[FILE_LIST_SIZE];

    list_files(files, list);
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "the volume has no such file (has: %s)", list);
}

static struct secret *file_value(const struct secret *file, struct error **err)
{
    struct secret *bytes = secret_from_bytes(secret_bytes(file), secret_len(file));

    if (bytes == NULL)
        (void)error_no_memory(err, NULL);
    return bytes;
}

static struct secret *tls_value(const char *key, const struct secret *file, struct error **err)
{
    if (strcmp(key, "tls.crt") == 0)
        return tls_split_certificates(secret_bytes(file), secret_len(file), err);
    if (strcmp(key, "tls.key") == 0)
        return tls_split_private_key(secret_bytes(file), secret_len(file), err);
    return file_value(file, err); /* ca.crt and the like */
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

/* The API server refuses other texts, in words that do not lead to the cause: "invalid character 'e'". */
static int check_docker_config(const char *type, const char *key, const struct secret *file,
                               struct error **err)
{
    static const char bom[] = "\xef\xbb\xbf", base64[] = "ey"; /* of `{"` and `{ ` */
    const char *text = (const char *)secret_bytes(file);
    size_t len = secret_len(file);

    if ((strcmp(type, "kubernetes.io/dockerconfigjson") != 0 || strcmp(key, ".dockerconfigjson") != 0) &&
        (strcmp(type, "kubernetes.io/dockercfg") != 0 || strcmp(key, ".dockercfg") != 0))
        return 0;
    if (len >= sizeof(bom) - 1 && memcmp(text, bom, sizeof(bom) - 1) == 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "the file is no JSON: it begins with a byte order mark");
    if (len < sizeof(base64) - 1 || memcmp(text, base64, sizeof(base64) - 1) != 0)
        return 0;
    (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "the file is no JSON");
    return error_hint(err,
                      "it is base64 text: its provider has to decode it (objectEncoding: base64 of Azure's)");
}

static int add_value(struct secret_content *content, const char *path, const char *key,
                     const struct payload *files, struct error **err)
{
    const struct payload_file *file;
    struct secret *bytes;
    char *owned_key;

    if (secret_key_check(key, err) < 0)
        return -1;
    if (*path == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "objectName is empty");
    file = find_file(files, path);
    if (file == NULL)
        return file_missing(files, err);
    if (check_docker_config(content->type, key, file->contents, err) < 0)
        return -1;
    bytes = strcmp(content->type, SECRET_TYPE_TLS) == 0 ? tls_value(key, file->contents, err)
                                                        : file_value(file->contents, err);
    if (bytes == NULL)
        return -1;
    owned_key = strdup(key);
    if (owned_key == NULL) {
        secret_destroy(bytes);
        return error_no_memory(err, NULL);
    }
    return put_value(content, owned_key, bytes, err);
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

/* --- entries that fail --- */

static struct secret_value *find_value(const struct secret_content *content, const char *key)
{
    for (size_t i = 0; i < content->n_values; i++) {
        if (strcmp(content->values[i].key, key) == 0)
            return &content->values[i];
    }
    return NULL;
}

bool secret_content_names(const struct secret_content *content, const char *key)
{
    for (size_t i = 0; i < content->n_kept; i++) {
        if (strcmp(content->kept[i], key) == 0)
            return true;
    }
    return find_value(content, key) != NULL;
}

/* The last entry of a key counts, so an earlier one does not stand in for it. */
static void remove_value(struct secret_content *content, const char *key)
{
    struct secret_value *value = find_value(content, key);
    const struct secret_value *end;

    if (value == NULL)
        return;
    end = content->values + content->n_values;
    free(value->key);
    secret_destroy(value->bytes);
    memmove(value, value + 1, (size_t)(end - value - 1) * sizeof(*value));
    content->n_values--;
}

static int keep_key(struct secret_content *content, const char *key, struct error **err)
{
    char **grown = reallocarray(content->kept, content->n_kept + 1, sizeof(*grown));

    if (grown != NULL) {
        content->kept = grown;
        grown[content->n_kept] = strdup(key);
    }
    if (grown == NULL || grown[content->n_kept] == NULL)
        return error_no_memory(err, NULL);
    content->n_kept++;
    remove_value(content, key);
    return 0;
}

/* A later entry of the key has a value. */
static void forget_kept(struct secret_content *content, const char *key)
{
    for (size_t i = content->n_kept; i-- > 0;) {
        if (strcmp(content->kept[i], key) != 0)
            continue;
        free(content->kept[i]);
        content->kept[i] = content->kept[--content->n_kept];
    }
}

/* Takes over *failure. Without memory it counts for the whole Secret. */
static int entry_failed(struct secret_content *content, const char *key, struct error **failure,
                        struct error **err)
{
    bool fatal = error_code(*failure) == GRPC_STATUS_RESOURCE_EXHAUSTED;

    if (fatal)
        return error_move(err, failure);
    if (content->n_failures < SECRET_CONTENT_FAILURES_MAX)
        content->failures[content->n_failures++] = steal_ptr(failure);
    error_free(steal_ptr(failure));
    return key[0] == '\0' ? 0 : keep_key(content, key, err);
}

static int add_entry(struct secret_content *content, const struct secret_object *object, size_t at,
                     const struct payload *files, struct error **err)
{
    cleanup_free char *path = secret_field_trim(object->data[at].object_name);
    cleanup_free char *key = secret_field_trim(object->data[at].key);
    struct error *failure = NULL;

    if (path == NULL || key == NULL)
        return error_no_memory(err, NULL);
    if (add_value(content, path, key, files, &failure) < 0) {
        (void)error_wrap(&failure, "data[%zu] (key '%.253s', file '%.300s')", at, key, path);
        return entry_failed(content, key, &failure, err);
    }
    forget_kept(content, key);
    return check_total(content, err); /* at once: a small class must not fill the memory */
}

/* Are the values of use, without those of the entries that have failed? If not, *err is the first failure. */
static int check_values(struct secret_content *content, struct error **err)
{
    if (content->n_failures == 0 || (content->n_values > 0 && strcmp(content->type, SECRET_TYPE_OPAQUE) == 0))
        return 0;
    (void)error_move(err, &content->failures[0]);
    content->n_failures--;
    memmove(&content->failures[0], &content->failures[1], content->n_failures * sizeof(struct error *));
    return -1;
}

static int add_values(struct secret_content *content, const struct secret_object *object,
                      const struct payload *files, struct error **err)
{
    for (size_t i = 0; i < object->n_data; i++) {
        if (add_entry(content, object, i, files, err) < 0)
            return -1;
    }
    return check_values(content, err);
}

/* --- names, labels, annotations --- */

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
    for (size_t i = 0; i < content->n_kept; i++) {
        if (add_field(&all, content->kept[i], strlen(content->kept[i]), err) < 0)
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

    if (secret_object_check(class, index, err) < 0 || fill_names(content, object, err) < 0 ||
        string_map_merge(&content->labels, &object->labels, err) < 0 ||
        string_map_set(&content->labels, SECRET_MANAGED_LABEL, "true", err) < 0 ||
        string_map_merge(&content->annotations, &object->annotations, err) < 0 ||
        add_values(content, object, files, err) < 0)
        return -1;
    return fill_digest(content, err);
}

/* Where a failure is. */
static void wrap(const struct secret_provider_class *class, size_t index, struct error **error)
{
    if (*error != NULL)
        (void)error_wrap(error, "secretproviderclass %s/%s, secretObjects[%zu], Secret '%.253s'", class->ns,
                         class->name, index, class->secret_objects[index].secret_name);
}

/* Leaves nothing but the failures of entries. */
static struct secret_content failures_of(struct secret_content *content)
{
    struct secret_content failures = {.n_failures = content->n_failures};

    memcpy(failures.failures, content->failures, sizeof(failures.failures));
    content->n_failures = 0;
    return failures;
}

int secret_content_build(const struct secret_provider_class *class, size_t index, const struct payload *files,
                         struct secret_content *ret, struct error **err)
{
    cleanup_secret_content struct secret_content content = {0};
    struct error *error = NULL;

    if (build(class, index, files, &content, &error) < 0) {
        wrap(class, index, &error);
        *ret = failures_of(&content);
    } else {
        *ret = content;
        content = (struct secret_content){0};
    }
    for (size_t i = 0; i < ret->n_failures; i++)
        wrap(class, index, &ret->failures[i]);
    return error == NULL ? 0 : error_move(err, &error);
}
