/*
 * tls.h - an ephemeral certificate authority and the server certificate it signs (GnuTLS).
 */
#ifndef EMULATOR_TLS_H
#define EMULATOR_TLS_H

struct tls_identity {
    char *ca_pem;          /* what clients trust */
    char *certificate_pem; /* the server's */
    char *key_pem;
};

/* Makes new ECDSA P-256 keys and certificates for all host names of the emulator. -1 with a message on
 * stderr. */
int tls_identity_create(struct tls_identity *identity);
void tls_identity_finish(struct tls_identity *identity);

#endif
