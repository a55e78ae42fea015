/*
 * ca_chain.c - parsed CA certificates for mbedTLS.
 */
#include "common/crypto/ca_chain.h"

#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <stdlib.h>

#include "common/base/buffer.h"

struct ca_chain {
    mbedtls_x509_crt first;
};

struct ca_chain *ca_chain_create(void)
{
    struct ca_chain *chain = calloc(1, sizeof(*chain));

    if (chain != NULL)
        mbedtls_x509_crt_init(&chain->first);
    return chain;
}

int ca_chain_add_pem(struct ca_chain *chain, const void *pem, size_t len)
{
    cleanup_buffer struct buffer text; /* mbedTLS wants the NUL of a PEM text, and counts it */

    buffer_init(&text, CA_CHAIN_MAX_BYTES + 1);
    if (buffer_append(&text, pem, len, NULL) < 0 || buffer_append(&text, "", 1, NULL) < 0 ||
        mbedtls_x509_crt_parse(&chain->first, text.data, text.len) < 0)
        return -1;
    return chain->first.version == 0 ? -1 : 0;
}

void ca_chain_add_directory(struct ca_chain *chain, const char *directory)
{
    (void)mbedtls_x509_crt_parse_path(&chain->first, directory);
}

void ca_chain_configure(struct ca_chain *chain, void *config)
{
    mbedtls_ssl_conf_ca_chain(config, &chain->first, NULL);
}

void ca_chain_destroy(struct ca_chain *chain)
{
    if (chain == NULL)
        return;
    mbedtls_x509_crt_free(&chain->first);
    free(chain);
}
