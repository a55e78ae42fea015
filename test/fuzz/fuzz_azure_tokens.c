/*
 * fuzz_azure_tokens.c - the JSON of service account tokens that the kubelet hands over.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "provider-azure/identity/credentials.h"
#include "provider-azure/identity/timestamp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (text == NULL)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    for (int binding = 0; binding < 2; binding++) {
        const struct credential_parameters parameters = {
            .use_token_proxy = binding == 1, .client_id = "app", .service_account_tokens = text};
        cleanup_credentials struct credentials credentials = {0};
        cleanup_error struct error *error = NULL;
        int result = credentials_parse(&parameters, &credentials, &error);
        if ((result == 0) != (error == NULL) || (result == 0 && secret_len(credentials.credential) == 0))
            abort();
    }
    (void)timestamp_from_json(&(cJSON){.type = cJSON_String, .valuestring = text});
    (void)timestamp_is_rfc3339(text);
    free(text);
    return 0;
}
