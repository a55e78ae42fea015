/*
 * lint_protocol.c - requests and responses of `PROVIDER lint`.
 */
#include "common/lint/lint_protocol.h"

#include <string.h>

#include "common/base/glob.h"
#include "common/base/json.h"

static int refuse(struct error **err, const char *what)
{
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s", what);
}

static bool add_number(cJSON *object, const char *key, unsigned number)
{
    return number == 0 || cJSON_AddNumberToObject(object, key, number) != NULL;
}

/* The root of a message that is an object of our version. */
static cJSON *parse_root(const char *text, size_t len, struct error **err)
{
    cleanup_json cJSON *root = json_parse(text, len, LINT_BYTES_MAX, err);
    int64_t version = 0;

    if (root == NULL)
        return NULL;
    if (!cJSON_IsObject(root)) {
        (void)refuse(err, "not a JSON object");
        return NULL;
    }
    if (json_opt_int(root, "version", 0, &version, err) < 0)
        return NULL;
    if (version != LINT_VERSION) {
        (void)refuse(err, "version is not 1");
        return NULL;
    }
    return steal_ptr(&root);
}

/* --- requests --- */

char *lint_request_print(const struct string_map *parameters, struct error **err)
{
    cleanup_json cJSON *root = cJSON_CreateObject();
    cJSON *object = cJSON_AddNumberToObject(root, "version", LINT_VERSION) != NULL
                        ? cJSON_AddObjectToObject(root, "parameters")
                        : NULL;
    bool complete = object != NULL;

    for (size_t i = 0; i < parameters->n && complete; i++)
        complete =
            cJSON_AddStringToObject(object, parameters->entries[i].key, parameters->entries[i].value) != NULL;
    if (!complete) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    return json_print(root, err);
}

int lint_request_parse(const char *text, size_t len, struct string_map *ret_parameters, struct error **err)
{
    cleanup_json cJSON *root = parse_root(text, len, err);
    const cJSON *parameters = NULL;
    const cJSON *value = NULL;

    if (root == NULL || json_get_object(root, "parameters", &parameters, err) < 0)
        return -1;
    cJSON_ArrayForEach(value, parameters)
    {
        if (!cJSON_IsString(value))
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "parameter %s is not a string",
                             value->string);
        if (string_map_set(ret_parameters, value->string, value->valuestring, err) < 0)
            return -1;
    }
    return 0;
}

/* --- responses --- */

static bool add_finding(cJSON *array, const struct finding *finding)
{
    cJSON *object = cJSON_CreateObject();

    if (object == NULL || !cJSON_AddItemToArray(array, object))
        return false;
    return cJSON_AddStringToObject(object, "rule", finding->rule) != NULL &&
           cJSON_AddStringToObject(object, "level", finding_level_name(finding->level)) != NULL &&
           cJSON_AddStringToObject(object, "parameter", finding->parameter) != NULL &&
           add_number(object, "line", finding->line) && add_number(object, "column", finding->column) &&
           cJSON_AddStringToObject(object, "message", finding->message) != NULL;
}

static bool add_files(cJSON *root, const char *key, const struct lint_files *files)
{
    cJSON *array = cJSON_AddArrayToObject(root, key);

    for (size_t i = 0; i < files->n; i++) {
        cJSON *path = cJSON_CreateString(files->paths[i]);
        if (path == NULL || !cJSON_AddItemToArray(array, path))
            return false;
    }
    return array != NULL;
}

char *lint_response_print(const struct lint_response *response, struct error **err)
{
    cleanup_json cJSON *root = cJSON_CreateObject();
    cJSON *findings = cJSON_AddNumberToObject(root, "version", LINT_VERSION) != NULL
                          ? cJSON_AddArrayToObject(root, "findings")
                          : NULL;
    bool complete = findings != NULL;

    for (size_t i = 0; i < response->findings.n && complete; i++)
        complete = add_finding(findings, &response->findings.list[i]);
    if (complete && response->files_known)
        complete = add_files(root, "files", &response->files) &&
                   add_files(root, "filePatterns", &response->patterns);
    if (complete && response->without_secret != NULL)
        complete = cJSON_AddStringToObject(root, "withoutSecret", response->without_secret) != NULL;
    if (!complete) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    return json_print(root, err);
}

static int parse_level(const char *text, enum finding_level *ret, struct error **err)
{
    for (int level = FINDING_NOTE; level <= FINDING_ERROR; level++) {
        if (strcmp(text, finding_level_name((enum finding_level)level)) == 0) {
            *ret = (enum finding_level)level;
            return 0;
        }
    }
    return refuse(err, "level is not note, warning or error");
}

