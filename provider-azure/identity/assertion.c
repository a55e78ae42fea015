/*
 * assertion.c - client assertions signed with an application's certificate.
 */
#include "provider-azure/identity/assertion.h"

#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "common/crypto/digest.h"
#include "common/crypto/encoding.h"
#include "common/crypto/kernel_random.h"

enum { GUID_LEN = 36 };

/* A random GUID (RFC 9562, version 4). */
static int make_guid(char ret[GUID_LEN + 1], struct error **err)
{
    uint8_t b[16];
    if (kernel_random(NULL, b, sizeof(b)) != 0)
        return error_set(err, GRPC_STATUS_INTERNAL, "the kernel returned no random bytes");
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    (void)snprintf(ret, GUID_LEN + 1, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                   b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
                   b[14], b[15]);
    return 0;
}

/* Appends an object's text as base64url. */
static int append_part(struct buffer *out, const cJSON *json, struct error **err)
{
    cleanup_secret_free char *text = json_print(json, err);
    return text == NULL ? -1 : base64url_append(out, text, strlen(text), err);
}

static int append_header(const struct app_certificate *certificate, const struct assertion_input *input,
                         struct buffer *out, struct error **err)
{
    bool pss = input->scheme == SIGNATURE_PS256;
    const uint8_t *der = secret_bytes(certificate->certificate);
    size_t der_len = secret_len(certificate->certificate);
    uint8_t thumbprint[DIGEST_SHA256_LEN];
    cleanup_buffer struct buffer encoded;
    buffer_init(&encoded, 64);

    int failed = pss ? digest_sha256(der, der_len, thumbprint) : thumbprint_sha1(der, der_len, thumbprint);
    if (failed != 0)
        return error_set(err, GRPC_STATUS_INTERNAL, "the certificate's thumbprint cannot be computed");
    if (base64url_append(&encoded, thumbprint, pss ? DIGEST_SHA256_LEN : THUMBPRINT_SHA1_LEN, err) < 0)
        return -1;
    cleanup_json cJSON *json = cJSON_CreateObject();
    if (cJSON_AddStringToObject(json, "alg", pss ? "PS256" : "RS256") == NULL ||
        cJSON_AddStringToObject(json, "typ", "JWT") == NULL ||
        cJSON_AddStringToObject(json, pss ? "x5t#S256" : "x5t", buffer_str(&encoded)) == NULL)
        return error_no_memory(err, NULL);
    return append_part(out, json, err);
}

static int append_claims(const struct assertion_input *input, struct buffer *out, struct error **err)
{
    char id[GUID_LEN + 1];
    double begin = (double)(input->now_unix - ASSERTION_BACKDATED_S);
    double end = (double)(input->now_unix + ASSERTION_LIFE_S);

    if (make_guid(id, err) < 0)
        return -1;
    cleanup_json cJSON *json = cJSON_CreateObject();
    if (cJSON_AddStringToObject(json, "aud", input->audience) == NULL ||
        cJSON_AddStringToObject(json, "iss", input->client_id) == NULL ||
        cJSON_AddStringToObject(json, "sub", input->client_id) == NULL ||
        cJSON_AddStringToObject(json, "jti", id) == NULL ||
        cJSON_AddNumberToObject(json, "nbf", begin) == NULL ||
        cJSON_AddNumberToObject(json, "iat", begin) == NULL ||
        cJSON_AddNumberToObject(json, "exp", end) == NULL)
        return error_no_memory(err, NULL);
    return append_part(out, json, err);
}

int assertion_make(const struct app_certificate *certificate, const struct assertion_input *input,
                   struct buffer *out, struct error **err)
{
    uint8_t signature[SIGNATURE_MAX];
    size_t signature_len = 0;
    size_t start = out->len;

    if (append_header(certificate, input, out, err) < 0 || buffer_append_str(out, ".", err) < 0 ||
        append_claims(input, out, err) < 0 ||
        signing_key_sign(certificate->key, input->scheme, out->data + start, out->len - start, signature,
                         &signature_len, err) < 0 ||
        buffer_append_str(out, ".", err) < 0)
        return -1;
    return base64url_append(out, signature, signature_len, err);
}
