/*
 * trust.h - makes a curl handle trust CAs, in the way that suits its TLS library. Private to common/http.
 *
 * curl's mbedTLS back end parses the bundle again for every connection, on the loop: 5 ms and 1 MiB for the
 * usual 144 certificates. With that back end (HTTP_TLS_MBEDTLS) a bundle is parsed when it is first used and
 * again when its file has changed, and connections share the result. The OpenSSL back end keeps parsed
 * bundles itself (curl 7.87 and later) and only gets the path.
 *
 * With both, server_certificate.h has a word in the handshake, before anything is sent to the server.
 */
#ifndef COMMON_HTTP_TRUST_H
#define COMMON_HTTP_TRUST_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

struct trust_store;
struct trust; /* the CAs of one call and the check of its server's certificate */

enum { TRUST_MAX_KEPT = 8 }; /* bundles: the system's, the API server's and their successors */

/* The place of the trusted certificates: bytes before file and directory. All may be NULL: then no server is
 * trusted. */
struct trust_source {
    const char *file; /* PEM bundle */
    const char *directory;
    const void *blob; /* PEM */
    size_t blob_len;
};

/* NULL on lack of memory. */
struct trust_store *trust_store_create(void);

/* Makes `easy` trust `source` for servers. `tls_proxy`: there will be a second handshake, with a proxy
 * that has other CAs; bundles are then left to curl, which does not say for which handshake it exposes a
 * configuration. `now_ms`: loop time; a file is inspected once a millisecond. Sets *ret_trust, to be released
 * after the transfer's end. Errors: a bundle that cannot be read or holds no certificate (UNAVAILABLE),
 * INTERNAL when libcurl lacks an option. */
int trust_apply(struct trust_store *store, CURL *easy, const struct trust_source *source, bool tls_proxy,
                uint64_t now_ms, struct trust **ret_trust, struct error **err);

/* What server_certificate.h found wrong with the certificate of the last handshake; NULL: nothing, or
 * `trust` is NULL. Borrowed. */
const char *trust_refusal(const struct trust *trust);

/* Accepts NULL. */
void trust_release(struct trust *trust);

/* Calls may outlive it. Accepts NULL. */
void trust_store_destroy(struct trust_store *store);

#endif
