/*
 * input.c - the commands' input: key=value words, secret files, SecretProviderClass files.
 */
#include "ctl/input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/secret.h"
#include "common/base/yaml.h"

enum {
    MAX_SECRET_BYTES = 1024 * 1024,    /* a Kubernetes Secret holds no more */
    MAX_CLASS_BYTES = 3 * 1024 * 1024, /* an API object is smaller */
};

/* Splits "key=rest" at the first '='. The caller frees *ret_key. */
static int split_word(const char *word, const char *flag, char **ret_key, const char **ret_rest,
                      struct error **err)
{
    const char *equals = strchr(word, '=');

    if (equals == NULL || equals == word)
        return error_unusable_input(err, "--%s needs key=value, not '%s'", flag, word);
    *ret_key = strndup(word, (size_t)(equals - word));
    if (*ret_key == NULL)
        return error_no_memory(err, NULL);
    *ret_rest = equals + 1;
    return 0;
}

int input_attributes(const struct word_list *words, const char *flag, struct string_map *map,
                     struct error **err)
{
    for (size_t i = 0; i < words->n; i++) {
        cleanup_free char *key = NULL;
        const char *value = NULL;

        if (split_word(words->words[i], flag, &key, &value, err) < 0 ||
            string_map_set(map, key, value, err) < 0)
            return -1;
    }
    return 0;
}

static int set_from_file(struct string_map *map, const char *key, int dir_fd, const char *path,
                         struct error **err)
{
    cleanup_buffer struct buffer content = {0};

    if (file_read_at(dir_fd, path, MAX_SECRET_BYTES, &content, err) < 0)
        return -1;
    if (content.len > 0 && memchr(content.data, '\0', content.len) != NULL)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "secret file '%s' contains a NUL byte", path);
    return string_map_set(map, key, buffer_str(&content), err);
}

static int read_secrets_dir(const char *path, struct string_map *map, struct error **err)
{
    cleanup_dir DIR *dir = opendir(path);
    struct dirent *entry;

    if (dir == NULL)
        return error_set_errno(err, GRPC_STATUS_NOT_FOUND, errno, "cannot read the secrets directory '%s'",
                               path);
    while ((entry = readdir(dir)) != NULL) {
        struct stat st;

        if (entry->d_name[0] == '.' || fstatat(dirfd(dir), entry->d_name, &st, 0) == -1 ||
            !S_ISREG(st.st_mode))
            continue;
        if (set_from_file(map, entry->d_name, dirfd(dir), entry->d_name, err) < 0)
            return error_wrap(err, "secrets directory '%s'", path);
    }
    return 0;
}

int input_secrets(const struct ctl_options *options, struct string_map *map, bool *ret_given,
                  struct error **err)
{
    if (*options->secrets_dir != '\0' && read_secrets_dir(options->secrets_dir, map, err) < 0)
        return -1;
    for (size_t i = 0; i < options->secret_files.n; i++) {
        cleanup_free char *key = NULL;
        const char *path = NULL;

        if (split_word(options->secret_files.words[i], "secret-file", &key, &path, err) < 0 ||
            set_from_file(map, key, AT_FDCWD, path, err) < 0)
            return -1;
    }
    *ret_given = *options->secrets_dir != '\0' || options->secret_files.n > 0;
    return 0;
}

/* Adds {"audience": {"token": "...", "expirationTimestamp": "..."}}. The expiry is unknown, so it is a late
 * date. */
static int add_token(cJSON *tokens, const char *audience, const char *path, struct error **err)
{
    cleanup_buffer struct buffer content = {0};

    if (file_read(path, MAX_SECRET_BYTES, &content, err) < 0)
        return -1;
    while (content.len > 0 && content.data[content.len - 1] == '\n')
        content.data[--content.len] = '\0';

    cJSON *entry = cJSON_AddObjectToObject(tokens, audience);
    if (entry == NULL || cJSON_AddStringToObject(entry, "token", buffer_str(&content)) == NULL ||
        cJSON_AddStringToObject(entry, "expirationTimestamp", "2099-01-01T00:00:00Z") == NULL)
        return error_no_memory(err, NULL);
    return 0;
}

int input_tokens(const struct word_list *words, char **ret_tokens, struct error **err)
{
    if (words->n == 0)
        return 0;

    cleanup_json cJSON *tokens = cJSON_CreateObject();
    if (tokens == NULL)
        return error_no_memory(err, NULL);
    for (size_t i = 0; i < words->n; i++) {
        cleanup_free char *audience = NULL;
        const char *path = NULL;

        if (split_word(words->words[i], "token-file", &audience, &path, err) < 0 ||
            add_token(tokens, audience, path, err) < 0)
            return -1;
    }
    *ret_tokens = json_print(tokens, err);
    return *ret_tokens != NULL ? 0 : -1;
}

struct class_search {
    struct string_map *map; /* borrowed */
    char **provider;        /* borrowed, may be NULL */
    bool found;
};

static int read_provider(const struct yaml_node *root, char **ret_provider, struct error **err)
{
    const struct yaml_node *provider = yaml_get(yaml_get(root, "spec"), "provider");

    *ret_provider = strdup(provider != NULL && provider->kind == YAML_SCALAR ? provider->text : "");
    return *ret_provider != NULL ? 0 : error_no_memory(err, NULL);
}

static int read_class(const struct yaml_node *root, void *arg, struct error **err)
{
    struct class_search *search = arg;
    const struct yaml_node *kind = yaml_get(root, "kind");
    const struct yaml_node *parameters = yaml_get(yaml_get(root, "spec"), "parameters");

    if (search->found || kind == NULL || kind->kind != YAML_SCALAR ||
        strcmp(kind->text, "SecretProviderClass") != 0)
        return 0;
    search->found = true;
    if (parameters == NULL || parameters->kind != YAML_MAPPING)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "the class has no spec.parameters mapping");
    for (size_t i = 0; i < parameters->n; i++) {
        const struct yaml_node *value = parameters->values[i];

        if (value->kind != YAML_SCALAR)
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                             "line %u: parameter '%s' is a %s, not a string", value->line,
                             parameters->keys[i]->text, yaml_kind_name(value));
        if (string_map_set(search->map, parameters->keys[i]->text, yaml_is_null(value) ? "" : value->text,
                           err) < 0)
            return -1;
    }
    return search->provider == NULL ? 0 : read_provider(root, search->provider, err);
}

int input_class(const char *path, struct string_map *map, char **ret_provider, struct error **err)
{
    cleanup_buffer struct buffer content = {0};
    struct class_search search = {.map = map, .provider = ret_provider};

    if (file_read(path, MAX_CLASS_BYTES, &content, err) < 0)
        return -1;
    if (yaml_parse_all(buffer_str(&content), content.len, MAX_CLASS_BYTES, read_class, &search, err) < 0)
        return error_wrap(err, "class file '%s'", path);
    if (!search.found)
        return error_set(err, GRPC_STATUS_NOT_FOUND, "class file '%s' holds no SecretProviderClass", path);
    return 0;
}
