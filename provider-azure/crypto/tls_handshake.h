/*
 * tls_handshake.h - a TLS client's handshake on mbedTLS: bytes in, bytes out, the server's names at the end.
 *
 * It knows no socket. Its owner passes received bytes to tls_handshake_receive(), calls tls_handshake_step(),
 * and sends what tls_handshake_output() holds, after every step, also after a failed one (an alert). TLS 1.2
 * with mbedTLS 2.28, 1.2 and 1.3 with 3.x.
 */
#ifndef PROVIDER_AZURE_CRYPTO_TLS_HANDSHAKE_H
#define PROVIDER_AZURE_CRYPTO_TLS_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buffer.h"
#include "common/base/error.h"

/* The certificates that verify the server. Borrowed during tls_handshake_create(). */
struct tls_trust {
    const void *ca_pem; /* NULL: those of `ca_file` */
    size_t ca_pem_len;
    const char *ca_file; /* used without ca_pem */
};

struct tls_handshake;

enum tls_handshake_state {
    TLS_HANDSHAKE_WAITING, /* for more bytes of the server */
    TLS_HANDSHAKE_DONE,
    TLS_HANDSHAKE_FAILED,
};

/* `server_name` is sent (SNI), and the certificate must be for it. NULL with err set: FAILED_PRECONDITION
 * without a readable CA certificate, RESOURCE_EXHAUSTED. */
struct tls_handshake *tls_handshake_create(const char *server_name, const struct tls_trust *trust,
                                           struct error **err);

/* Accepts NULL. */
void tls_handshake_destroy(struct tls_handshake *handshake);

/* Takes bytes of the server. More than any handshake has count as the end of the connection. */
void tls_handshake_receive(struct tls_handshake *handshake, const void *bytes, size_t len);

/* The server has closed the connection. */
void tls_handshake_receive_end(struct tls_handshake *handshake);

/* Whether the connection is at its end for the handshake, by one of the two above. */
bool tls_handshake_at_end(const struct tls_handshake *handshake);

/* Goes on as far as the received bytes allow. */
enum tls_handshake_state tls_handshake_step(struct tls_handshake *handshake);

/* The bytes to send; the owner consumes them. */
struct buffer *tls_handshake_output(struct tls_handshake *handshake);

/* The reason of TLS_HANDSHAKE_FAILED, cut to size - 1 bytes. */
void tls_handshake_reason(const struct tls_handshake *handshake, char *ret, size_t size);

/* After TLS_HANDSHAKE_DONE: at most `max` DNS names among the alternative names of the server's certificate
 * (RFC 5280, 4.2.1.6), without those that contain a NUL. Returns their number; the caller frees each with
 * free(). */
size_t tls_handshake_names(const struct tls_handshake *handshake, char **ret_names, size_t max);

#endif
