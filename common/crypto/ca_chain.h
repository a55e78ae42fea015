/*
 * ca_chain.h - CA certificates for mbedTLS, shared by many connections. Of the release alone: other builds
 * have another TLS library, or an mbedTLS that does not ask for the CAs.
 */
#ifndef COMMON_CRYPTO_CA_CHAIN_H
#define COMMON_CRYPTO_CA_CHAIN_H

#include <stddef.h>

struct ca_chain;

/* An empty chain. NULL on lack of memory. */
struct ca_chain *ca_chain_create(void);

/* Adds the certificates of a PEM text, at most CA_CHAIN_MAX_BYTES long. Those that cannot be parsed are
 * skipped: one odd root must not take the others away. Returns -1 when the chain has no certificate
 * afterwards, or memory lacks. */
enum { CA_CHAIN_MAX_BYTES = 8 * 1024 * 1024 }; /* the usual bundle has 220 KiB */
int ca_chain_add_pem(struct ca_chain *chain, const void *pem, size_t len);

/* Adds the certificates of a directory; other files may lie there. */
void ca_chain_add_directory(struct ca_chain *chain, const char *directory);

/* Makes a TLS configuration (struct mbedtls_ssl_config) trust the chain, which must exist until the handshake
 * is over. */
void ca_chain_configure(struct ca_chain *chain, void *config);

/* Accepts NULL. */
void ca_chain_destroy(struct ca_chain *chain);

#endif
