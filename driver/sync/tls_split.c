/*
 * tls_split.c - certificates and private key out of PEM or PKCS#12.
 */
#include "driver/sync/tls_split.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buffer.h"
#include "common/crypto/certificate_chain.h"
#include "common/crypto/pem.h"
#include "common/crypto/pkcs12.h"
#include "driver/crypto/tls_key.h"

#define CERTIFICATE "CERTIFICATE"

static bool is_certificate(const struct pem_block *block)
{
    return block->label_len == sizeof(CERTIFICATE) - 1 &&
           memcmp(block->label, CERTIFICATE, block->label_len) == 0;
}

static bool is_private_key(const struct pem_block *block)
{
    static const char suffix[] = "PRIVATE KEY";
    size_t len = sizeof(suffix) - 1;

    return block->label_len >= len && memcmp(block->label + block->label_len - len, suffix, len) == 0;
}

/* RFC 1421 allows header lines ("Proc-Type: 4,ENCRYPTED") before the base64, which end with an empty line.
 * Returns where the base64 begins. */
static const char *behind_headers(const struct pem_block *block)
{
    const char *end = block->body + block->body_len;
    const char *colon = memchr(block->body, ':', block->body_len);
    const char *empty;

    if (colon == NULL)
        return block->body;
    empty = memmem(colon, (size_t)(end - colon), "\n\n", 2);
    if (empty == NULL)
        empty = memmem(colon, (size_t)(end - colon), "\n\r\n", 3);
    return empty != NULL ? empty + 1 : end;
}

static bool is_encrypted(const struct pem_block *block)
{
    static const char prefix[] = "ENCRYPTED ";
    const char *base64 = behind_headers(block);

    return (block->label_len >= sizeof(prefix) - 1 &&
            memcmp(block->label, prefix, sizeof(prefix) - 1) == 0) ||
           memmem(block->body, (size_t)(base64 - block->body), "ENCRYPTED", 9) != NULL;
}

static struct secret *block_der(const struct pem_block *block, struct error **err)
{
    const char *base64 = behind_headers(block);

    return pem_decode(base64, (size_t)(block->body + block->body_len - base64), err);
}

/* A secret with the buffer's content. */
static struct secret *secret_of(const struct buffer *text, struct error **err)
{
    struct secret *secret = secret_from_bytes(buffer_str(text), text->len);

    if (secret == NULL)
        (void)error_no_memory(err, NULL);
    return secret;
}

/* No label: there is none. */
static struct pem_block last_private_key(const char *file, size_t len)
{
    const char *at = file;
    struct pem_block block, last = {0};

    while (len > 0 && pem_next(&at, file + len, &block)) {
        if (is_private_key(&block))
            last = block;
    }
    return last;
}

static bool is_pem(const char *file, size_t len)
{
    const char *at = file;
    struct pem_block block;

    return len > 0 && pem_next(&at, file + len, &block);
}

/* Does a block begin that has no end? */
static bool is_cut_off(const char *file, size_t len)
{
    static const char begin[] = "-----BEGIN ";
    const char *at = file, *end = file + len;
    struct pem_block block;
    size_t begun = 0, whole = 0;

    for (; (at = memmem(at, (size_t)(end - at), begin, sizeof(begin) - 1)) != NULL; at += sizeof(begin) - 1)
        begun++;
    for (at = file; pem_next(&at, end, &block);)
        whole++;
    return begun > whole;
}

/* Is the file base64 of DER or of PEM, as a vault stores binary files? */
static bool is_base64(const char *file, size_t len)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n";
    static const char der[] = "MI", pem[] = "LS0tLS1CRUdJT";

    for (size_t i = 0; i < len; i++) {
        if (file[i] == '\0' || strchr(letters, file[i]) == NULL)
            return false;
    }
    return len > sizeof(pem) &&
           (memcmp(file, der, sizeof(der) - 1) == 0 || memcmp(file, pem, sizeof(pem) - 1) == 0);
}

static bool has_certificate(const char *file, size_t len)
{
    const char *at = file;
    struct pem_block block;
    bool found = false;

    while (!found && len > 0 && pem_next(&at, file + len, &block))
        found = is_certificate(&block);
    return found;
}

static int check_size(size_t len, struct error **err)
{
    if (len > TLS_FILE_MAX)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "the file has %zu bytes, at most %d are read",
                         len, TLS_FILE_MAX);
    return 0;
}

/* Of a file in which there is no PEM block of the wanted type. */
static int read_pfx(const void *file, size_t len, struct pkcs12 *ret, struct error **err)
{
    cleanup_error struct error *error = NULL;

    if (pkcs12_read(file, len, ret, &error) == 0)
        return 0;
    if (len == 0)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "the file is empty");
    if (is_cut_off(file, len))
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "the file is PEM, and a block of it is cut off");
    if (is_pem(file, len))
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "the file is PEM, with other blocks only");
    (void)error_wrap(&error, "neither PEM nor PKCS#12 with an empty password");
    if (is_base64(file, len))
        (void)error_hint(
            &error, "it is base64 text: its provider has to decode it (objectEncoding: base64 of Azure's)");
    return error_move(err, &error);
}

/* --- certificates --- */

/* The certificates of a PEM file; those beyond CERTIFICATE_CHAIN_MAX are not ordered. */
struct certificates {
    struct secret **ders;
    size_t n;
};

static void certificates_finish(struct certificates *certificates)
{
    for (size_t i = 0; i < certificates->n; i++)
        secret_destroy(certificates->ders[i]);
    free(certificates->ders);
}

