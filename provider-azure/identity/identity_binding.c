/*
 * binding.c - identity binding: as workload identity, with a token for another audience, and by way of AKS'
 * token proxy.
 */
#include <string.h>

#include "common/base/secret.h"
#include "provider-azure/identity/entra.h"

static int set_route(struct identity_question *question, const struct token_proxy_route *route,
                     struct error **err)
{
    question->service = "token-proxy";
    question->proxy = HTTP_PROXY_NONE; /* the API server is inside the cluster */
    question->connect_to = secret_strdup(route->connect_to);
    bool ok = question->connect_to != NULL;
    if (route->ca_pem != NULL) {
        question->ca_pem = secret_malloc(route->ca_pem_len + 1);
        ok = ok && question->ca_pem != NULL;
        if (ok)
            memcpy(question->ca_pem, route->ca_pem, route->ca_pem_len + 1);
        question->ca_pem_len = route->ca_pem_len;
    }
    return ok ? 0 : error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
}

static int prepare(const struct identity *identity, const struct identity_moment *moment,
                   struct identity_question *question, struct error **err)
{
    if (entra_prepare(identity, moment->route->base, question, err) < 0 ||
        set_route(question, moment->route, err) < 0 ||
        question_add_header(question, "Host", moment->route->host, err) < 0)
        return -1;
    return entra_add_assertion(question, secret_bytes(identity->credential), secret_len(identity->credential),
                               err);
}

const struct identity_ops identity_binding = {
    .mode = AUTH_IDENTITY_BINDING, .prepare = prepare, .understand = entra_understand};
