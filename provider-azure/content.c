/*
 * content.c - encodings, public keys and certificates.
 */
#include "provider-azure/content.h"

#include <string.h>

#include "common/encoding.h"
#include "common/pki/pem.h"
#include "provider-azure/crypto.h"

/* A PEM file of a key or a certificate. */
enum { PEM_MAX = 1024 * 1024 };

static int decode(const struct object_item *item, struct content *content, struct error **err)
{
    const char *text = (const char *)content->bytes;
    if (item->encoding == OBJECT_UTF8)
        return 0;
    content->owned = item->encoding == OBJECT_BASE64 ? base64_decode(text, content->len, err)
                                                     : hex_decode(text, content->len, err);
    if (content->owned == NULL)
        return -1;
    content->bytes = secret_bytes(content->owned);
    content->len = secret_len(content->owned);
    return 0;
}

/* PKCS#12 to PEM; the content owns the text. */
static int convert_pfx(const struct content_options *options, const struct object_item *item,
                       struct content *content, struct error **err)
{
    static const char *const warnings[] = {
        [CERTIFICATE_CHAIN_INCOMPLETE] = "certificate chain is not complete due to missing intermediate/root "
                                         "certificates in the cert from key vault",
        [CERTIFICATE_CHAIN_UNREADABLE] =
            "certificates can not be ordered, they are written as they were stored",
    };
    enum certificate_chain chain = CERTIFICATE_CHAIN_ORDERED;

    buffer_init(&content->owned_text, PEM_MAX);
    if (certificate_pem_from_pfx((const char *)content->bytes, content->len, options->order,
                                 &content->owned_text, &chain, err) < 0)
        return -1;
    if (chain != CERTIFICATE_CHAIN_ORDERED)
        log_warning(options->log, warnings[chain], LOG_STR("object", item->name));
    content->bytes = content->owned_text.data;
    content->len = content->owned_text.len;
    return 0;
}

static int split_pem(struct content *content, struct error **err)
{
    content->split = true;
    buffer_init(&content->certificates, PEM_MAX);
    buffer_init(&content->keys, PEM_MAX);
    return certificate_split_pem((const char *)content->bytes, content->len, &content->certificates,
                                 &content->keys, err);
}

/* A secret that backs a certificate is converted by its content type; any other is passed on as it is. */
static int make_secret(const struct content_options *options, const struct object_item *item,
                       const struct vault_answer *answer, struct content *content, struct error **err)
{
    bool is_pfx = strcmp(answer->content_type, "application/x-pkcs12") == 0;

    content->bytes = secret_bytes(answer->value);
    content->len = secret_len(answer->value);
    if (!answer->certificate)
        return decode(item, content, err);
    if (!is_pfx && strcmp(answer->content_type, "application/x-pem-file") != 0)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "failed to get certificate. unknown content type '%.64s'", answer->content_type);
    if (is_pfx && item->format == OBJECT_PEM && convert_pfx(options, item, content, err) < 0)
        return -1;
    if (options->separate_files && (!is_pfx || item->format == OBJECT_PEM) && item->encoding == OBJECT_UTF8)
        return split_pem(content, err);
    return decode(item, content, err);
}

static int make_key(const struct vault_answer *answer, struct content *content, struct error **err)
{
    cleanup_buffer struct buffer der = {0};
    const char *kty = answer->kty;
    int result = 0;

    buffer_init(&der, PEM_MAX);
    buffer_init(&content->owned_text, PEM_MAX);
    if (strcmp(kty, "RSA") == 0 || strcmp(kty, "RSA-HSM") == 0)
        result = spki_from_rsa(secret_bytes(answer->n), secret_len(answer->n), secret_bytes(answer->e),
                               secret_len(answer->e), &der, err);
    else if (strcmp(kty, "EC") == 0 || strcmp(kty, "EC-HSM") == 0)
        result = spki_from_ec(answer->crv, secret_bytes(answer->x), secret_len(answer->x),
                              secret_bytes(answer->y), secret_len(answer->y), &der, err);
    else
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "failed to get key. key type '%.64s' currently not supported", kty);
    if (result < 0 || pem_append(&content->owned_text, "PUBLIC KEY", der.data, der.len, err) < 0)
        return -1;
    content->bytes = content->owned_text.data;
    content->len = content->owned_text.len;
    return 0;
}

/* The DER is only armoured, not parsed: any bytes pass. */
static int make_cert(const struct vault_answer *answer, struct content *content, struct error **err)
{
    cleanup_secret struct secret *der =
        base64_decode((const char *)secret_bytes(answer->value), secret_len(answer->value), err);
    buffer_init(&content->owned_text, PEM_MAX);
    if (der == NULL ||
        pem_append(&content->owned_text, "CERTIFICATE", secret_bytes(der), secret_len(der), err) < 0)
        return -1;
    content->bytes = content->owned_text.data;
    content->len = content->owned_text.len;
    return 0;
}

int content_make(const struct content_options *options, const struct object_item *item,
                 const struct vault_answer *answer, struct content *ret_content, struct error **err)
{
    struct content content = {0};
    int result = item->type == OBJECT_SECRET ? make_secret(options, item, answer, &content, err)
                 : item->type == OBJECT_KEY  ? make_key(answer, &content, err)
                                             : make_cert(answer, &content, err);
    if (result < 0) {
        content_finish(&content);
        return -1;
    }
    *ret_content = content;
    return 0;
}

void content_finish(struct content *content)
{
    buffer_finish(&content->owned_text);
    buffer_finish(&content->certificates);
    buffer_finish(&content->keys);
    secret_destroy(content->owned);
    *content = (struct content){0};
}
