/*
 * challenge.h - the Bearer challenge of a WWW-Authenticate header (RFC 9110 11.2 and 11.6.1, RFC 6750 3).
 *
 * A header value is a list of challenges, each a scheme with parameters that are tokens or quoted strings:
 *
 *     Bearer authorization="https://login.example/tenant", resource="https://vault.example", Basic realm="x"
 *
 * A vault names in it the authority and the resource of the token that it accepts.
 */
#ifndef COMMON_HTTP_CHALLENGE_H
#define COMMON_HTTP_CHALLENGE_H

#include "common/base/cleanup.h"
#include "common/base/error.h"

enum { HTTP_CHALLENGE_MAX_BYTES = 16 * 1024 }; /* claims challenges reach a few KiB */

/* Parameters of the first Bearer challenge; NULL where absent. Of a repeated parameter the first counts. */
struct http_challenge {
    char *authorization;
    char *resource;
    char *scope;
    char *claims; /* base64url, as sent */
    char *error;  /* RFC 6750 3.1, e.g. "invalid_token", "insufficient_claims" */
};

/* Parses a header value. *ret_challenge is written on success only and then released with
 * http_challenge_finish(). NOT_FOUND when there is no Bearer challenge, INVALID_ARGUMENT when the header
 * cannot be parsed or is too long. */
int http_challenge_parse(const char *value, struct http_challenge *ret_challenge, struct error **err);

/* Releases the values; empty and usable afterwards. */
void http_challenge_finish(struct http_challenge *challenge);
#define cleanup_http_challenge CLEANUP(http_challenge_finish)

#endif
