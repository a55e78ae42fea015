/*
 * token_request.h - the HTTP request for a token, as a mode builds it.
 */
#ifndef PROVIDER_AZURE_IDENTITY_TOKEN_REQUEST_H
#define PROVIDER_AZURE_IDENTITY_TOKEN_REQUEST_H

#include "common/base/buffer.h"
#include "common/base/error.h"
#include "provider-azure/network/http_retry.h"

/* All zero is an empty request. Its owner ends it with token_request_finish(). All texts that it points to
 * are owned and come from the wiping allocator, but for the literals. */
struct token_request {
    const char *service; /* literal, see struct http_retry_request */
    const char *method;  /* literal */
    char *host;
    char *url;
    char *headers[HTTP_RETRY_MAX_HEADERS + 1];
    struct buffer body;
    size_t
        credential_at; /* where in the body the credential begins, up to the body's end; 0: there is none */
    enum http_proxy_policy proxy;
    const struct retry_policy *policy;
    char *connect_to; /* NULL: where the URL says */
    char *ca_pem;     /* NULL: the system's */
    size_t ca_pem_len;
};

/* Wipes and frees everything in it; it is empty then. Accepts a request that is half built. */
void token_request_finish(struct token_request *request);

/* Copies `url` and sets the host from it. INVALID_ARGUMENT for a URL without a plain host. */
int token_request_set_url(struct token_request *request, const char *url, struct error **err);

/* Adds "name: value". INVALID_ARGUMENT for a value with a line break. */
int token_request_add_header(struct token_request *request, const char *name, const char *value,
                             struct error **err);

#endif
