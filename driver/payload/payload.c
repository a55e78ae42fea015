/*
 * payload.c - the list of files of one volume.
 */
#include "driver/payload/payload.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    PAGE_BYTES = 4096, /* of a tmpfs; with larger ones the estimate is too small, and the write gets ENOSPC */
    INODE_BYTES = 1024, /* with its entry in the directory */
    INITIAL_CAPACITY = 8,
    FIXED_INODES = 8, /* root, version directory, ..data, ..data_tmp, ..links_tmp and some air */
};

/* Makes space for one more file. */
static int reserve(struct payload *payload)
{
    if (payload->n < payload->capacity)
        return 0;
    size_t capacity = payload->capacity == 0 ? INITIAL_CAPACITY : payload->capacity * 2;
    struct payload_file *grown = reallocarray(payload->files, capacity, sizeof(*grown));
    if (grown == NULL)
        return -1;
    payload->files = grown;
    payload->capacity = capacity;
    return 0;
}

int payload_add(struct payload *payload, const char *path, mode_t mode, struct secret *contents,
                struct error **err)
{
    cleanup_secret struct secret *taken = contents;
    if (payload_check_path(path, err) < 0)
        return -1;
    if (payload->n >= PAYLOAD_FILES_MAX)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "more than %d files in one volume",
                         PAYLOAD_FILES_MAX);
    if (taken == NULL)
        taken = secret_create(0);
    cleanup_free char *copy = strdup(path);
    if (copy == NULL || taken == NULL || reserve(payload) < 0)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "no memory for file '%s'", path);
    payload->files[payload->n++] = (struct payload_file){
        .path = steal_ptr(&copy),
        .mode = mode & (S_IRWXU | S_IRWXG | S_IRWXO),
        .contents = steal_ptr(&taken),
    };
    return 0;
}

/* As strcmp(), but '/' sorts before every other byte: "a/b" comes right after "a", before "a.b". */
static int compare_paths(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    int rank_a = *a == '/' ? 1 : *a == '\0' ? 0 : (unsigned char)*a + 1;
    int rank_b = *b == '/' ? 1 : *b == '\0' ? 0 : (unsigned char)*b + 1;
    return rank_a - rank_b;
}

/* Equal paths keep their order of arrival: both pointers go into the same array. */
static int compare_entries(const void *a, const void *b)
{
    const struct payload_file *const *file_a = a, *const *file_b = b;
    int by_path = compare_paths((*file_a)->path, (*file_b)->path);
    if (by_path != 0)
        return by_path;
    return *file_a < *file_b ? -1 : *file_a > *file_b;
}

static void free_file(struct payload_file *file)
{
    free(file->path);
    secret_destroy(file->contents);
    *file = (struct payload_file){0};
}

static bool is_directory_of(const char *directory, const char *path)
{
    size_t len = strlen(directory);
    return strncmp(directory, path, len) == 0 && path[len] == '/';
}

int payload_seal(struct payload *payload, struct error **err)
{
    if (payload->n == 0)
        return 0;
    cleanup_free struct payload_file **order =
        calloc(payload->n, sizeof(struct payload_file *)); /* NOLINT(bugprone-sizeof-expression): pointers */
    cleanup_free struct payload_file *sorted = calloc(payload->n, sizeof(*sorted));
    if (order == NULL || sorted == NULL)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "no memory to sort %zu files", payload->n);
    for (size_t i = 0; i < payload->n; i++)
        order[i] = &payload->files[i];
    qsort(order, payload->n, sizeof(struct payload_file *), compare_entries);

    size_t n = 0;
    for (size_t i = 0; i < payload->n; i++) {
        if (n > 0 && strcmp(sorted[n - 1].path, order[i]->path) == 0)
            free_file(&sorted[--n]);
        sorted[n++] = *order[i];
    }
    free(payload->files);
    payload->files = steal_ptr(&sorted);
    payload->capacity = payload->n;
    payload->n = n;

    for (size_t i = 1; i < n; i++) {
        const char *one = payload->files[i - 1].path, *other = payload->files[i].path;
        if (is_directory_of(one, other))
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                             "file '%s' clashes with file '%s': it cannot be a file and a directory", one,
                             other);
    }
    return 0;
}

static int compare_file(const void *key, const void *element)
{
    const struct payload_file *file = element;
    return compare_paths(key, file->path);
}

/* The files of a directory stay together, right behind its path. */
static int compare_directory(const void *key, const void *element)
{
    const struct payload_file *file = element;
    return is_directory_of(key, file->path) ? 0 : compare_paths(key, file->path);
}

static bool search(const struct payload *payload, const char *path,
                   int (*compare)(const void *, const void *))
{
    return payload->n > 0 &&
           bsearch(path, payload->files, payload->n, sizeof(*payload->files), compare) != NULL;
}

bool payload_has_file(const struct payload *payload, const char *path)
{
    return search(payload, path, compare_file);
}

bool payload_has_directory(const struct payload *payload, const char *path)
{
    return search(payload, path, compare_directory);
}

size_t payload_size(const struct payload *payload)
{
    size_t size = 0;
    for (size_t i = 0; i < payload->n; i++)
        size += secret_len(payload->files[i].contents);
    return size;
}

struct payload_footprint payload_footprint(const struct payload *payload)
{
    struct payload_footprint footprint = {.inodes = FIXED_INODES};
    for (size_t i = 0; i < payload->n; i++) {
        const struct payload_file *file = &payload->files[i];
        footprint.bytes += (secret_len(file->contents) + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
        footprint.inodes += 2; /* the file, and its link (counted per file: at most one too many) */
        for (const char *at = file->path; *at != '\0'; at++)
            footprint.inodes += *at == '/';
    }
    footprint.memory = footprint.bytes + footprint.inodes * INODE_BYTES;
    return footprint;
}

void payload_finish(struct payload *payload)
{
    for (size_t i = 0; i < payload->n; i++)
        free_file(&payload->files[i]);
    free(payload->files);
    *payload = (struct payload){0};
}
