/*
 * service_principal.c - an application that proves itself with what the Secret named by nodePublishSecretRef
 * holds: a client secret, or a certificate with its key.
 */
#include <strings.h>

#include "provider-azure/identity/assertion.h"
#include "provider-azure/identity/entra.h"

static int prepare_secret(const struct identity *identity, const struct identity_moment *moment,
                          struct identity_question *question, struct error **err)
{
    (void)moment;
    if (entra_prepare(identity, identity->authority, question, err) < 0)
        return -1;
    return http_form_append(&question->body, "client_secret", secret_bytes(identity->credential),
                            secret_len(identity->credential), err);
}

const struct identity_ops identity_client_secret = {
    .mode = AUTH_SERVICE_PRINCIPAL, .prepare = prepare_secret, .understand = entra_understand};

/* Reading the certificate waits until a token is needed, and is done aside: opening a PKCS#12 file costs
 * some milliseconds, and a second if somebody asked for many rounds of key derivation. Mounts that find
 * a token pay nothing of it. */
static int prepare_certificate(const struct identity *identity, const struct identity_moment *moment,
                               struct identity_question *question, struct error **err)
{
    cleanup_app_certificate struct app_certificate certificate = {0};
    cleanup_buffer struct buffer assertion;
    buffer_init(&assertion, ASSERTION_MAX_BYTES);

    if (entra_prepare(identity, identity->authority, question, err) < 0)
        return -1;
    const char *password = (const char *)secret_bytes(identity->password);
    if (app_certificate_read(secret_bytes(identity->credential), secret_len(identity->credential),
                             password != NULL ? password : "", secret_len(identity->password), &certificate,
                             err) < 0)
        return error_wrap(err, "clientcertificate");
    /* AD FS knows the older signature and the older thumbprint only. */
    const struct assertion_input input = {
        .audience = question->url,
        .client_id = identity->client_id,
        .scheme = strcasecmp(identity->tenant, "adfs") == 0 ? SIGNATURE_RS256 : SIGNATURE_PS256,
        .now_unix = moment->now_unix,
    };
    if (assertion_make(&certificate, &input, &assertion, err) < 0)
        return error_wrap(err, "clientcertificate");
    return entra_add_assertion(question, assertion.data, assertion.len, err);
}

const struct identity_ops identity_client_certificate = {.mode = AUTH_SERVICE_PRINCIPAL,
                                                         .prepare_aside = true,
                                                         .prepare = prepare_certificate,
                                                         .understand = entra_understand};
