/*
 * yaml_write.c - writing YAML with libyaml's emitter.
 */
#include "common/base/yaml_write.h"

#include <stdbool.h>
#include <string.h>
#include <yaml.h>

struct yaml_output {
    struct buffer *buffer;
    struct error **err;
};

static int write_yaml(void *arg, unsigned char *bytes, size_t len)
{
    const struct yaml_output *output = arg;
    return buffer_append(output->buffer, bytes, len, output->err) == 0;
}

static bool emit_text(yaml_emitter_t *emitter, const char *text, size_t len)
{
    yaml_event_t event;
    return yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)len, 1, 1,
                                        YAML_DOUBLE_QUOTED_SCALAR_STYLE) &&
           yaml_emitter_emit(emitter, &event);
}

static bool emit_mapping(yaml_emitter_t *emitter, const struct yaml_pair *pairs, size_t n)
{
    yaml_event_t event;
    if (!yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) ||
        !yaml_emitter_emit(emitter, &event) ||
        !yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) ||
        !yaml_emitter_emit(emitter, &event) ||
        !yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE) ||
        !yaml_emitter_emit(emitter, &event))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!emit_text(emitter, pairs[i].key, strlen(pairs[i].key)) ||
            !emit_text(emitter, pairs[i].text, pairs[i].len))
            return false;
    return yaml_mapping_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event) &&
           yaml_document_end_event_initialize(&event, 1) && yaml_emitter_emit(emitter, &event) &&
           yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

int yaml_write_mapping(const struct yaml_pair *pairs, size_t n, struct buffer *out, struct error **err)
{
    struct yaml_output output = {.buffer = out, .err = err};
    yaml_emitter_t emitter;
    if (!yaml_emitter_initialize(&emitter))
        return error_no_memory(err, NULL);
    yaml_emitter_set_output(&emitter, write_yaml, &output);
    yaml_emitter_set_width(&emitter, -1);
    bool done = emit_mapping(&emitter, pairs, n);
    yaml_emitter_delete(&emitter);
    if (!done && (err == NULL || *err == NULL))
        return error_no_memory(err, NULL);
    return done ? 0 : -1;
}
