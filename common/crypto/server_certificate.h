/*
 * server_certificate.h - rules for the certificate of a server that TLS libraries leave to their users.
 *
 * The certificate must name hosts or addresses as subjectAltName (RFC 9525, section 2): both libraries accept
 * a common name in its place, Go's has not for years. And, with mbedTLS, the names must obey the name
 * constraints of the CAs above (name_constraints.h), and no certificate may be signed with SHA-1.
 */
#ifndef COMMON_CRYPTO_SERVER_CERTIFICATE_H
#define COMMON_CRYPTO_SERVER_CERTIFICATE_H

#include <stdint.h>

#include "common/crypto/name_constraints.h"

struct mbedtls_x509_crt;

/* The check of one handshake after the other. Empty: {0}. */
struct server_certificate_check {
    struct name_constraints above;
    char reason[NAME_CONSTRAINTS_REASON_MAX]; /* of the last handshake's refusal; "" = nothing to object */
    /* mbedTLS' own verification callback, called after this one */
    int (*next)(void *, struct mbedtls_x509_crt *, int, uint32_t *);
    void *next_arg;
};

/* Checks one certificate of a chain that the TLS library has verified. `depth`: 0 for the server's own;
 * with a CA's, the chain is given from the root down. Returns -1 and sets `reason` when it is refused. */
int server_certificate_check(struct server_certificate_check *check, struct der certificate, unsigned depth);

/* Makes a TLS configuration (struct mbedtls_ssl_config), which is set up otherwise, check the server's
 * certificates. `check` is borrowed until the handshake is over. */
void server_certificate_configure(struct server_certificate_check *check, void *config);

#endif
