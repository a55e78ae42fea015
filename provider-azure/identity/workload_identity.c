/*
 * workload.c - workload identity: the pod's service account token is the client assertion (RFC 7523).
 */
#include "provider-azure/identity/entra.h"

static int prepare(const struct identity *identity, const struct identity_moment *moment,
                   struct identity_question *question, struct error **err)
{
    (void)moment;
    if (entra_prepare(identity, identity->authority, question, err) < 0)
        return -1;
    return entra_add_assertion(question, secret_bytes(identity->credential), secret_len(identity->credential),
                               err);
}

const struct identity_ops identity_workload = {
    .mode = AUTH_WORKLOAD, .prepare = prepare, .understand = entra_understand};
