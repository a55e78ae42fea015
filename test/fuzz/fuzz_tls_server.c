/*
 * fuzz_tls_server.c - bytes of a TLS server against the handshake that finds the names in its
 * certificate, in two pieces (the first byte says where), and the bytes as that certificate.
 *
 * No bytes of an input can complete a handshake, for each has a random number of its own. Names have
 * no NUL.
 */
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>

#include "provider-azure/crypto/tls_handshake.h"
#include "test/fuzz/fuzz.h"

enum { NAMES_MAX = 8 };

static const char ca_pem[] = "-----BEGIN CERTIFICATE-----\n"
                             "MIIBITCByKADAgECAgEBMAoGCCqGSM49BAMCMA8xDTALBgNVBAMMBGZ1enowIBcN\n"
                             "MjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMA8xDTALBgNVBAMMBGZ1enow\n"
                             "WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATKXDuez3CkbB2gsmADqktZwH3ejroS\n"
                             "2Y34ftlvK8v+nqPD08JzEnbtssyRzbEj4zAy8TRgI0OrFQ9Hk6xm66cFoxMwETAP\n"
                             "BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQDyBkR2I4BJke/SG08t\n"
                             "XZVwnCQajWjqrfwPrnsqpmVOiwIgYHDbeC3bDvXLP277qSOVLk03FU45+TdDeDne\n"
                             "E6j5t8s=\n"
                             "-----END CERTIFICATE-----\n";

/* In place of mbedTLS': the certificate that the names are read from. */
static const mbedtls_x509_crt *peer;

const mbedtls_x509_crt *mbedtls_ssl_get_peer_cert(const mbedtls_ssl_context *ssl)
{
    (void)ssl;
    return peer;
}

static void shake_hands(struct fuzz_input input, struct tls_handshake *handshake)
{
    size_t first = fuzz_byte(&input);
    char reason[64];

    EXPECT(tls_handshake_step(handshake) == TLS_HANDSHAKE_WAITING);
    EXPECT(tls_handshake_output(handshake)->len > 0);
    if (first > input.left)
        first = input.left;
    tls_handshake_receive(handshake, input.at, first);
    if (tls_handshake_step(handshake) == TLS_HANDSHAKE_WAITING) {
        tls_handshake_receive(handshake, input.at + first, input.left - first);
        tls_handshake_receive_end(handshake);
        EXPECT(tls_handshake_step(handshake) == TLS_HANDSHAKE_FAILED && tls_handshake_at_end(handshake));
    }
    tls_handshake_reason(handshake, reason, sizeof(reason));
    EXPECT(strlen(reason) < sizeof(reason) && reason[0] != '\0' && strchr(reason, '\n') == NULL);
}

static void read_names(const uint8_t *data, size_t size, const struct tls_handshake *handshake)
{
    mbedtls_x509_crt certificate;
    char *names[NAMES_MAX];

    mbedtls_x509_crt_init(&certificate);
    peer = mbedtls_x509_crt_parse_der(&certificate, data, size) == 0 ? &certificate : NULL;
    size_t n = tls_handshake_names(handshake, names, NAMES_MAX);
    EXPECT(n <= NAMES_MAX && (n == 0 || peer != NULL));
    for (size_t i = 0; i < n; i++) {
        EXPECT(strlen(names[i]) < size);
        free(names[i]);
    }
    mbedtls_x509_crt_free(&certificate);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct tls_trust trust = {.ca_pem = ca_pem, .ca_pem_len = sizeof(ca_pem) - 1};
    const struct tls_trust none = {.ca_pem = data, .ca_pem_len = size};
    struct tls_handshake *handshake =
        tls_handshake_create("kubernetes.default.svc.cluster.local", &trust, NULL);

    EXPECT(handshake != NULL);
    shake_hands((struct fuzz_input){data, size}, handshake);
    read_names(data, size, handshake);
    tls_handshake_destroy(handshake);
    if (size > 0)
        tls_handshake_destroy(tls_handshake_create("a", &none, NULL));
    return 0;
}
