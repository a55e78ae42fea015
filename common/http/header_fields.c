/*
 * header_fields.c - lines of a response's header, one behind the other.
 */
#include "common/http/header_fields.h"

#include <string.h>
#include <strings.h>

enum { FIRST_BYTES = 1000 }; /* what most headers have: one block for them */

static bool is_white_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

void header_fields_init(struct header_fields *fields)
{
    *fields = (struct header_fields){0};
    buffer_init(&fields->lines, HEADER_FIELDS_MAX_BYTES + HEADER_FIELDS_MAX);
}

void header_fields_finish(struct header_fields *fields)
{
    buffer_finish(&fields->lines);
}

void header_fields_reset(struct header_fields *fields)
{
    buffer_reset(&fields->lines);
    fields->n = 0;
    fields->bytes = 0;
    fields->complete = false;
}

/* Both ends without white space. */
static void trim(const char **text, size_t *len)
{
    while (*len > 0 && is_white_space((*text)[*len - 1]))
        --*len;
    for (; *len > 0 && is_white_space(**text); ++*text)
        --*len;
}

/* With the NUL that is behind the content of a buffer. */
static int append_line(struct buffer *lines, const char *text, size_t len)
{
    size_t needed = lines->cap == 0 && len < FIRST_BYTES ? FIRST_BYTES : len + 1;
    if (buffer_reserve(lines, needed, NULL) < 0 || buffer_append(lines, text, len, NULL) < 0)
        return -1;
    lines->len++;
    return 0;
}

int header_fields_add(struct header_fields *fields, const char *line, size_t len)
{
    struct buffer *lines = &fields->lines;
    bool continues = len > 0 && (line[0] == ' ' || line[0] == '\t');

    fields->n++;
    fields->bytes += len;
    if (fields->n > HEADER_FIELDS_MAX || fields->bytes > HEADER_FIELDS_MAX_BYTES)
        return -1;
    trim(&line, &len);
    if (len == 0 && !continues)
        fields->complete = true;
    if (len == 0 || fields->complete)
        return 0;
    if (continues && lines->len == 0)
        return 0;
    if (continues)
        lines->data[lines->len - 1] = ' '; /* instead of the NUL */
    return append_line(lines, line, len);
}

/* The value of a line, if it is a field of this name. */
static const char *value_of(const char *line, const char *name, size_t name_len)
{
    if (strncasecmp(line, name, name_len) != 0 || line[name_len] != ':')
        return NULL;
    line += name_len + 1;
    return line + strspn(line, " \t");
}

const char *header_fields_get(const struct header_fields *fields, const char *name)
{
    const char *found = NULL;
    size_t name_len = strlen(name);

    for (size_t at = 0; at < fields->lines.len;) {
        const char *line = (const char *)fields->lines.data + at;
        const char *value = value_of(line, name, name_len);
        if (value != NULL)
            found = value;
        at += strlen(line) + 1;
    }
    return found;
}
