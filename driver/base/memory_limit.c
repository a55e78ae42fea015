/*
 * memory_limit.c - limits and use of the cgroups above this process.
 *
 * https://docs.kernel.org/admin-guide/cgroup-v2.html
 * https://docs.kernel.org/admin-guide/cgroup-v1/memory.html
 */
#include "driver/base/memory_limit.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/process/lifecycle.h"

/* Names in the two versions of cgroups. */
struct cgroup_files {
    const char *type; /* of the file system */
    const char *limit, *usage;
    const char *inactive, *active; /* pages of files, in memory.stat; those of a tmpfs are not among them */
};

static const struct cgroup_files version_1 = {
    .type = "cgroup",
    .limit = "memory.limit_in_bytes",
    .usage = "memory.usage_in_bytes",
    .inactive = "total_inactive_file ",
    .active = "total_active_file ",
};

static const struct cgroup_files version_2 = {
    .type = "cgroup2",
    .limit = "memory.max",
    .usage = "memory.current",
    .inactive = "inactive_file ",
    .active = "active_file ",
};

struct memory_limit {
    const struct cgroup_files *files; /* NULL: there is no limit */
    char *mount;                      /* where the cgroups are mounted */
    char *path;                       /* of the own one below it: "" or "/..." */
    memory_limit_others *others;      /* NULL: none */
    void *others_arg;
    uint64_t left;
    uint64_t read_ns; /* when; 0 = never */
};

/* --- finding the cgroup --- */

/* A file below `directory`; NULL when it cannot be read. */
static FILE *open_below(const char *directory, const char *name)
{
    char path[PATH_MAX];
    int len = snprintf(path, sizeof(path), "%s/%s", directory, name);

    return len < (int)sizeof(path) ? fopen(path, "re") : NULL;
}

/* Is `word` among those that commas separate? */
static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);

    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',' ? 1 : 0;
        if (strncmp(at, word, len) == 0 && (at[len] == '\0' || at[len] == ',' || at[len] == '\n'))
            return true;
    }
    return false;
}

/* Reads /proc/PID/cgroup: "3:cpu,memory:/path" (version 1), "0::/path" (version 2). */
static void read_own_path(struct memory_limit *limit, const char *process)
{
    cleanup_file FILE *file = open_below(process, "cgroup");
    cleanup_free char *line = NULL;
    size_t size = 0;

    while (file != NULL && limit->files != &version_1 && getline(&line, &size, file) > 0) {
        char *controllers = strchr(line, ':');
        char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;

        if (path == NULL)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        bool memory = has_word(controllers + 1, "memory");
        if (!memory && controllers[1] != '\0')
            continue;
        free(limit->path);
        limit->path = strdup(path);
        limit->files = memory ? &version_1 : &version_2;
    }
}

/* The words of a line of /proc/PID/mountinfo that are needed here. */
struct mount_words {
    const char *root, *mount, *type, *options;
};

static bool split_mount(char *line, struct mount_words *ret)
{
    char *behind = strstr(line, " - ");
    char *position = NULL;
    int n = 0;

    if (behind == NULL)
        return false;
    *behind = '\0';
    for (char *word = strtok_r(line, " ", &position); word != NULL; word = strtok_r(NULL, " ", &position)) {
        if (n == 3)
            ret->root = word;
        if (n++ == 4)
            ret->mount = word;
    }
    ret->type = strtok_r(behind + 3, " ", &position);
    (void)strtok_r(NULL, " ", &position); /* the source */
    ret->options = strtok_r(NULL, " \n", &position);
    return n > 4 && ret->options != NULL;
}

/* Takes over a mount of the cgroups; `root` of them is mounted there. */
static void take_mount(struct memory_limit *limit, const struct mount_words *words)
{
    size_t len = strcmp(words->root, "/") == 0 ? 0 : strlen(words->root);

    limit->mount = strdup(words->mount);
    if (limit->path == NULL || strncmp(limit->path, words->root, len) != 0)
        return;
    const char *rest = strcmp(limit->path + len, "/") == 0 ? "" : limit->path + len;
    memmove(limit->path, rest, strlen(rest) + 1);
}

static void read_mounts(struct memory_limit *limit, const char *process)
{
    cleanup_file FILE *file = open_below(process, "mountinfo");
    cleanup_free char *line = NULL;
    size_t size = 0;
    struct mount_words words = {0};

    while (file != NULL && limit->files != NULL && limit->mount == NULL && getline(&line, &size, file) > 0)
        if (split_mount(line, &words) && strcmp(words.type, limit->files->type) == 0 &&
            (limit->files == &version_2 || has_word(words.options, "memory")))
            take_mount(limit, &words);
}

