/*
 * service_principal.c - application id and client secret from the Secret named by nodePublishSecretRef.
 */
#include "provider-azure/identity/entra.h"

static int prepare(const struct identity *identity, struct identity_question *question, struct error **err)
{
    if (entra_prepare(identity, question, err) < 0)
        return -1;
    return http_form_append(&question->body, "client_secret", secret_bytes(identity->credential),
                            secret_len(identity->credential), err);
}

const struct identity_ops identity_service_principal = {
    .mode = AUTH_SERVICE_PRINCIPAL, .prepare = prepare, .understand = entra_understand};
