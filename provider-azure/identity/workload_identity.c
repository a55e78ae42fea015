/*
 * workload_identity.c - workload identity: the pod's service account token is the client assertion (RFC
 * 7523).
 */
#include "provider-azure/identity/entra.h"

static int build_request(const struct identity *identity, const struct token_request_context *context,
                         struct token_request *request, struct error **err)
{
    (void)context;
    if (entra_build_request(identity, identity->authority, request, err) < 0)
        return -1;
    return entra_add_assertion(request, secret_bytes(identity->credential), secret_len(identity->credential),
                               err);
}

const struct identity_ops workload_identity_ops = {
    .mode = IDENTITY_WORKLOAD, .build_request = build_request, .parse_response = entra_parse_response};
