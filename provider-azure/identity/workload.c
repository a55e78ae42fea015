/*
 * workload.c - workload identity: the pod's service account token is the client assertion (RFC 7523).
 */
#include <string.h>

#include "provider-azure/identity/entra.h"

#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

static int prepare(const struct identity *identity, struct identity_question *question, struct error **err)
{
    if (entra_prepare(identity, question, err) < 0)
        return -1;
    if (http_form_append(&question->body, "client_assertion_type", ASSERTION_TYPE, strlen(ASSERTION_TYPE),
                         err) < 0)
        return -1;
    return http_form_append(&question->body, "client_assertion", secret_bytes(identity->credential),
                            secret_len(identity->credential), err);
}

const struct identity_ops identity_workload = {
    .mode = AUTH_WORKLOAD, .prepare = prepare, .understand = entra_understand};
