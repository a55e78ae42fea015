/*
 * entra.h - the OAuth 2.0 client credentials grant of Microsoft Entra ID (RFC 6749 4.4, RFC 7523 2.2),
 * shared by all modes that use it.
 */
#ifndef PROVIDER_AZURE_IDENTITY_ENTRA_H
#define PROVIDER_AZURE_IDENTITY_ENTRA_H

#include "provider-azure/identity/identity.h"

/* Sets URL, headers and the first fields of the form (grant_type, client_id, scope); the mode appends
 * its credential. The token URL is `authority` (with its final slash) and a fixed path: no discovery.
 * ADFS (tenant "adfs") has its own path. */
int entra_build_request(const struct identity *identity, const char *authority, struct token_request *request,
                        struct error **err);

/* Appends the credential as the last field of the form, and notes where it is. */
int entra_add_credential(struct token_request *request, const char *name, const void *value, size_t len,
                         struct error **err);

/* Appends `client_assertion` and its type. */
int entra_add_assertion(struct token_request *request, const void *assertion, size_t len, struct error **err);

/* Whether a token was refused because its resource is not known in the tenant (AADSTS500011), by Entra or
 * as IMDS and NMI pass it on, or to AD FS (MSIS9602). */
bool entra_refused_resource(const struct error *error);

/* Reads the token or the error, with a hint for the common AADSTS codes. What the service quotes of `sent` or
 * of the identity's credential is left out of the error. */
struct token *entra_parse_response(const struct identity *identity, const struct http_reply *reply,
                                   const struct secret *sent, int64_t now_unix, struct error **err);

#endif
