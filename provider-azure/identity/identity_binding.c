/*
 * identity_binding.c - as workload identity, with a token for another audience and through AKS' token proxy.
 */
#include <string.h>

#include "common/base/secret.h"
#include "provider-azure/identity/entra.h"

static int set_endpoint(struct token_request *request, const struct token_proxy_endpoint *endpoint,
                        struct error **err)
{
    request->service = "token-proxy";
    request->proxy = HTTP_PROXY_NONE; /* the API server is inside the cluster */
    request->connect_to = secret_strdup(endpoint->connect_to);
    bool ok = request->connect_to != NULL;
    if (endpoint->ca_pem != NULL) {
        request->ca_pem = secret_malloc(endpoint->ca_pem_len + 1);
        ok = ok && request->ca_pem != NULL;
        if (ok)
            memcpy(request->ca_pem, endpoint->ca_pem, endpoint->ca_pem_len + 1);
        request->ca_pem_len = endpoint->ca_pem_len;
    }
    return ok ? 0 : error_no_memory(err, NULL);
}

static int build_request(const struct identity *identity, const struct token_request_context *context,
                         struct token_request *request, struct error **err)
{
    if (entra_build_request(identity, context->endpoint->base, request, err) < 0 ||
        set_endpoint(request, context->endpoint, err) < 0 ||
        token_request_add_header(request, "Host", context->endpoint->host, err) < 0)
        return -1;
    return entra_add_assertion(request, secret_bytes(identity->credential), secret_len(identity->credential),
                               err);
}

const struct identity_ops identity_binding_ops = {
    .mode = IDENTITY_BINDING, .build_request = build_request, .parse_response = entra_parse_response};