/* --- reading --- */

/* The number at the start of a file; MEMORY_LIMIT_NONE for "max" and where there is no such file. */
static uint64_t read_number(const char *directory, const char *name)
{
    cleanup_file FILE *file = open_below(directory, name);
    char text[32];
    char *end = NULL;

    if (file == NULL || fgets(text, sizeof(text), file) == NULL)
        return MEMORY_LIMIT_NONE;
    unsigned long long number = strtoull(text, &end, 10);
    return end != text ? number : MEMORY_LIMIT_NONE;
}

/* Bytes that the kernel can free by dropping pages of files. */
static uint64_t read_droppable(const struct cgroup_files *files, const char *directory)
{
    cleanup_file FILE *file = open_below(directory, "memory.stat");
    char line[128];
    uint64_t bytes = 0;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, files->inactive, strlen(files->inactive)) == 0)
            bytes += strtoull(line + strlen(files->inactive), NULL, 10);
        if (strncmp(line, files->active, strlen(files->active)) == 0)
            bytes += strtoull(line + strlen(files->active), NULL, 10);
    }
    return bytes;
}

static uint64_t left_in(const struct cgroup_files *files, const char *directory)
{
    uint64_t most = read_number(directory, files->limit);
    /* Version 1 writes "no limit" as the largest number of pages. */
    uint64_t used = most < (uint64_t)INT64_MAX / 2 ? read_number(directory, files->usage) : MEMORY_LIMIT_NONE;

    if (used == MEMORY_LIMIT_NONE)
        return MEMORY_LIMIT_NONE;
    uint64_t droppable = read_droppable(files, directory);
    used -= droppable < used ? droppable : used;
    return used < most ? most - used : 0;
}

/* Of the own cgroup and those above it. */
static uint64_t read_left(const struct memory_limit *limit)
{
    char directory[PATH_MAX];
    uint64_t left = MEMORY_LIMIT_NONE;

    if (limit->files == NULL || limit->mount == NULL || limit->path == NULL ||
        snprintf(directory, sizeof(directory), "%s%s", limit->mount, limit->path) >= (int)sizeof(directory))
        return MEMORY_LIMIT_NONE;
    for (size_t mount_len = strlen(limit->mount); strlen(directory) >= mount_len;) {
        uint64_t here = left_in(limit->files, directory);
        left = here < left ? here : left;
        char *last = strrchr(directory, '/');
        if (last == NULL)
            break;
        *last = '\0';
    }
    return left;
}

struct memory_limit *memory_limit_create(const char *process, struct error **err)
{
    struct memory_limit *limit = calloc(1, sizeof(*limit));

    if (limit == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    read_own_path(limit, process);
    read_mounts(limit, process);
    return limit;
}

bool memory_limit_sees_parent(const struct memory_limit *limit)
{
    return limit->path != NULL && *limit->path != '\0';
}

void memory_limit_count_others(struct memory_limit *limit, memory_limit_others *others, void *arg)
{
    limit->others = others;
    limit->others_arg = arg;
    limit->read_ns = 0;
}

static void refresh(struct memory_limit *limit)
{
    limit->read_ns = clock_monotonic_ns();
    limit->left = read_left(limit);
    if (limit->left == MEMORY_LIMIT_NONE || limit->others == NULL)
        return;
    uint64_t others = limit->others(limit->others_arg);
    limit->left -= others < limit->left ? others : limit->left;
}

uint64_t memory_limit_left(struct memory_limit *limit)
{
    const uint64_t age_ns = UINT64_C(1000000) * MEMORY_LIMIT_AGE_MS;

    if (limit->read_ns == 0 || clock_monotonic_ns() - limit->read_ns >= age_ns)
        refresh(limit);
    return limit->left;
}

static bool has_space(const struct memory_limit *limit, uint64_t bytes)
{
    return limit->left >= MEMORY_LIMIT_RESERVE && limit->left - MEMORY_LIMIT_RESERVE >= bytes;
}

bool memory_limit_take(struct memory_limit *limit, uint64_t bytes)
{
    (void)memory_limit_left(limit);
    if (!has_space(limit, bytes)) /* volumes may have gone since */
        refresh(limit);
    if (!has_space(limit, bytes))
        return false;
    if (limit->left != MEMORY_LIMIT_NONE)
        limit->left -= bytes;
    return true;
}

void memory_limit_destroy(struct memory_limit *limit)
{
    if (limit == NULL)
        return;
    free(limit->mount);
    free(limit->path);
    free(limit);
}
