/*
 * base64.c - base64 text to secret bytes and back, by mbedTLS (constant time).
 */
#include "driver/kube/base64.h"

#include <mbedtls/base64.h>
#include <stdbool.h>
#include <string.h>

/* mbedTLS passes over an incomplete last group; a text that was cut short must not count. */
static bool is_whole_groups(const char *text)
{
    size_t n = 0;

    for (; *text != '\0'; text++)
        n += *text != '\n' && *text != '\r' && *text != ' ';
    return n % 4 == 0;
}

struct secret *kube_base64_decode(const char *text, size_t max_len, struct error **err)
{
    size_t text_len = strlen(text);
    size_t len = 0;
    struct secret *secret;
    int ret;

    ret = mbedtls_base64_decode(NULL, 0, &len, (const unsigned char *)text, text_len);
    if ((ret != MBEDTLS_ERR_BASE64_BUFFER_TOO_SMALL && ret != 0) || !is_whole_groups(text)) {
        (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "not base64");
        return NULL;
    }
    if (len > max_len) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "larger than %zu bytes", max_len);
        return NULL;
    }
    secret = secret_create(len);
    if (secret == NULL) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    if (len > 0 &&
        mbedtls_base64_decode(secret_data(secret), len, &len, (const unsigned char *)text, text_len) != 0) {
        secret_destroy(secret);
        (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "not base64");
        return NULL;
    }
    secret_truncate(secret, len);
    return secret;
}

char *kube_base64_encode(const void *bytes, size_t len)
{
    size_t size = (len + 2) / 3 * 4 + 1; /* the NUL included */
    char *text = secret_malloc(size);

    if (text == NULL)
        return NULL;
    if (mbedtls_base64_encode((unsigned char *)text, size, &size, bytes, len) != 0) { /* can not happen */
        secret_free(text);
        return NULL;
    }
    text[size] = '\0';
    return text;
}
