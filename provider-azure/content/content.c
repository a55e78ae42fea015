/*
 * content.c - encodings, public keys and certificates.
 */
#include "provider-azure/content/content.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/crypto/encoding.h"
#include "common/crypto/pem.h"
#include "provider-azure/crypto/spki.h"
#include "provider-azure/objects/object_path.h"
#include "provider-azure/vault/vault_json.h"

/* A PEM file of a key or a certificate. */
enum { PEM_MAX = 1024 * 1024 };

static int add_part(struct content *content, const char *suffix, const void *bytes, size_t len,
                    struct error **err)
{
    struct content_part *grown = reallocarray(content->parts, content->n_parts + 1, sizeof(*grown));
    if (grown == NULL)
        return error_no_memory(err, NULL);
    content->parts = grown;
    content->parts[content->n_parts] =
        (struct content_part){.suffix = strdup(suffix), .bytes = bytes, .len = len};
    return content->parts[content->n_parts++].suffix == NULL ? error_no_memory(err, NULL) : 0;
}

static int add_text(struct content *content, struct error **err)
{
    return add_part(content, "", content->text.data, content->text.len, err);
}

/* PKCS#12 to PEM in content->text. */
static int convert_pfx(const struct content_options *options, const struct object_item *item,
                       const struct secret *pfx, struct content *content, struct error **err)
{
    static const char *const warnings[] = {
        [CERTIFICATE_CHAIN_INCOMPLETE] =
            "certificate chain is not complete due to missing intermediate/root certificates in the cert from key vault",
        [CERTIFICATE_CHAIN_UNREADABLE] =
            "certificates cannot be ordered, they are written as they were stored",
    };
    enum certificate_chain chain = CERTIFICATE_CHAIN_ORDERED;

    buffer_init(&content->text, PEM_MAX);
    if (certificate_pem_from_pfx((const char *)secret_bytes(pfx), secret_len(pfx), options->order,
                                 &content->text, &chain, err) < 0)
        return -1;
    if (chain != CERTIFICATE_CHAIN_ORDERED)
        log_warning(options->log, warnings[chain], LOG_STR("object", item->name));
    return 0;
}

static int add_separate(const char *pem, size_t len, struct content *content, struct error **err)
{
    buffer_init(&content->certificates, PEM_MAX);
    buffer_init(&content->keys, PEM_MAX);
    if (certificate_split_pem(pem, len, &content->certificates, &content->keys, err) < 0 ||
        add_part(content, ".crt", content->certificates.data, content->certificates.len, err) < 0)
        return -1;
    return add_part(content, ".key", content->keys.data, content->keys.len, err);
}

/* Decodes the text by the item's encoding; the parts are made of the result. */
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

/* The secret behind a certificate, by its content type. */
static int make_certificate_secret(const struct content_options *options, const struct object_item *item,
                                   const struct vault_object *object, struct content *content,
                                   struct error **err)
{
    bool is_pfx = strcmp(object->content_type, "application/x-pkcs12") == 0;
    const char *text = (const char *)secret_bytes(object->value);
    size_t len = secret_len(object->value);

    if (!is_pfx && strcmp(object->content_type, "application/x-pem-file") != 0)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "failed to get certificate. unknown content type '%.64s'", object->content_type);
    if (item->split != OBJECT_WHOLE)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "objectSplit: json, but the secret belongs to a certificate");
    if (is_pfx && item->format == OBJECT_PEM) {
        if (convert_pfx(options, item, object->value, content, err) < 0)
            return -1;
        text = buffer_str(&content->text);
        len = content->text.len;
    }
    /* PEM is neither base64 nor hex: with such an encoding this fails, with or without separate files. */
    if (decode(item, &text, &len, content, err) < 0)
        return -1;
    bool is_pem = !is_pfx || item->format == OBJECT_PEM;
    if (options->separate_files && is_pem && add_separate(text, len, content, err) < 0)
        return -1;
    return add_part(content, "", text, len, err);
}

