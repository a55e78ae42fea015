/*
 * fuzz_azure_identity.c - the token requests of each identity, and responses of Entra, IMDS and NMI, of any
 * status.
 *
 * A request goes to the identity's own service; a response of another status than 200 has no token.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "provider-azure/identity/identity.h"
#include "test/fuzz/fuzz.h"

static void build_request(const struct identity *identity)
{
    const struct token_proxy_endpoint endpoint = {
        .base = "https://sni/", .connect_to = "proxy:443", .host = "proxy", .ca_pem = "x", .ca_pem_len = 1};
    const struct token_request_context context = {.now_unix = 1700000000, .endpoint = &endpoint};
    struct token_request request = {0};

    if (identity->ops->build_request(identity, &context, &request, NULL) == 0 &&
        (request.host == NULL || strstr(request.url, request.host) == NULL))
        abort();
    token_request_finish(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int statuses[] = {200, 400, 401, 403, 404, 429, 500};
    static const struct {
        enum identity_mode mode;
        const char *credential;
    } modes[] = {{IDENTITY_SERVICE_PRINCIPAL, "s"},
                 {IDENTITY_WORKLOAD, "t"},
                 {IDENTITY_BINDING, "b"},
                 {IDENTITY_MANAGED, NULL},
                 {IDENTITY_POD, NULL}};
    if (size < 1)
        return 0;
    struct cloud cloud = {0};
    if (cloud_resolve("AzurePublicCloud", NULL, &cloud, NULL) < 0)
        abort();
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) { /* no request to the token proxy: any pointer does */
        char client[] = "client";
        struct credentials credentials = {.mode = modes[i].mode, .client_id = client};
        if (modes[i].credential != NULL)
            credentials.credential = secret_from_bytes(modes[i].credential, 1);
        const struct identity_input input = {
            .credentials = &credentials,
            .cloud = &cloud,
            .tenant = "tenant",
            .pod_name = "p",
            .pod_namespace = "n",
            .endpoints = {.imds = "http://imds",
                          .nmi = "http://nmi",
                          .token_proxy = (struct token_proxy *)(void *)&cloud}};
        struct identity *identity = identity_create(&input, NULL);
        struct http_reply reply = {.status = statuses[data[0] % ARRAY_SIZE(statuses)]};
        struct error *error = NULL;
        static const char echoed[] = "AADSTS7000215: invalid";
        struct secret *sent = secret_from_bytes(echoed, strlen(echoed));
        buffer_init(&reply.body, size);
        (void)buffer_append(&reply.body, data + 1, size - 1, NULL);
        if (identity != NULL) {
            build_request(identity);
            struct token *token = identity->ops->parse_response(identity, &reply, sent, 1700000000, &error);
            if ((token == NULL) == (error == NULL) || (token != NULL && reply.status != 200))
                abort();
            if (error != NULL)
                fuzz_expect_printable(error_message(error));
            token_unref(token);
        }
        secret_destroy(sent);
        error_free(error);
        buffer_finish(&reply.body);
        identity_unref(identity);
        secret_destroy(credentials.credential);
    }
    cloud_finish(&cloud);
    return 0;
}
