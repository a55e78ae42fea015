/*
 * tls_probe.h - the names in a TLS server's certificate: one verified handshake, then the connection is
 * closed.
 *
 * libcurl reports a server's certificate with some TLS libraries only, so this is mbedTLS's own handshake
 * (tls_handshake.h), driven by the loop: nothing blocks, and cancelling is immediate.
 * Contract: common/grpc/client.h.
 */
#ifndef PROVIDER_AZURE_NETWORK_TLS_PROBE_H
#define PROVIDER_AZURE_NETWORK_TLS_PROBE_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/error.h"

struct tls_probe_request {
    const char *address;     /* "host:port"; the host may be a name or an address, [v6] in brackets */
    const char *server_name; /* sent (SNI); the certificate must be for it */
    const void *ca_pem;      /* trusted certificates; NULL = those of `ca_file` */
    size_t ca_pem_len;
    const char *ca_file; /* used without ca_pem */
    uint64_t timeout_ms; /* for everything */
};

/* The DNS names that are read; an API server's certificate has about a dozen. */
enum { TLS_PROBE_MAX_NAMES = 256 };

struct tls_probe;

/* `names`: the DNS names of the server's certificate, NULL-terminated, borrowed during the call; NULL with
 * `error` (UNAVAILABLE, or FAILED_PRECONDITION for a CA file without a certificate). */
typedef void tls_probe_callback(const char *const *names, const struct error *error, void *arg);

/* `request` is borrowed for the time of this call. */
struct tls_probe *tls_probe_start(uv_loop_t *loop, const struct tls_probe_request *request,
                                  tls_probe_callback *callback, void *arg, struct error **err);

/* The callback does not run any more. Sets *probe to NULL; accepts a pointer to NULL. */
void tls_probe_cancel(struct tls_probe **probe);

#endif
