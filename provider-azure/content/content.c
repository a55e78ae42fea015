/*
 * content.c - the files of an object, by its type and the item's fields.
 */
#include "provider-azure/content/content.h"

#include <assert.h>
#include <string.h>

#include "common/crypto/encoding.h"
#include "common/crypto/pem.h"
#include "provider-azure/content/json_split.h"
#include "provider-azure/crypto/spki.h"
#include "provider-azure/objects/value_path.h"

/* A PEM file of a key or a certificate. */
enum { PEM_MAX = 1024 * 1024 };

static bool is_pfx(const struct vault_object *object)
{
    return strcmp(object->content_type, "application/x-pkcs12") == 0;
}

/* Key Vault names the key of a certificate's secret. A certificate that somebody stored as a secret, as App
 * Service does, is one when the class says so. */
static bool is_certificate(const struct object_item *item, const struct vault_object *object)
{
    return object->certificate || item->certificate;
}

static bool has_key(const struct object_item *item)
{
    return item->key != NULL && *item->key != '\0';
}

bool content_needs_pem(const struct object_item *item, const struct vault_object *object)
{
    return item->type == OBJECT_SECRET && is_certificate(item, object) && is_pfx(object) &&
           item->format == OBJECT_PEM && item->split == OBJECT_WHOLE;
}

/* Takes the PEM of the object's value. */
static int use_pem(const struct content_options *options, const struct object_item *item,
                   struct pem_conversion *pem, struct content *content, struct error **err)
{
    static const char *const warnings[] = {
        [CERTIFICATE_CHAIN_INCOMPLETE] =
            "certificate chain is not complete due to missing intermediate/root certificates in the cert from key vault",
        [CERTIFICATE_CHAIN_UNREADABLE] =
            "a certificate cannot be read, it is written behind those that can be ordered",
        [CERTIFICATE_CHAIN_OTHER_KEY] =
            "no certificate in the cert from key vault belongs to its private key",
    };

    if (pem->error != NULL) {
        if (err != NULL)
            *err = error_copy(pem->error);
        return -1;
    }
    content->pem = pem_conversion_ref(pem);
    if (pem->chain != CERTIFICATE_CHAIN_ORDERED)
        log_warning(options->log, warnings[pem->chain], LOG_STR("object", item->name));
    return 0;
}

static int add_separate(const char *pem, size_t len, struct content *content, struct error **err)
{
    buffer_init(&content->certificates, PEM_MAX);
    buffer_init(&content->keys, PEM_MAX);
    if (certificate_split_pem(pem, len, &content->certificates, &content->keys, err) < 0 ||
        content_files_add(&content->files, content->path, ".crt", content->certificates.data,
                          content->certificates.len, err) < 0)
        return -1;
    return content_files_add(&content->files, content->path, ".key", content->keys.data, content->keys.len,
                             err);
}

/* Decodes the text by the item's encoding; the files are made of the result. */
static int decode(const struct object_item *item, const char **text, size_t *len, struct content *content,
                  struct error **err)
{
    if (item->encoding == OBJECT_UTF8)
        return 0;
    content->decoded =
        item->encoding == OBJECT_BASE64 ? base64_decode(*text, *len, err) : hex_decode(*text, *len, err);
    if (content->decoded == NULL)
        return -1;
    *text = (const char *)secret_bytes(content->decoded);
    *len = secret_len(content->decoded);
    return 0;
}

/* PEM as the vault has it, on lines and in order. */
static int arrange_pem(const struct content_options *options, const struct secret *pem, struct buffer *out,
                       struct error **err)
{
    cleanup_buffer struct buffer repaired = {.ceiling = PEM_MAX};

    buffer_init(out, PEM_MAX);
    if (options->order != CERTIFICATE_ORDER_CHAIN)
        return certificate_repair_pem((const char *)secret_bytes(pem), secret_len(pem), out, err);
    if (certificate_repair_pem((const char *)secret_bytes(pem), secret_len(pem), &repaired, err) < 0)
        return -1;
    return certificate_order_pem(buffer_str(&repaired), repaired.len, out, err);
}

/* The secret behind a certificate, by its content type. */
static int make_certificate_secret(const struct content_options *options, const struct object_item *item,
                                   const struct vault_object *object, struct pem_conversion *pem,
                                   struct content *content, struct error **err)
{
    const char *text = (const char *)secret_bytes(object->value);
    size_t len = secret_len(object->value);

