/*
 * vault_certificate.c - see vault_certificate.h.
 */
#include "test/emulator/vault_certificate.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "test/emulator/base64.h"
#include "test/emulator/memory.h"

enum { SHA1_BYTES = 20, MAX_SUBJECT = 512 };

static const char *string_of(const cJSON *json, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));
}

const char *vault_certificate_check(const cJSON *json)
{
    const char *type = string_of(json, "contentType");
    if (string_of(json, "cer") == NULL)
        return "'cer' is needed, base64 of DER";
    if (type != NULL && strcmp(type, "application/x-pkcs12") != 0 &&
        strcmp(type, "application/x-pem-file") != 0)
        return "'contentType' is application/x-pkcs12 or application/x-pem-file";
    return NULL;
}

/* Bytes that are no certificate get neither thumbprint nor subject; tests put such, too. */
static void add_facts(const char *base64, cJSON *list)
{
    char subject[MAX_SUBJECT];
    unsigned char thumbprint[SHA1_BYTES];
    size_t subject_len = sizeof(subject), thumbprint_len = sizeof(thumbprint), len = 0;
    gnutls_x509_crt_t crt = NULL;
    char *der = base64_decode(base64, &len);
    gnutls_datum_t datum = {.data = (unsigned char *)der, .size = (unsigned)len};
    if (der != NULL && gnutls_x509_crt_init(&crt) == 0 &&
        gnutls_x509_crt_import(crt, &datum, GNUTLS_X509_FMT_DER) == 0) {
        if (gnutls_x509_crt_get_fingerprint(crt, GNUTLS_DIG_SHA1, thumbprint, &thumbprint_len) == 0) {
            char *text = base64url_encode((const char *)thumbprint, thumbprint_len);
            cJSON_AddStringToObject(list, "x5t", text);
            free(text);
        }
        if (gnutls_x509_crt_get_dn(crt, subject, &subject_len) == 0)
            cJSON_AddStringToObject(list, "subject", subject);
    }
    if (crt != NULL)
        gnutls_x509_crt_deinit(crt);
    free(der);
}

void vault_certificate_describe(const cJSON *json, cJSON *list, cJSON *get)
{
    const char *type = string_of(json, "contentType");
    const char *kty = string_of(cJSON_GetObjectItemCaseSensitive(json, "key"), "kty");
    add_facts(string_of(json, "cer"), list);
    cJSON_AddStringToObject(get, "cer", string_of(json, "cer"));
    cJSON *policy = cJSON_AddObjectToObject(get, "policy");
    cJSON *key_props = cJSON_AddObjectToObject(policy, "key_props");
    cJSON_AddBoolToObject(key_props, "exportable", 1);
    cJSON_AddStringToObject(key_props, "kty", kty != NULL ? kty : "RSA");
    cJSON_AddBoolToObject(key_props, "reuse_key", 0);
    cJSON_AddStringToObject(cJSON_AddObjectToObject(policy, "secret_props"), "contentType",
                            type != NULL ? type : "application/x-pkcs12");
    cJSON_AddStringToObject(cJSON_AddObjectToObject(policy, "issuer"), "name", "Unknown");
}
