/*
 * variables.c - environment variables from the files of a directory.
 */
#include "ctl/variables.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/secret.h"

#define DATA_LINK "..data" /* the current version of a volume that is switched at once */

/* --- names --- */

static bool is_letter(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static bool is_name(const char *text)
{
    if (!is_letter(*text))
        return false;
    for (; *text != '\0'; text++)
        if (!is_letter(*text) && (*text < '0' || *text > '9'))
            return false;
    return true;
}

static void convert(char *name)
{
    for (; *name != '\0'; name++) {
        if (*name == '-' || *name == '.')
            *name = '_';
        else if (*name >= 'a' && *name <= 'z')
            *name = (char)(*name - 'a' + 'A');
    }
}

static int name_of(const char *file, const struct variable_names *names, struct buffer *ret,
                   struct error **err)
{
    if (buffer_append_str(ret, names->prefix, err) < 0 || buffer_append_str(ret, file, err) < 0)
        return -1;
    if (names->convert)
        convert((char *)ret->data + strlen(names->prefix));
    if (!is_name(buffer_str(ret)))
        return error_set(
            err, GRPC_STATUS_INVALID_ARGUMENT,
            "'%s' is no name of an environment variable (letters, digits, '_'): rename the file, or use --convert-names",
            buffer_str(ret));
    return 0;
}

/* --- the list --- */

static const char *find(const struct variables *variables, const char *name, size_t len)
{
    for (size_t i = 0; i < variables->n; i++)
        if (strncmp(variables->list[i], name, len) == 0 && variables->list[i][len] == '=')
            return variables->list[i];
    return NULL;
}

/* Takes over `text`, which is from the wiping allocator. */
static int add(struct variables *variables, char *text, struct error **err)
{
    char **list = text == NULL ? NULL : reallocarray(variables->list, variables->n + 2, sizeof(*list));

    if (list == NULL) {
        secret_free(text);
        return error_no_memory(err, NULL);
    }
    list[variables->n++] = text;
    list[variables->n] = NULL;
    variables->list = list;
    return 0;
}

static int add_value(struct variables *variables, const char *name, const struct buffer *value,
                     struct error **err)
{
    size_t name_len = strlen(name);

    if (find(variables, name, name_len) != NULL)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "the variable '%s' is there already", name);
    if (value->len > 0 && memchr(value->data, '\0', value->len) != NULL)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "a NUL byte: no environment variable can hold it");
    if (name_len + value->len + 2 > VARIABLE_MAX)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED,
                         "longer than an environment variable can be (%d bytes)", VARIABLE_MAX);
    char *text = secret_calloc(1, name_len + value->len + 2);
    if (text != NULL) {
        *stpcpy(text, name) = '=';
        if (value->len > 0)
            memcpy(text + name_len + 1, value->data, value->len);
    }
    return add(variables, text, err);
}

/* --- the files --- */

static int read_variable(struct variables *variables, int dir_fd, const char *file,
                         const struct variable_names *names, struct error **err)
{
    cleanup_buffer struct buffer name = {0};
    cleanup_buffer struct buffer value = {0};

    buffer_init(&name, VARIABLE_MAX);
    if (name_of(file, names, &name, err) < 0)
        return -1;
    if (file_read_at(dir_fd, file, VARIABLE_MAX, &value, err) < 0 ||
        add_value(variables, buffer_str(&name), &value, err) < 0)
        return error_wrap(err, "file '%s'", file);
    return 0;
}

/* The directory of the current version, or else the directory itself. */
static DIR *open_files(const char *directory)
{
    cleanup_close int top = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (top < 0)
        return NULL;
    cleanup_close int version = openat(top, DATA_LINK, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *files = fdopendir(version >= 0 ? version : top);
    if (files != NULL)
        (void)(version >= 0 ? steal_fd(&version) : steal_fd(&top));
    return files;
}

int variables_read(struct variables *variables, const char *directory, const struct variable_names *names,
                   struct error **err)
{
    cleanup_dir DIR *files = open_files(directory);
    const struct dirent *entry;

    if (files == NULL)
        return error_set_errno(err, GRPC_STATUS_NOT_FOUND, errno, "read the directory '%s'", directory);
    while ((entry = readdir(files)) != NULL) {
        struct stat info;

        if (entry->d_name[0] == '.' ||
            (fstatat(dirfd(files), entry->d_name, &info, 0) == 0 && S_ISDIR(info.st_mode)))
            continue;
        if (read_variable(variables, dirfd(files), entry->d_name, names, err) < 0)
            return error_wrap(err, "directory '%s'", directory);
    }
    return 0;
}

int variables_add_environment(struct variables *variables, char *const *environment, struct error **err)
{
    for (; *environment != NULL; environment++) {
        if (find(variables, *environment, strcspn(*environment, "=")) == NULL &&
            add(variables, secret_strdup(*environment), err) < 0)
            return -1;
    }
    return 0;
}

void variables_finish(struct variables *variables)
{
    for (size_t i = 0; i < variables->n; i++)
        secret_free(variables->list[i]);
    free(variables->list);
    *variables = (struct variables){0};
}
