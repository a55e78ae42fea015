/*
 * fuzz_azure_compose.c - composed files and values by path: the first line is a template or a path, the rest
 * a secret's value. JSON and YAML are read back as what went in, and no env line breaks out of its quotes.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/utf8.h"
#include "common/base/yaml.h"
#include "provider-azure/content/compose.h"
#include "provider-azure/objects/value_path.h"
#include "test/fuzz/fuzz.h"

static void find_value(const char *path, const char *text, size_t len)
{
    cleanup_buffer struct buffer value = {.ceiling = VALUE_TEXT_MAX};
    if (value_path_check(path, NULL) == 0)
        (void)value_path_find(path, text, len, &value, NULL);
}

/* The composed file with the value under one key; its length is 0 when the format refuses it. */
static void make(enum composed_format format, char *template, const struct compose_source *source,
                 struct buffer *out)
{
    char key[] = "KEY", name[] = "value";
    struct composed_entry entry = {.key = key, .reference = {.name = name}};
    const struct composed_item item = {
        .path = name, .format = format, .template = template, .entries = &entry, .n_entries = 1};
    buffer_init(out, (size_t)COMPOSED_MAX);
    if (compose(&item, source, 1, out, NULL) < 0)
        buffer_reset(out);
}

static void read_back(const struct compose_source *source)
{
    cleanup_buffer struct buffer json = {0}, yaml = {0}, env = {0};
    const struct yaml_node *root = NULL;
    make(COMPOSED_JSON, NULL, source, &json);
    make(COMPOSED_YAML, NULL, source, &yaml);
    make(COMPOSED_ENV, NULL, source, &env);
    if (json.len == 0)
        return; /* no text */
    cleanup_json cJSON *object = json_parse(buffer_str(&json), json.len, 8 * (size_t)COMPOSED_MAX, NULL);
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "KEY"));
    EXPECT(text != NULL && strlen(text) == source->len && memcmp(text, source->bytes, source->len) == 0);
    cleanup_yaml struct yaml_document *document =
        yaml_parse(buffer_str(&yaml), yaml.len, 8 * (size_t)COMPOSED_MAX, &root, NULL);
    const struct yaml_node *node = yaml_get(root, "KEY");
    EXPECT(document != NULL && node != NULL && strcmp(node->text, text) == 0);
    size_t quotes = 0;
    for (size_t i = 0; i < env.len; i++) {
        if (env.data[i] == '\\')
            i++;
        else if (env.data[i] == '"')
            quotes++;
    }
    EXPECT(quotes == 0 || quotes == 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = calloc(size + 1, 1);
    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    char *rest = memchr(text, '\n', size);
    rest = rest != NULL ? rest : text + size;
    size_t len = rest < text + size ? size - (size_t)(rest + 1 - text) : 0;
    const char *value = rest < text + size ? rest + 1 : rest;
    *rest = '\0';

    const struct compose_source source = {
        .path = "value", .bytes = (const uint8_t *)value, .len = len, .version = "1"};
    cleanup_buffer struct buffer out = {0}, properties = {0}, docker = {0};
    find_value(text, value, len);
    make(COMPOSED_TEMPLATE, text, &source, &out);
    make(COMPOSED_PROPERTIES, NULL, &source, &properties);
    make(COMPOSED_DOCKER_ENV, NULL, &source, &docker);
    read_back(&source);
    free(text);
    return 0;
}
