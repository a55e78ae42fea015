/*
 * object_select.c - objects by name pattern and tags.
 */
#include "provider-azure/objects/object_select.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/glob.h"
#include "provider-azure/base/parameter_text.h"

struct object_select {
    unsigned refs;
    char *pattern;
    struct string_map tags;
};

/* One "name=value". */
static int add_tag(struct string_map *tags, const char *text, size_t len, struct error **err)
{
    cleanup_free char *tag = strndup(text, len);
    if (tag == NULL)
        return error_no_memory(err, NULL);
    char *equals = strchr(tag, '=');
    if (equals != NULL)
        *equals = '\0';
    cleanup_free char *name = parameter_text_trim(tag);
    cleanup_free char *value = parameter_text_trim(equals != NULL ? equals + 1 : "");
    if (name == NULL || value == NULL)
        return error_no_memory(err, NULL);
    if (equals == NULL || *name == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "invalid objectTags: %.128s, should be name=value, name=value", text);
    if (string_map_get(tags, name) != NULL)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid objectTags: %.128s is there twice",
                         name);
    if (tags->n == OBJECT_TAGS_MAX)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid objectTags: more than %d",
                         OBJECT_TAGS_MAX);
    return string_map_set(tags, name, value, err);
}

static int parse_tags(struct string_map *tags, const char *text, struct error **err)
{
    while (*text != '\0') {
        size_t len = strcspn(text, ",");
        if (add_tag(tags, text, len, err) < 0)
            return -1;
        text += len;
        if (*text == ',')
            text++;
    }
    return 0;
}

struct object_select *object_select_create(const char *pattern, const char *tags, struct error **err)
{
    if (strlen(pattern) > OBJECT_PATTERN_MAX) {
        error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "objectNamePattern is longer than %d bytes",
                  OBJECT_PATTERN_MAX);
        return NULL;
    }
    struct object_select *select = calloc(1, sizeof(*select));
    if (select != NULL) {
        select->refs = 1;
        select->pattern = strdup(*pattern != '\0' ? pattern : "*");
    }
    if (select == NULL || select->pattern == NULL)
        (void)error_no_memory(err, NULL);
    else if (parse_tags(&select->tags, tags, err) == 0)
        return select;
    object_select_unref(select);
    return NULL;
}

const char *object_select_text(const struct object_select *select)
{
    return select->pattern;
}

const struct string_map *object_select_tags(const struct object_select *select)
{
    return &select->tags;
}

bool object_select_matches(const struct object_select *select, const char *name,
                           const struct string_map *tags)
{
    for (size_t i = 0; i < select->tags.n; i++) {
        const char *value = string_map_get(tags, select->tags.entries[i].key);
        if (value == NULL || strcmp(value, select->tags.entries[i].value) != 0)
            return false;
    }
    return glob_match(select->pattern, name);
}

char *object_select_path(const char *alias, const char *name)
{
    char *path = NULL;
    if (strchr(alias, '*') == NULL)
        return asprintf(&path, "%s%s%s", alias, *alias != '\0' ? "/" : "", name) < 0 ? NULL : path;

    size_t stars = 0;
    for (const char *c = alias; *c != '\0'; c++)
        stars += *c == '*' ? 1 : 0;
    size_t name_len = strlen(name);
    path = malloc(strlen(alias) + stars * name_len + 1);
    if (path == NULL)
        return NULL;
    char *to = path;
    for (const char *c = alias; *c != '\0'; c++) {
        if (*c == '*') {
            memcpy(to, name, name_len);
            to += name_len;
        } else {
            *to++ = *c;
        }
    }
    *to = '\0';
    return path;
}

struct object_select *object_select_ref(struct object_select *select)
{
    select->refs++;
    return select;
}

void object_select_unref(struct object_select *select)
{
    if (select == NULL || --select->refs > 0)
        return;
    free(select->pattern);
    string_map_finish(&select->tags);
    free(select);
}