static int read_certificates(const char *at, const char *end, struct certificates *ret, struct error **err)
{
    struct pem_block block;

    while (pem_next(&at, end, &block)) {
        if (!is_certificate(&block))
            continue;
        struct secret **grown = reallocarray(ret->ders, ret->n + 1, sizeof(*grown));
        if (grown == NULL)
            return error_no_memory(err, NULL);
        ret->ders = grown;
        struct secret *der = block_der(&block, err);
        if (der == NULL)
            return error_wrap(err, "certificate %zu", ret->n + 1);
        ret->ders[ret->n++] = der;
    }
    return 0;
}

static struct chain_part part_of(const struct secret *der)
{
    return (struct chain_part){.der = der_span(secret_bytes(der), secret_len(der)),
                               .local_key_id = der_span((const uint8_t *)"", 0)};
}

/* Orders the certificates by the private key of the file: a server takes the first for that of the key.
 * Nothing changes when there is no key, or none of them belongs to it. */
static void order_certificates(const char *file, size_t len, struct certificates *certificates)
{
    struct chain_part parts[CERTIFICATE_CHAIN_MAX];
    struct secret *ordered[CERTIFICATE_CHAIN_MAX];
    size_t order[CERTIFICATE_CHAIN_MAX];
    const struct pem_block last = last_private_key(file, len);

    if (last.label == NULL || certificates->n < 2 || certificates->n > CERTIFICATE_CHAIN_MAX)
        return;
    cleanup_secret struct secret *key_der = block_der(&last, /* err= */ NULL);
    if (key_der == NULL)
        return;
    const struct chain_part key = part_of(key_der);
    for (size_t i = 0; i < certificates->n; i++)
        parts[i] = part_of(certificates->ders[i]);
    if (certificate_chain_order(parts, certificates->n, &key, order) == CERTIFICATE_CHAIN_OTHER_KEY)
        return;
    for (size_t i = 0; i < certificates->n; i++)
        ordered[i] = certificates->ders[order[i]];
    memcpy(certificates->ders, ordered, certificates->n * sizeof(ordered[0]));
}

static int append_pem_certificates(const char *file, size_t len, struct buffer *out, struct error **err)
{
    CLEANUP(certificates_finish) struct certificates certificates = {0};

    if (read_certificates(file, file + len, &certificates, err) < 0)
        return -1;
    order_certificates(file, len, &certificates);
    for (size_t i = 0; i < certificates.n; i++) {
        if (pem_append(out, CERTIFICATE, secret_bytes(certificates.ders[i]), secret_len(certificates.ders[i]),
                       err) < 0)
            return -1;
    }
    return 0;
}

static int append_pfx_certificates(const void *file, size_t len, struct buffer *out, struct error **err)
{
    cleanup_pkcs12 struct pkcs12 pfx = {0};

    if (read_pfx(file, len, &pfx, err) < 0)
        return error_wrap(err, "no certificate");
    if (pfx.n_certificates == 0)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "no certificate: the PKCS#12 file contains none");
    (void)certificate_chain_order_pfx(&pfx);
    for (size_t i = 0; i < pfx.n_certificates; i++) {
        if (pem_append(out, CERTIFICATE, secret_bytes(pfx.certificates[i]), secret_len(pfx.certificates[i]),
                       err) < 0)
            return -1;
    }
    return 0;
}

struct secret *tls_split_certificates(const void *file, size_t len, struct error **err)
{
    cleanup_buffer struct buffer text = {0};

    buffer_init(&text, 2 * (size_t)TLS_FILE_MAX); /* base64 and armour of a PKCS#12 file */
    if (check_size(len, err) < 0 || (len > 0 && append_pem_certificates(file, len, &text, err) < 0))
        return NULL;
    if (text.len == 0 && append_pfx_certificates(file, len, &text, err) < 0)
        return NULL;
    return secret_of(&text, err);
}

/* --- private key --- */

static struct secret *pfx_key_der(const void *file, size_t len, struct error **err)
{
    cleanup_pkcs12 struct pkcs12 pfx = {0};

    if (read_pfx(file, len, &pfx, err) < 0) {
        (void)error_wrap(err, "no private key");
        return NULL;
    }
    if (pfx.n_keys == 0) {
        (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                        "no private key: the PKCS#12 file contains none");
        return NULL;
    }
    (void)certificate_chain_order_pfx(&pfx); /* the key of the first certificate becomes the first */
    return steal_ptr(&pfx.keys[0]);
}

static struct secret *key_der(const void *file, size_t len, struct error **err)
{
    const struct pem_block last = last_private_key(file, len);
    struct secret *der;

    if (last.label == NULL && has_certificate(file, len)) {
        (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                        "no private key: the file contains certificates only");
        return NULL;
    }
    if (last.label == NULL)
        return pfx_key_der(file, len, err);
    if (is_encrypted(&last)) {
        (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "the private key is encrypted");
        return NULL;
    }
    der = block_der(&last, err);
    if (der == NULL)
        (void)error_wrap(err, "the private key");
    return der;
}

struct secret *tls_split_private_key(const void *file, size_t len, struct error **err)
{
    cleanup_buffer struct buffer text = {0};
    cleanup_secret struct secret *der = NULL;
    cleanup_secret struct secret *traditional = NULL;
    const char *label = NULL;

    buffer_init(&text, 2 * (size_t)TLS_KEY_DER_MAX);
    if (check_size(len, err) < 0)
        return NULL;
    der = key_der(file, len, err);
    if (der == NULL)
        return NULL;
    traditional = tls_key_traditional(secret_bytes(der), secret_len(der), &label, err);
    if (traditional == NULL ||
        pem_append(&text, label, secret_bytes(traditional), secret_len(traditional), err) < 0)
        return NULL;
    return secret_of(&text, err);
}