static int parse_number(const cJSON *object, const char *key, unsigned *ret, struct error **err)
{
    int64_t number = 0;

    if (json_opt_int(object, key, 0, &number, err) < 0)
        return -1;
    if (number < 0 || number > INT32_MAX)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s is no number of a line or column", key);
    *ret = (unsigned)number;
    return 0;
}

/* Ids go to outputs of lines and words. */
static bool is_rule(const char *id)
{
    size_t len = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./");

    return len > 0 && len <= LINT_RULE_MAX && id[len] == '\0';
}

static int parse_finding(const cJSON *object, struct findings *findings, struct error **err)
{
    const char *rule = NULL, *level = NULL, *parameter = NULL, *message = NULL;
    struct lint_rule known = {0};
    struct text_frame frame = {.exact = true, .begin = {1, 1}};
    struct text_place place = {0};

    if (!cJSON_IsObject(object))
        return refuse(err, "a finding is not an object");
    if (json_get_string(object, "rule", &rule, err) < 0 ||
        json_get_string(object, "level", &level, err) < 0 ||
        json_opt_string(object, "parameter", &parameter, err) < 0 ||
        json_get_string(object, "message", &message, err) < 0 ||
        parse_number(object, "line", &place.line, err) < 0 ||
        parse_number(object, "column", &place.column, err) < 0 || parse_level(level, &known.level, err) < 0)
        return -1;
    if (!is_rule(rule))
        return refuse(err, "rule is no id of a rule");
    known.id = rule;
    if (place.line == 0)
        frame = (struct text_frame){0};
    findings_enter(findings, parameter, frame);
    findings_add(findings, &known, place, "%s", message);
    return 0;
}

int lint_files_add(struct lint_files *files, const char *path, struct error **err)
{
    if ((files->n & (files->n - 1)) == 0) { /* the array grows whenever n is a power of two */
        char **grown = reallocarray(files->paths, files->n > 0 ? files->n * 2 : 1, sizeof(*grown));
        if (grown == NULL)
            return error_no_memory(err, NULL);
        files->paths = grown;
    }
    files->paths[files->n] = strdup(path);
    if (files->paths[files->n] == NULL)
        return error_no_memory(err, NULL);
    files->n++;
    return 0;
}

static int parse_files(const cJSON *root, const char *key, struct lint_files *files, bool *ret_known,
                       struct error **err)
{
    const cJSON *array = NULL;
    const cJSON *path = NULL;

    if (json_opt_array(root, key, &array, err) < 0)
        return -1;
    *ret_known = *ret_known || array != NULL;
    cJSON_ArrayForEach(path, array)
    {
        if (!cJSON_IsString(path) || files->n >= LINT_FILES_MAX)
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s is no list of at most %d texts", key,
                             LINT_FILES_MAX);
        if (lint_files_add(files, path->valuestring, err) < 0)
            return -1;
    }
    return 0;
}

static int parse_without_secret(const cJSON *root, struct lint_response *ret, struct error **err)
{
    const char *text = NULL;

    if (json_opt_string(root, "withoutSecret", &text, err) < 0)
        return -1;
    if (text == NULL)
        return 0;
    ret->without_secret = strdup(text);
    return ret->without_secret == NULL ? error_no_memory(err, NULL) : 0;
}

int lint_response_parse(const char *text, size_t len, struct lint_response *ret, struct error **err)
{
    cleanup_json cJSON *root = parse_root(text, len, err);
    const cJSON *array = NULL;
    const cJSON *finding = NULL;

    *ret = (struct lint_response){0};
    if (root == NULL || json_opt_array(root, "findings", &array, err) < 0)
        return -1;
    cJSON_ArrayForEach(finding, array)
    {
        if (parse_finding(finding, &ret->findings, err) < 0)
            return -1;
    }
    if (parse_files(root, "files", &ret->files, &ret->files_known, err) < 0 ||
        parse_without_secret(root, ret, err) < 0)
        return -1;
    return parse_files(root, "filePatterns", &ret->patterns, &ret->files_known, err);
}

bool lint_response_makes(const struct lint_response *response, const char *path)
{
    for (size_t i = 0; i < response->files.n; i++) {
        if (strcmp(response->files.paths[i], path) == 0)
            return true;
    }
    for (size_t i = 0; i < response->patterns.n; i++) {
        if (glob_match(response->patterns.paths[i], path))
            return true;
    }
    return !response->files_known;
}

static void files_finish(struct lint_files *files)
{
    for (size_t i = 0; i < files->n; i++)
        free(files->paths[i]);
    free(files->paths);
}

void lint_response_finish(struct lint_response *response)
{
    findings_finish(&response->findings);
    files_finish(&response->files);
    files_finish(&response->patterns);
    free(response->without_secret);
    *response = (struct lint_response){0};
}
