/*
 * certificate.c - the secret behind a Key Vault certificate, as PEM.
 */
#include "provider-azure/content/certificate.h"

#include <stdbool.h>
#include <string.h>

#include "common/crypto/encoding.h"
#include "common/crypto/pem.h"
#include "common/crypto/pkcs12.h"

int certificate_pem_from_pfx(const char *base64, size_t len, enum certificate_order order, struct buffer *out,
                             enum certificate_chain *ret_chain, struct error **err)
{
    cleanup_secret struct secret *der = base64_decode(base64, len, err);
    if (der == NULL)
        return -1;
    cleanup_pkcs12 struct pkcs12 pfx = {0};
    if (pkcs12_read(secret_bytes(der), secret_len(der), &pfx, err) < 0)
        return -1;

    *ret_chain = CERTIFICATE_CHAIN_ORDERED;
    if (order == CERTIFICATE_ORDER_CHAIN)
        *ret_chain = certificate_chain_order(pfx.certificates, &pfx.n_certificates);
    for (size_t i = 0; i < pfx.n_keys; i++) {
        if (pem_append(out, "PRIVATE KEY", secret_bytes(pfx.keys[i]), secret_len(pfx.keys[i]), err) < 0)
            return -1;
    }
    for (size_t i = 0; i < pfx.n_certificates; i++) {
        if (pem_append(out, "CERTIFICATE", secret_bytes(pfx.certificates[i]), secret_len(pfx.certificates[i]),
                       err) < 0)
            return -1;
    }
    return 0;
}

/* Blocks with header lines (an encrypted key of old) are no plain base64: they are passed on as they are. */
static int append_block(struct buffer *out, const struct pem_block *block, struct error **err)
{
    char label[64];
    cleanup_error struct error *error = NULL;
    cleanup_secret struct secret *der = base64_decode(block->body, block->body_len, &error);
    if (error_code(error) == GRPC_STATUS_RESOURCE_EXHAUSTED)
        return error_move(err, &error);
    if (der == NULL || block->label_len >= sizeof(label)) {
        if (buffer_append(out, block->whole, block->whole_len, err) < 0)
            return -1;
        return buffer_append_str(out, "\n", err);
    }
    memcpy(label, block->label, block->label_len);
    label[block->label_len] = '\0';
    return pem_append(out, label, secret_bytes(der), secret_len(der), err);
}

int certificate_split_pem(const char *pem, size_t len, struct buffer *certificates, struct buffer *keys,
                          struct error **err)
{
    static const char certificate[] = "CERTIFICATE";
    const char *at = pem, *end = pem + len;
    struct pem_block block;
    while (pem_next(&at, end, &block)) {
        bool is_certificate = block.label_len == sizeof(certificate) - 1 &&
                              memcmp(block.label, certificate, block.label_len) == 0;
        if (append_block(is_certificate ? certificates : keys, &block, err) < 0)
            return -1;
    }
    return 0;
}
