/*
 * jwt.h - JSON web tokens taken apart, and their signatures verified (GnuTLS): RS256, PS256 and ES256.
 */
#ifndef EMULATOR_JWT_H
#define EMULATOR_JWT_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

struct jwt {
    cJSON *header; /* owned, all */
    cJSON *claims;
    char *signature;
    size_t signature_len;
    const char *text; /* borrowed: what was signed */
    size_t text_len;
};

/* Takes a token apart; `text` must outlive it. False when it is not one; jwt_finish() in every case. */
bool jwt_parse(struct jwt *jwt, const char *text);
void jwt_finish(struct jwt *jwt);

/* Verifies with a public key or a certificate in PEM. `algorithms` is a blank-separated list of those
 * that are allowed; the header must name one of them. */
bool jwt_verify(const struct jwt *jwt, const char *pem, const char *algorithms);

/* A claim or header field as text, "" when it is missing. */
const char *jwt_claim(const struct jwt *jwt, const char *name);
const char *jwt_header(const struct jwt *jwt, const char *name);
/* A claim as number, `otherwise` when it is missing. */
double jwt_number(const struct jwt *jwt, const char *name, double otherwise);

/* SHA-1 or SHA-256 over a certificate's DER in base64url: "x5t" and "x5t#S256". NULL when the PEM is
 * none; the caller frees. */
char *certificate_thumbprint(const char *pem, bool sha256);

#endif
