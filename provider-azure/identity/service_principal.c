/*
 * service_principal.c - an application with a client secret, or with a certificate and its key, from the
 * Secret of nodePublishSecretRef.
 */
#include <strings.h>

#include "provider-azure/identity/assertion.h"
#include "provider-azure/identity/entra.h"

static int build_with_secret(const struct identity *identity, const struct token_request_context *context,
                             struct token_request *request, struct error **err)
{
    (void)context;
    if (entra_build_request(identity, identity->authority, request, err) < 0)
        return -1;
    return entra_add_credential(request, "client_secret", secret_bytes(identity->credential),
                                secret_len(identity->credential), err);
}

const struct identity_ops client_secret_ops = {.mode = IDENTITY_SERVICE_PRINCIPAL,
                                               .build_request = build_with_secret,
                                               .parse_response = entra_parse_response};

/* The certificate is read when a token is needed, in a thread: opening a PKCS#12 file costs some
 * milliseconds, and a second with many rounds of key derivation. A mount that finds a token in the cache does
 * not pay for it. */
static int build_with_certificate(const struct identity *identity,
                                  const struct token_request_context *context, struct token_request *request,
                                  struct error **err)
{
    cleanup_app_certificate struct app_certificate certificate = {0};
    cleanup_buffer struct buffer assertion;
    buffer_init(&assertion, ASSERTION_MAX_BYTES);

    if (entra_build_request(identity, identity->authority, request, err) < 0)
        return -1;
    const char *password = (const char *)secret_bytes(identity->password);
    if (app_certificate_read(secret_bytes(identity->credential), secret_len(identity->credential),
                             password != NULL ? password : "", secret_len(identity->password), context->run,
                             &certificate, err) < 0)
        return error_wrap(err, "clientcertificate");
    /* AD FS knows the older signature and the older thumbprint only. */
    const struct assertion_input input = {
        .audience = request->url,
        .client_id = identity->client_id,
        .scheme = strcasecmp(identity->tenant, "adfs") == 0 ? SIGNATURE_RS256 : SIGNATURE_PS256,
        .now_unix = context->now_unix,
    };
    if (assertion_make(&certificate, &input, &assertion, err) < 0)
        return error_wrap(err, "clientcertificate");
    return entra_add_assertion(request, assertion.data, assertion.len, err);
}

const struct identity_ops client_certificate_ops = {.mode = IDENTITY_SERVICE_PRINCIPAL,
                                                    .build_in_thread = true,
                                                    .build_request = build_with_certificate,
                                                    .parse_response = entra_parse_response};
