/*
 * assertion.h - the JSON web token that proves an application's private key (RFC 7523, 2.2; Microsoft's
 * "certificate credentials").
 */
#ifndef PROVIDER_AZURE_IDENTITY_ASSERTION_H
#define PROVIDER_AZURE_IDENTITY_ASSERTION_H

#include "common/base/buffer.h"
#include "provider-azure/identity/app_certificate.h"

/* RFC 7523's type of a client assertion, for the form. */
#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

/* The life of an assertion, and how far before now it begins: a node's clock may be ahead. Entra accepts at
 * most 10 minutes. */
enum { ASSERTION_LIFE_S = 480, ASSERTION_BACKDATED_S = 60 };

enum { ASSERTION_MAX_BYTES = 8 * 1024 };

struct assertion_input {
    const char *audience; /* the token endpoint */
    const char *client_id;
    enum signature_scheme scheme; /* PS256 goes with "x5t#S256" (Entra), RS256 with "x5t" (AD FS) */
    int64_t now_unix;
};

/* Appends a new assertion (each has its own random id) to `out`. */
int assertion_make(const struct app_certificate *certificate, const struct assertion_input *input,
                   struct buffer *out, struct error **err);

#endif