    if (!is_pfx(object) && strcmp(object->content_type, "application/x-pem-file") != 0)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "failed to get certificate. unknown content type '%.64s'", object->content_type);
    if (item->split != OBJECT_WHOLE)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "objectSplit: json, but the secret belongs to a certificate");
    if (has_key(item))
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "objectKey, but the secret belongs to a certificate");
    if (pem != NULL) {
        if (use_pem(options, item, pem, content, err) < 0)
            return -1;
        text = buffer_str(&content->pem->text);
        len = content->pem->text.len;
    } else if (!is_pfx(object)) {
        if (arrange_pem(options, object->value, &content->text, err) < 0)
            return -1;
        text = buffer_str(&content->text);
        len = content->text.len;
    }
    /* PEM is neither base64 nor hex: with such an encoding this fails, with or without separate files. */
    bool is_pem = !is_pfx(object) || pem != NULL;
    if (decode(item, &text, &len, content, err) < 0) {
        if (!is_pem || item->format != OBJECT_PFX)
            return -1;
        return error_hint(err,
                          "the certificate was imported as PEM; an item with format: pkcs12 writes PKCS#12");
    }
    if (options->separate_files && is_pem && add_separate(text, len, content, err) < 0)
        return -1;
    return content_files_add(&content->files, content->path, "", text, len, err);
}

/* The value that objectKey names. */
static int add_value(const struct object_item *item, const char *text, size_t len, struct content *content,
                     struct error **err)
{
    buffer_init(&content->text, VALUE_TEXT_MAX);
    if (value_path_find(item->key, text, len, &content->text, err) < 0)
        return error_wrap(err, "objectKey");
    return content_files_add(&content->files, content->path, "", content->text.data, content->text.len, err);
}

/* A secret that backs a certificate is converted by its content type; any other is passed on as it is. */
static int make_secret(const struct content_options *options, const struct object_item *item,
                       const struct vault_object *object, struct pem_conversion *pem, struct content *content,
                       struct error **err)
{
    const char *text = (const char *)secret_bytes(object->value);
    size_t len = secret_len(object->value);

    if (is_certificate(item, object))
        return make_certificate_secret(options, item, object, pem, content, err);
    if (decode(item, &text, &len, content, err) < 0)
        return -1;
    if (has_key(item))
        return add_value(item, text, len, content, err);
    if (item->split == OBJECT_SPLIT_JSON)
        return json_split(content->path, text, len, &content->json, &content->files, err);
    return content_files_add(&content->files, content->path, "", text, len, err);
}

static int make_key(const struct vault_object *object, struct content *content, struct error **err)
{
    cleanup_buffer struct buffer der = {0};
    const char *kty = object->kty;
    int result = 0;

    buffer_init(&der, PEM_MAX);
    buffer_init(&content->text, PEM_MAX);
    if (strcmp(kty, "RSA") == 0 || strcmp(kty, "RSA-HSM") == 0)
        result = spki_from_rsa(secret_bytes(object->n), secret_len(object->n), secret_bytes(object->e),
                               secret_len(object->e), &der, err);
    else if (strcmp(kty, "EC") == 0 || strcmp(kty, "EC-HSM") == 0)
        result = spki_from_ec(object->crv, secret_bytes(object->x), secret_len(object->x),
                              secret_bytes(object->y), secret_len(object->y), &der, err);
    else
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "failed to get key. key type '%.64s' currently not supported", kty);
    if (result < 0 || pem_append(&content->text, "PUBLIC KEY", der.data, der.len, err) < 0)
        return -1;
    return content_files_add(&content->files, content->path, "", content->text.data, content->text.len, err);
}

/* The DER is only armoured, not parsed: any bytes pass. */
static int make_cert(const struct vault_object *object, struct content *content, struct error **err)
{
    cleanup_secret struct secret *der =
        base64_decode((const char *)secret_bytes(object->value), secret_len(object->value), err);
    buffer_init(&content->text, PEM_MAX);
    if (der == NULL || pem_append(&content->text, "CERTIFICATE", secret_bytes(der), secret_len(der), err) < 0)
        return -1;
    return content_files_add(&content->files, content->path, "", content->text.data, content->text.len, err);
}

int content_make(const struct content_options *options, const struct object_item *item, const char *path,
                 const struct vault_object *object, struct pem_conversion *pem, struct content *ret_content,
                 struct error **err)
{
    struct content content = {.path = path};
    assert(pem != NULL || !content_needs_pem(item, object));
    int result = item->type == OBJECT_SECRET ? make_secret(options, item, object, pem, &content, err)
                 : item->type == OBJECT_KEY  ? make_key(object, &content, err)
                                             : make_cert(object, &content, err);
    if (result < 0) {
        content_finish(&content);
        return -1;
    }
    *ret_content = content;
    return 0;
}

void content_finish(struct content *content)
{
    content_files_finish(&content->files);
    buffer_finish(&content->text);
    buffer_finish(&content->certificates);
    buffer_finish(&content->keys);
    secret_destroy(content->decoded);
    cJSON_Delete(content->json);
    pem_conversion_unref(content->pem);
    *content = (struct content){0};
}