/* --- JSON to files --- */

/* A member's name becomes part of a path; that is checked again with all paths of the mount. */
static int check_member(const char *name, size_t index, struct error **err)
{
    for (const char *c = name; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                             "objectSplit: json: the name of member %zu has a control character", index);
    }
    if (object_path_check(name, err) < 0) {
        error_recode(err, GRPC_STATUS_FAILED_PRECONDITION);
        return error_wrap(err, "objectSplit: json: member \"%.128s\"", name);
    }
    return 0;
}

static int split_json(const char *text, size_t len, struct content *content, struct error **err)
{
    content->json = json_parse(text, len, VAULT_RESPONSE_MAX, err);
    if (content->json == NULL) {
        error_recode(err, GRPC_STATUS_FAILED_PRECONDITION);
        error_wrap(err, "objectSplit: json");
        return error_check_memory(err, "objectSplit: json");
    }
    if (!cJSON_IsObject(content->json))
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "objectSplit: json: the secret is not a JSON object");
    size_t n = (size_t)cJSON_GetArraySize(content->json);
    if (n > CONTENT_SPLIT_MAX)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "objectSplit: json: %zu members, at most %d are allowed", n, CONTENT_SPLIT_MAX);
    cleanup_free struct json_text *values = calloc(n + 1, sizeof(*values));
    if (values == NULL)
        return error_no_memory(err, NULL);
    json_member_texts(text, len, values, n);

    const cJSON *member = content->json->child;
    for (size_t i = 0; i < n; i++, member = member->next) {
        cleanup_free char *suffix = NULL;
        if (check_member(member->string, i, err) < 0)
            return -1;
        if (asprintf(&suffix, "/%s", member->string) < 0) {
            suffix = NULL;
            return error_no_memory(err, NULL);
        }
        /* A string is the text it stands for; anything else is written as it stands in the secret. */
        int added = cJSON_IsString(member)
                        ? add_part(content, suffix, member->valuestring, strlen(member->valuestring), err)
                        : add_part(content, suffix, values[i].at, values[i].len, err);
        if (added < 0)
            return -1;
    }
    return 0;
}

/* A secret that backs a certificate is converted by its content type; any other is passed on as it is. */
static int make_secret(const struct content_options *options, const struct object_item *item,
                       const struct vault_object *object, struct content *content, struct error **err)
{
    const char *text = (const char *)secret_bytes(object->value);
    size_t len = secret_len(object->value);

    if (object->certificate)
        return make_certificate_secret(options, item, object, content, err);
    if (decode(item, &text, &len, content, err) < 0)
        return -1;
    if (item->split == OBJECT_SPLIT_JSON)
        return split_json(text, len, content, err);
    return add_part(content, "", text, len, err);
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
    return add_text(content, err);
}

/* The DER is only armoured, not parsed: any bytes pass. */
static int make_cert(const struct vault_object *object, struct content *content, struct error **err)
{
    cleanup_secret struct secret *der =
        base64_decode((const char *)secret_bytes(object->value), secret_len(object->value), err);
    buffer_init(&content->text, PEM_MAX);
    if (der == NULL || pem_append(&content->text, "CERTIFICATE", secret_bytes(der), secret_len(der), err) < 0)
        return -1;
    return add_text(content, err);
}

int content_make(const struct content_options *options, const struct object_item *item,
                 const struct vault_object *object, struct content *ret_content, struct error **err)
{
    struct content content = {0};
    int result = item->type == OBJECT_SECRET ? make_secret(options, item, object, &content, err)
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
    for (size_t i = 0; i < content->n_parts; i++)
        free(content->parts[i].suffix);
    free(content->parts);
    buffer_finish(&content->text);
    buffer_finish(&content->certificates);
    buffer_finish(&content->keys);
    secret_destroy(content->decoded);
    cJSON_Delete(content->json);
    *content = (struct content){0};
}
