/*
 * tls_split.c - certificates and private key out of PEM or PKCS#12.
 */
#include "driver/sync/tls_split.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/buffer.h"
#include "common/crypto/encoding.h"
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

    return base64_decode(base64, (size_t)(block->body + block->body_len - base64), err);
}

/* A secret with the buffer's content. */
static struct secret *secret_of(const struct buffer *text, struct error **err)
{
    struct secret *secret = secret_from_bytes(buffer_str(text), text->len);

    if (secret == NULL)
        (void)error_no_memory(err, NULL);
    return secret;
}

static int check_size(size_t len, struct error **err)
{
    if (len > TLS_FILE_MAX)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "the file has %zu bytes, at most %d are read",
                         len, TLS_FILE_MAX);
    return 0;
}

static int read_pfx(const void *file, size_t len, struct pkcs12 *ret, struct error **err)
{
    if (pkcs12_read(file, len, ret, err) < 0)
        return error_wrap(err, "neither PEM nor PKCS#12 with an empty password");
    return 0;
}

/* --- certificates --- */

static int append_pem_certificates(const char *at, const char *end, struct buffer *out, struct error **err)
{
    struct pem_block block;
    unsigned number = 0;

    while (pem_next(&at, end, &block)) {
        if (!is_certificate(&block))
            continue;
        number++;
        cleanup_secret struct secret *der = block_der(&block, err);
        if (der == NULL)
            return error_wrap(err, "certificate %u", number);
        if (pem_append(out, CERTIFICATE, secret_bytes(der), secret_len(der), err) < 0)
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
    if (check_size(len, err) < 0 ||
        (len > 0 && append_pem_certificates(file, (const char *)file + len, &text, err) < 0))
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
    return steal_ptr(&pfx.keys[pfx.n_keys - 1]);
}

static struct secret *key_der(const void *file, size_t len, struct error **err)
{
    const char *at = file, *end = at + len;
    struct pem_block block, last = {0};
    bool certificates = false;
    struct secret *der;

    while (len > 0 && pem_next(&at, end, &block)) {
        certificates = certificates || is_certificate(&block);
        if (is_private_key(&block))
            last = block;
    }
    if (last.label == NULL && certificates) {
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
