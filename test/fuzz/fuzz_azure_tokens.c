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
    cleanup_string_map struct string_map attributes = {0};
    static const struct identity_switches modes[] = {{0}, {.token_proxy = true}};
    char *text = malloc(size + 1);
    if (text == NULL)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    if (string_map_set(&attributes, "clientID", "app", NULL) < 0 ||
        string_map_set(&attributes, "csi.storage.k8s.io/serviceAccount.tokens", text, NULL) < 0)
        abort();
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        cleanup_credentials struct credentials credentials = {0};
        cleanup_error struct error *error = NULL;
        int result = credentials_parse(&modes[i], &attributes, NULL, &credentials, &error);
        if ((result == 0) != (error == NULL) || (result == 0 && secret_len(credentials.credential) == 0))
            abort();
    }
    (void)timestamp_parse(text);
    (void)timestamp_is_rfc3339(text);
    free(text);
    return 0;
}
