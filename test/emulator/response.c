/*
 * response.c - see response.h.
 */
#include "test/emulator/response.h"

#include <stdarg.h>
#include <stdio.h>

#include "test/emulator/memory.h"

void response_header_static(struct response *response, const char *name, const char *value)
{
    if (response->n_headers == RESPONSE_MAX_HEADERS)
        abort();
    response->headers[response->n_headers].name = name;
    response->headers[response->n_headers].value = value;
    response->n_headers++;
}

void response_header(struct response *response, const char *name, const char *value)
{
    size_t size = strlen(value) + 1;
    if (size > sizeof(response->store) - response->store_used)
        abort();
    char *copy = response->store + response->store_used;
    memcpy(copy, value, size);
    response->store_used += size;
    response_header_static(response, name, copy);
}

void response_headerf(struct response *response, const char *name, const char *format, ...)
{
    char value[RESPONSE_HEADER_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    response_header(response, name, value);
}

void response_finish(struct response *response)
{
    free(response->body);
    response->body = NULL;
    response->body_len = 0;
}

void response_copy(struct response *response, unsigned status, const char *body, size_t len)
{
    response_finish(response);
    char *copy = xrealloc(NULL, len + 1);
    memcpy(copy, body, len);
    copy[len] = '\0';
    response->status = status;
    response->body = copy;
    response->body_len = len;
}

void response_take(struct response *response, unsigned status, char *body)
{
    response_finish(response);
    response->status = status;
    response->body = body;
    response->body_len = strlen(body);
}

void response_json_take(struct response *response, unsigned status, cJSON *json)
{
    char *body = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    if (body == NULL)
        abort();
    response_take(response, status, body);
}
