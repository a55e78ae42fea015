/*
 * token_request.c - building the HTTP request for a token.
 */
#include "provider-azure/identity/token_request.h"

#include <stdio.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/secret.h"
#include "provider-azure/base/url.h"

void token_request_finish(struct token_request *request)
{
    secret_free(request->host);
    secret_free(request->url);
    for (size_t i = 0; i < HTTP_RETRY_MAX_HEADERS; i++)
        secret_free(request->headers[i]);
    buffer_finish(&request->body);
    secret_free(request->connect_to);
    secret_free(request->ca_pem);
    *request = (struct token_request){0};
}

int token_request_set_url(struct token_request *request, const char *url, struct error **err)
{
    cleanup_free char *host = url_host(url, NULL, err);
    if (host == NULL)
        return -1;
    request->url = secret_strdup(url);
    request->host = secret_strdup(host);
    if (request->url == NULL || request->host == NULL)
        return error_no_memory(err, NULL);
    return 0;
}

int token_request_add_header(struct token_request *request, const char *name, const char *value,
                             struct error **err)
{
    /* A pod name or a Secret cannot contain these, but nothing from outside may split a header. */
    if (strpbrk(value, "\r\n") != NULL)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "the value for header %s contains a line break",
                         name);
    for (size_t i = 0; i < HTTP_RETRY_MAX_HEADERS; i++) {
        if (request->headers[i] != NULL)
            continue;
        size_t size = strlen(name) + strlen(value) + sizeof(": ");
        request->headers[i] = secret_malloc(size);
        if (request->headers[i] == NULL)
            break;
        (void)snprintf(request->headers[i], size, "%s: %s", name, value);
        return 0;
    }
    return error_no_memory(err, NULL);
}
