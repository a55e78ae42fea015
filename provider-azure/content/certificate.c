/*
 * certificate.c - the secret behind a Key Vault certificate, as PEM.
 */
#include "provider-azure/content/certificate.h"

#include <stdbool.h>
#include <string.h>

#include "common/crypto/encoding.h"
#include "common/crypto/pem.h"
#include "common/crypto/pkcs12.h"
#include "provider-azure/crypto/pkcs8.h"

int certificate_pem_from_pfx(const char *base64, size_t len, enum certificate_order order,
                             struct pkcs12_run *run, struct buffer *out, enum certificate_chain *ret_chain,
                             uint64_t *ret_cost, struct error **err)
{
    *ret_cost = 0;
    cleanup_secret struct secret *der = base64_decode(base64, len, err);
    if (der == NULL)
        return -1;
    cleanup_pkcs12 struct pkcs12 pfx = {0};
    int result = pkcs12_read_with_password(secret_bytes(der), secret_len(der), "", 0, run, &pfx, err);
    *ret_cost = pfx.cost;
    if (result < 0)
        return -1;

    *ret_chain = CERTIFICATE_CHAIN_ORDERED;
    if (order == CERTIFICATE_ORDER_CHAIN)
        *ret_chain = certificate_chain_order_pfx(&pfx);
    for (size_t i = 0; i < pfx.n_keys; i++) {
        const struct secret *key = pfx.keys[i];
        cleanup_secret struct secret *usual = NULL;
        if (pkcs8_usual_ec(der_span(secret_bytes(key), secret_len(key)), &usual, err) < 0)
            return -1;
        if (usual != NULL)
            key = usual;
        if (pem_append(out, "PRIVATE KEY", secret_bytes(key), secret_len(key), err) < 0)
            return -1;
    }
    for (size_t i = 0; i < pfx.n_certificates; i++) {
        if (pem_append(out, "CERTIFICATE", secret_bytes(pfx.certificates[i]), secret_len(pfx.certificates[i]),
                       err) < 0)
            return -1;
    }
    return 0;
}

/* --- PEM --- */

static bool has_label(const struct pem_block *block, const char *label)
{
    return block->label_len == strlen(label) && memcmp(block->label, label, block->label_len) == 0;
}

/* Private keys that are not encrypted. */
static bool is_key(const struct pem_block *block)
{
    return has_label(block, "PRIVATE KEY") || has_label(block, "RSA PRIVATE KEY") ||
           has_label(block, "EC PRIVATE KEY");
}

static struct chain_part part_of(const struct secret *der)
{
    return (struct chain_part){.der = der_span(secret_bytes(der), secret_len(der)),
                               .local_key_id = der_span((const uint8_t *)"", 0)};
}

/* The certificates of a text. */
struct pem_certificates {
    struct pem_block blocks[CERTIFICATE_CHAIN_MAX];
    struct secret *ders[CERTIFICATE_CHAIN_MAX];
    struct chain_part parts[CERTIFICATE_CHAIN_MAX];
    size_t n;
};

static void pem_certificates_finish(struct pem_certificates *certificates)
{
    for (size_t i = 0; i < certificates->n; i++)
        secret_destroy(certificates->ders[i]);
}

/* False when they cannot be ordered. */
static bool find_certificates(const char *pem, size_t len, struct pem_certificates *ret)
{
    const char *at = pem;
    struct pem_block block;
    while (pem_next(&at, pem + len, &block)) {
        if (!has_label(&block, "CERTIFICATE"))
            continue;
        struct secret *der =
            ret->n < CERTIFICATE_CHAIN_MAX ? pem_decode(block.body, block.body_len, NULL) : NULL;
        if (der == NULL)
            return false;
        ret->ders[ret->n] = der;
        ret->parts[ret->n] = part_of(der);
        ret->blocks[ret->n++] = block;
    }
    return ret->n > 1;
}

/* The order by the first key that has a certificate; false when there is none. */
static bool find_order(const char *pem, size_t len, const struct pem_certificates *certificates,
                       size_t *ret_order)
{
    const char *at = pem;
    struct pem_block block;
    for (unsigned keys = 0; keys < CERTIFICATE_CHAIN_MAX && pem_next(&at, pem + len, &block);) {
        if (!is_key(&block))
            continue;
        keys++;
        cleanup_secret struct secret *der = pem_decode(block.body, block.body_len, NULL);
        if (der == NULL)
            continue;
        struct chain_part key = part_of(der);
        enum certificate_chain outcome =
            certificate_chain_order(certificates->parts, certificates->n, &key, ret_order);
        if (outcome != CERTIFICATE_CHAIN_OTHER_KEY)
            return outcome != CERTIFICATE_CHAIN_UNREADABLE;
    }
    return false;
}

int certificate_order_pem(const char *pem, size_t len, struct buffer *out, struct error **err)
{
    CLEANUP(pem_certificates_finish) struct pem_certificates certificates = {.n = 0};
    size_t order[CERTIFICATE_CHAIN_MAX];
    const char *rest = pem;

    if (find_certificates(pem, len, &certificates) && find_order(pem, len, &certificates, order)) {
        for (size_t i = 0; i < certificates.n; i++) {
            const struct pem_block *place = &certificates.blocks[i], *block = &certificates.blocks[order[i]];
            if (buffer_append(out, rest, (size_t)(place->whole - rest), err) < 0 ||
                buffer_append(out, block->whole, block->whole_len, err) < 0)
                return -1;
            rest = place->whole + place->whole_len;
        }
    }
    return buffer_append(out, rest, len - (size_t)(rest - pem), err);
}

/* Blocks with header lines (an encrypted key of old) are no plain base64: they are passed on as they are. */
static int append_block(struct buffer *out, const struct pem_block *block, struct error **err)
{
    char label[64];
    cleanup_error struct error *error = NULL;
    cleanup_secret struct secret *der = pem_decode(block->body, block->body_len, &error);
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

/* True when a block is not on lines of its own, and all of them can be written again. */
static bool needs_repair(const char *pem, size_t len)
{
    const char *at = pem;
    struct pem_block block;
    bool lost = false;
    while (pem_next(&at, pem + len, &block)) {
        cleanup_secret struct secret *der = pem_decode(block.body, block.body_len, NULL);
        if (der == NULL)
            return false;
        lost = lost || pem_lines_lost(&block);
    }
    return lost;
}

int certificate_repair_pem(const char *pem, size_t len, struct buffer *out, struct error **err)
{
    const char *at = pem;
    struct pem_block block;
    if (!needs_repair(pem, len))
        return buffer_append(out, pem, len, err);
    while (pem_next(&at, pem + len, &block)) {
        if (append_block(out, &block, err) < 0)
            return -1;
    }
    return 0;
}

int certificate_split_pem(const char *pem, size_t len, struct buffer *certificates, struct buffer *keys,
                          struct error **err)
{
    const char *at = pem, *end = pem + len;
    struct pem_block block;
    while (pem_next(&at, end, &block)) {
        bool is_certificate = has_label(&block, "CERTIFICATE");
        if (append_block(is_certificate ? certificates : keys, &block, err) < 0)
            return -1;
    }
    return 0;
}
