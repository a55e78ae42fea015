/*
 * jwt.c - see jwt.h.
 */
#include "test/emulator/jwt.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>

#include "test/emulator/base64.h"
#include "test/emulator/memory.h"

enum { P256_BYTES = 32, MAX_DIGEST = 64 };

static cJSON *decode_object(const char *text, size_t len)
{
    size_t plain_len = 0;
    char *encoded = strndup(text, len);
    char *plain = encoded != NULL ? base64_decode(encoded, &plain_len) : NULL;
    cJSON *json = plain != NULL ? cJSON_ParseWithLength(plain, plain_len) : NULL;
    free(encoded);
    free(plain);
    if (cJSON_IsObject(json))
        return json;
    cJSON_Delete(json);
    return NULL;
}

bool jwt_parse(struct jwt *jwt, const char *text)
{
    *jwt = (struct jwt){.text = text};
    const char *claims = strchr(text, '.');
    const char *signature = claims != NULL ? strchr(claims + 1, '.') : NULL;
    if (signature == NULL || strchr(signature + 1, '.') != NULL)
        return false;
    jwt->text_len = (size_t)(signature - text);
    jwt->header = decode_object(text, (size_t)(claims - text));
    jwt->claims = decode_object(claims + 1, (size_t)(signature - claims - 1));
    jwt->signature = base64_decode(signature + 1, &jwt->signature_len);
    return jwt->header != NULL && jwt->claims != NULL && jwt->signature != NULL;
}

void jwt_finish(struct jwt *jwt)
{
    cJSON_Delete(jwt->header);
    cJSON_Delete(jwt->claims);
    free(jwt->signature);
    *jwt = (struct jwt){0};
}

static const char *string_in(const cJSON *json, const char *name)
{
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
    return value != NULL ? value : "";
}

const char *jwt_claim(const struct jwt *jwt, const char *name)
{
    /* "aud" may be a list (RFC 7519, 4.1.3); Kubernetes writes one with a single entry */
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(jwt->claims, name);
    if (cJSON_IsArray(value) && cJSON_GetArraySize(value) == 1) {
        const char *only = cJSON_GetStringValue(cJSON_GetArrayItem(value, 0));
        return only != NULL ? only : "";
    }
    return string_in(jwt->claims, name);
}

const char *jwt_header(const struct jwt *jwt, const char *name)
{
    return string_in(jwt->header, name);
}

double jwt_number(const struct jwt *jwt, const char *name, double otherwise)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(jwt->claims, name);
    return cJSON_IsNumber(value) ? value->valuedouble : otherwise;
}

/* ---- signatures ---- */

/* gnutls takes unsigned, non-const bytes and reads them only. */
static gnutls_datum_t datum_of(const void *bytes, size_t len)
{
    union {
        const void *in;
        unsigned char *out;
    } both = {.in = bytes};
    return (gnutls_datum_t){.data = both.out, .size = (unsigned)len};
}

static gnutls_x509_crt_t import_certificate(const char *pem)
{
    gnutls_x509_crt_t crt = NULL;
    gnutls_datum_t datum = datum_of(pem, strlen(pem));
    if (gnutls_x509_crt_init(&crt) < 0)
        return NULL;
    if (gnutls_x509_crt_import(crt, &datum, GNUTLS_X509_FMT_PEM) < 0) {
        gnutls_x509_crt_deinit(crt);
        return NULL;
    }
    return crt;
}

static bool import_key(gnutls_pubkey_t key, const char *pem)
{
    gnutls_x509_crt_t crt = import_certificate(pem);
    if (crt != NULL) {
        int imported = gnutls_pubkey_import_x509(key, crt, 0);
        gnutls_x509_crt_deinit(crt);
        return imported >= 0;
    }
    gnutls_datum_t datum = datum_of(pem, strlen(pem));
    return gnutls_pubkey_import(key, &datum, GNUTLS_X509_FMT_PEM) >= 0;
}

static bool listed(const char *algorithms, const char *name)
{
    size_t len = strlen(name);
    for (const char *at = algorithms; len > 0 && (at = strstr(at, name)) != NULL; at += len)
        if ((at == algorithms || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
            return true;
    return false;
}

/* ES256 writes r and s side by side (RFC 7518, 3.4). */
static bool verify_es256(gnutls_pubkey_t key, const gnutls_datum_t *text, const struct jwt *jwt)
{
    gnutls_datum_t encoded = {0};
    if (jwt->signature_len != 2 * (size_t)P256_BYTES)
        return false;
    gnutls_datum_t r = datum_of(jwt->signature, P256_BYTES);
    gnutls_datum_t s = datum_of(jwt->signature + P256_BYTES, P256_BYTES);
    if (gnutls_encode_rs_value(&encoded, &r, &s) < 0)
        return false;
    int verified = gnutls_pubkey_verify_data2(key, GNUTLS_SIGN_ECDSA_SHA256, 0, text, &encoded);
    gnutls_free(encoded.data);
    return verified >= 0;
}

bool jwt_verify(const struct jwt *jwt, const char *pem, const char *algorithms)
{
    const char *algorithm = jwt_header(jwt, "alg");
    gnutls_pubkey_t key = NULL;
    bool good = false;
    if (!listed(algorithms, algorithm) || gnutls_pubkey_init(&key) < 0)
        return false;
    if (import_key(key, pem)) {
        gnutls_datum_t text = datum_of(jwt->text, jwt->text_len);
        gnutls_datum_t signature = datum_of(jwt->signature, jwt->signature_len);
        int type = gnutls_pubkey_get_pk_algorithm(key, NULL);
        if (strcmp(algorithm, "RS256") == 0 && type == GNUTLS_PK_RSA)
            good = gnutls_pubkey_verify_data2(key, GNUTLS_SIGN_RSA_SHA256, 0, &text, &signature) >= 0;
        else if (strcmp(algorithm, "PS256") == 0 && type == GNUTLS_PK_RSA)
            good = gnutls_pubkey_verify_data2(key, GNUTLS_SIGN_RSA_PSS_SHA256, 0, &text, &signature) >= 0;
        else if (strcmp(algorithm, "ES256") == 0 && type == GNUTLS_PK_ECDSA)
            good = verify_es256(key, &text, jwt);
    }
    gnutls_pubkey_deinit(key);
    return good;
}

char *certificate_thumbprint(const char *pem, bool sha256)
{
    unsigned char digest[MAX_DIGEST];
    size_t len = sizeof(digest);
    gnutls_x509_crt_t crt = import_certificate(pem);
    if (crt == NULL)
        return NULL;
    int failed =
        gnutls_x509_crt_get_fingerprint(crt, sha256 ? GNUTLS_DIG_SHA256 : GNUTLS_DIG_SHA1, digest, &len);
    gnutls_x509_crt_deinit(crt);
    return failed < 0 ? NULL : base64url_encode(digest, len);
}
