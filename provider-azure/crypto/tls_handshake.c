/*
 * tls_handshake.c - mbedTLS between two buffers.
 */
#include "provider-azure/crypto/tls_handshake.h"

#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/kernel_random.h"
#include "common/crypto/mbedtls_compat.h"
#include "common/crypto/server_certificate.h"

/* A flight has some KiB in either direction; one that is longer is cut off. */
enum { INPUT_MAX = 256 * 1024, OUTPUT_MAX = 256 * 1024 };

struct tls_handshake {
    struct buffer input;
    struct buffer output;
    bool at_end; /* nothing comes behind `input` */
    int result;  /* mbedTLS's, of the last step */
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config config;
    mbedtls_x509_crt ca;
    struct server_certificate_check check;
};

static int on_receive(void *arg, unsigned char *out, size_t len)
{
    struct tls_handshake *handshake = arg;
    if (handshake->input.len == 0)
        return handshake->at_end ? 0 : MBEDTLS_ERR_SSL_WANT_READ;
    size_t n = len < handshake->input.len ? len : handshake->input.len;
    memcpy(out, handshake->input.data, n);
    buffer_consume(&handshake->input, n);
    return (int)n; /* at most INPUT_MAX */
}

static int on_send(void *arg, const unsigned char *bytes, size_t len)
{
    struct tls_handshake *handshake = arg;
    size_t n = len < OUTPUT_MAX ? len : OUTPUT_MAX;
    return buffer_append(&handshake->output, bytes, n, NULL) < 0 ? MBEDTLS_ERR_SSL_ALLOC_FAILED : (int)n;
}

static int set_trust(struct tls_handshake *handshake, const char *server_name, const struct tls_trust *trust,
                     struct error **err)
{
    int result = 0;
    if (trust->ca_pem != NULL) {
        /* mbedTLS wants the NUL behind PEM counted. */
        cleanup_free char *pem = strndup(trust->ca_pem, trust->ca_pem_len);
        result = pem == NULL ? MBEDTLS_ERR_X509_ALLOC_FAILED
                             : mbedtls_x509_crt_parse(&handshake->ca, (unsigned char *)pem, strlen(pem) + 1);
    } else {
        result = mbedtls_x509_crt_parse_file(&handshake->ca, trust->ca_file != NULL ? trust->ca_file : "");
    }
    if (result < 0 || handshake->ca.raw.len == 0)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "no readable CA certificate to verify %s with",
                         server_name);
    return 0; /* some unreadable ones among many do no harm */
}

static int set_up(struct tls_handshake *handshake, const char *server_name, const struct tls_trust *trust,
                  struct error **err)
{
    mbedtls_ssl_config *config = &handshake->config;

    if (compat_tls_prepare() != 0)
        return error_no_memory(err, NULL);
    if (set_trust(handshake, server_name, trust, err) < 0)
        return -1;
    if (mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        return error_no_memory(err, NULL);
    compat_tls_1_2_and_newer(config);
    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_ca_chain(config, &handshake->ca, NULL);
    mbedtls_ssl_conf_rng(config, kernel_random, NULL);
    server_certificate_configure(&handshake->check, config);
    if (mbedtls_ssl_setup(&handshake->ssl, config) != 0 ||
        mbedtls_ssl_set_hostname(&handshake->ssl, server_name) != 0)
        return error_no_memory(err, NULL);
    mbedtls_ssl_set_bio(&handshake->ssl, handshake, on_send, on_receive, NULL);
    return 0;
}

struct tls_handshake *tls_handshake_create(const char *server_name, const struct tls_trust *trust,
                                           struct error **err)
{
    struct tls_handshake *handshake = calloc(1, sizeof(*handshake));
    if (handshake == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    buffer_init(&handshake->input, INPUT_MAX);
    buffer_init(&handshake->output, OUTPUT_MAX);
    mbedtls_ssl_init(&handshake->ssl);
    mbedtls_ssl_config_init(&handshake->config);
    mbedtls_x509_crt_init(&handshake->ca);
    if (set_up(handshake, server_name, trust, err) < 0) {
        tls_handshake_destroy(handshake);
        return NULL;
    }
    return handshake;
}

void tls_handshake_destroy(struct tls_handshake *handshake)
{
    if (handshake == NULL)
        return;
    mbedtls_ssl_free(&handshake->ssl);
    mbedtls_ssl_config_free(&handshake->config);
    mbedtls_x509_crt_free(&handshake->ca);
    buffer_finish(&handshake->input);
    buffer_finish(&handshake->output);
    free(handshake);
}

void tls_handshake_receive(struct tls_handshake *handshake, const void *bytes, size_t len)
{
    if (buffer_append(&handshake->input, bytes, len, NULL) < 0)
        handshake->at_end = true;
}

void tls_handshake_receive_end(struct tls_handshake *handshake)
{
    handshake->at_end = true;
}

bool tls_handshake_at_end(const struct tls_handshake *handshake)
{
    return handshake->at_end;
}

enum tls_handshake_state tls_handshake_step(struct tls_handshake *handshake)
{
    handshake->result = mbedtls_ssl_handshake(&handshake->ssl);
    if (handshake->result == MBEDTLS_ERR_SSL_WANT_READ || handshake->result == MBEDTLS_ERR_SSL_WANT_WRITE)
        return TLS_HANDSHAKE_WAITING;
    return handshake->result == 0 ? TLS_HANDSHAKE_DONE : TLS_HANDSHAKE_FAILED;
}

struct buffer *tls_handshake_output(struct tls_handshake *handshake)
{
    return &handshake->output;
}

void tls_handshake_reason(const struct tls_handshake *handshake, char *ret, size_t size)
{
    uint32_t flags = mbedtls_ssl_get_verify_result(&handshake->ssl);
    ret[0] = '\0';
    if (*handshake->check.reason != '\0') {
        (void)snprintf(ret, size, "%s", handshake->check.reason);
    } else if (handshake->result == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED && flags != 0 &&
               flags != UINT32_MAX) {
        (void)mbedtls_x509_crt_verify_info(ret, size, "", flags);
        for (char *at = ret; *at != '\0'; at++)
            *at = *at == '\n' ? (at[1] == '\0' ? '\0' : ' ') : *at;
    } else if (handshake->at_end) {
        (void)snprintf(ret, size, "the connection was closed");
    } else {
        (void)snprintf(ret, size, "mbedTLS -0x%04x", (unsigned)-handshake->result);
    }
}

size_t tls_handshake_names(const struct tls_handshake *handshake, char **ret_names, size_t max)
{
    const mbedtls_x509_crt *certificate = mbedtls_ssl_get_peer_cert(&handshake->ssl);
    const mbedtls_x509_sequence *entry = certificate != NULL ? &certificate->subject_alt_names : NULL;
    size_t n = 0;

    for (; entry != NULL && n < max; entry = entry->next) {
        if (entry->buf.p == NULL ||
            entry->buf.tag != (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_DNS_NAME) ||
            memchr(entry->buf.p, '\0', entry->buf.len) != NULL)
            continue;
        ret_names[n] = strndup((const char *)entry->buf.p, entry->buf.len);
        if (ret_names[n] == NULL)
            break;
        n++;
    }
    return n;
}
