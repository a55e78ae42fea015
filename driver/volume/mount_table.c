/*
 * mount_table.c - the mounts of this process' namespace.
 */
#include "driver/volume/mount_table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- one line --- */

/* The next field, NUL-terminated in place; NULL at the end of the line. */
static char *next_field(char **at)
{
    char *field = *at;
    if (field == NULL || *field == '\0')
        return NULL;
    char *space = strchr(field, ' ');
    if (space != NULL)
        *space = '\0';
    *at = space != NULL ? space + 1 : NULL;
    return field;
}

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

/* The kernel writes space, tab, newline and backslash as \ooo. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && is_octal(from[2]) && is_octal(from[3])) {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

static bool parse_id(const char *text, int64_t *ret)
{
    char *end = NULL;
    errno = 0;
    long long value = text == NULL || text[0] < '0' || text[0] > '9' ? -1 : strtoll(text, &end, 10);
    if (value < 0 || errno != 0 || *end != '\0')
        return false;
    *ret = value;
    return true;
}

/* The optional fields, up to the "-" that ends them. */
static bool parse_tags(char **at, struct mount_info *info)
{
    for (const char *tag = next_field(at); tag != NULL; tag = next_field(at)) {
        if (strcmp(tag, "-") == 0)
            return true;
        info->shared = info->shared || strncmp(tag, "shared:", 7) == 0;
    }
    return false;
}

bool mount_info_parse(char *line, struct mount_info *ret)
{
    struct mount_info info = {0};
    char *at = line, *root = NULL, *point = NULL, *source = NULL;
    if (!parse_id(next_field(&at), &info.id) || !parse_id(next_field(&at), &info.parent) ||
        (info.device = next_field(&at)) == NULL || (root = next_field(&at)) == NULL ||
        (point = next_field(&at)) == NULL || (info.options = next_field(&at)) == NULL ||
        !parse_tags(&at, &info) || (info.type = next_field(&at)) == NULL ||
        (source = next_field(&at)) == NULL || (info.super_options = next_field(&at)) == NULL)
        return false;
    unescape(root);
    unescape(point);
    unescape(source);
    info.root = root;
    info.point = point;
    info.source = source;
    *ret = info;
    return true;
}

bool mount_option_find(const char *options, const char *name, const char **ret_value)
{
    size_t len = strlen(name);
    for (const char *at = options;; at++) {
        size_t n = strcspn(at, ",");
        if (n >= len && memcmp(at, name, len) == 0 && (n == len || at[len] == '=')) {
            if (ret_value != NULL)
                *ret_value = n > len ? at + len + 1 : NULL;
            return true;
        }
        at += n;
        if (*at == '\0')
            return false;
    }
}

/* --- all of them --- */

/* Returns the place of the next mount, NULL on failure. */
static struct mount_info *make_space(struct mount_table *table, size_t *capacity, struct error **err)
{
    if (table->n < *capacity && table->list != NULL)
        return &table->list[table->n];
    if (table->n >= MOUNT_TABLE_MAX) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "more than %d mounts", MOUNT_TABLE_MAX);
        return NULL;
    }
    size_t more = *capacity == 0 ? 64 : 2 * *capacity;
    struct mount_info *list = reallocarray(table->list, more, sizeof(*list));
    char **lines = list == NULL ? NULL : reallocarray(table->lines, more, sizeof(*lines));
    if (list != NULL)
        table->list = list;
    if (lines == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    table->lines = lines;
    *capacity = more;
    return &list[table->n];
}

static int read_lines(FILE *file, struct mount_table *table, struct error **err)
{
    size_t capacity = 0;
    for (;;) {
        cleanup_free char *line = NULL;
        size_t size = 0;
        ssize_t len = getline(&line, &size, file);
        if (len < 0)
            break;
        if (len > 0 && line[len - 1] == '\n')
            line[len - 1] = '\0';
        struct mount_info *next = make_space(table, &capacity, err);
        if (next == NULL)
            return -1;
        if (mount_info_parse(line, next))
            table->lines[table->n++] = steal_ptr(&line);
    }
    return ferror(file) == 0 ? 0
                             : error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "read /proc/self/mountinfo");
}

int mount_table_read(struct mount_table *ret, struct error **err)
{
    cleanup_mount_table struct mount_table table = {0};
    cleanup_file FILE *file = fopen("/proc/self/mountinfo", "re");
    if (file == NULL)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "read /proc/self/mountinfo");
    if (read_lines(file, &table, err) < 0)
        return -1;
    *ret = table;
    table = (struct mount_table){0};
    return 0;
}

const struct mount_info *mount_table_find(const struct mount_table *table, int64_t id)
{
    for (size_t i = 0; i < table->n; i++)
        if (table->list[i].id == id)
            return &table->list[i];
    return NULL;
}

const struct mount_info *mount_table_covered(const struct mount_table *table, const struct mount_info *mount)
{
    const struct mount_info *below = mount_table_find(table, mount->parent);
    return below != NULL && below != mount && strcmp(below->point, mount->point) == 0 ? below : NULL;
}

static bool contains(const char *point, const char *path)
{
    size_t len = strlen(point);
    if (len > 0 && point[len - 1] == '/') /* only the root does */
        len--;
    return strncmp(point, path, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

const struct mount_info *mount_table_containing(const struct mount_table *table, const char *path)
{
    const struct mount_info *best = NULL;
    for (size_t i = 0; i < table->n; i++)
        /* Of mounts that are stacked the last one is on top. */
        if (contains(table->list[i].point, path) &&
            (best == NULL || strlen(table->list[i].point) >= strlen(best->point)))
            best = &table->list[i];
    return best;
}

void mount_table_finish(struct mount_table *table)
{
    for (size_t i = 0; table->lines != NULL && i < table->n; i++)
        free(table->lines[i]);
    free(table->lines);
    free(table->list);
    *table = (struct mount_table){0};
}
