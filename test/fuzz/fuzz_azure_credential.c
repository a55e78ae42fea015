/*
 * fuzz_azure_credential.c - a service principal's certificate as a Secret may hold it, with and without a
 * password. What is accepted must be able to sign.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "provider-azure/identity/assertion.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_password(const uint8_t *data, size_t size, const char *password, size_t password_len)
{
    cleanup_app_certificate struct app_certificate certificate = {0};
    if (app_certificate_read(data, size, password, password_len, NULL, &certificate, NULL) < 0)
        return;
    if (certificate.key == NULL || certificate.certificate == NULL)
        abort();
    const struct assertion_input input = {
        .audience = "https://a/", .client_id = "c", .scheme = SIGNATURE_PS256, .now_unix = 1700000000};
    cleanup_buffer struct buffer text;
    buffer_init(&text, ASSERTION_MAX_BYTES);
    (void)assertion_make(&certificate, &input, &text, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_password(data, size, "", 0);
    try_password(data, size, "pass", 4); /* the corpus has files with it */
    return 0;
}
