/*
 * answer.c - see answer.h.
 */
#include "test/emulator/answer.h"

#include <stdarg.h>
#include <stdio.h>

#include "test/emulator/memory.h"

void answer_header_static(struct answer *answer, const char *name, const char *value)
{
    if (answer->n_headers == ANSWER_MAX_HEADERS)
        abort();
    answer->headers[answer->n_headers].name = name;
    answer->headers[answer->n_headers].value = value;
    answer->n_headers++;
}

void answer_header(struct answer *answer, const char *name, const char *value)
{
    size_t size = strlen(value) + 1;
    if (size > sizeof(answer->store) - answer->store_used)
        abort();
    char *copy = answer->store + answer->store_used;
    memcpy(copy, value, size);
    answer->store_used += size;
    answer_header_static(answer, name, copy);
}

void answer_headerf(struct answer *answer, const char *name, const char *format, ...)
{
    char value[ANSWER_HEADER_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    answer_header(answer, name, value);
}

void answer_finish(struct answer *answer)
{
    free(answer->body);
    answer->body = NULL;
    answer->body_len = 0;
    if (answer->stream != NULL)
        answer->stream->release(answer->stream);
    answer->stream = NULL;
}

void answer_copy(struct answer *answer, unsigned status, const char *body, size_t len)
{
    answer_finish(answer);
    char *copy = xrealloc(NULL, len + 1);
    memcpy(copy, body, len);
    copy[len] = '\0';
    answer->status = status;
    answer->body = copy;
    answer->body_len = len;
}

void answer_take(struct answer *answer, unsigned status, char *body)
{
    answer_finish(answer);
    answer->status = status;
    answer->body = body;
    answer->body_len = strlen(body);
}

void answer_json_take(struct answer *answer, unsigned status, cJSON *json)
{
    char *body = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    if (body == NULL)
        abort();
    answer_take(answer, status, body);
}
