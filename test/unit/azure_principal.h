/*
 * azure_principal.h - for tests: a service principal with a token, who reads a vault.
 */
#ifndef TEST_UNIT_AZURE_PRINCIPAL_H
#define TEST_UNIT_AZURE_PRINCIPAL_H

#include <stdio.h>
#include <string.h>

#include "provider-azure/identity/identity.h"
#include "provider-azure/identity/token.h"

struct principal {
    struct identity *identity;
    struct token *token;
};

/* The token is "token-NAME", of 1700000000 (test_azure_fake.h) and valid for a day. */
static inline struct principal principal_create(const char *name)
{
    enum { NOW_UNIX = 1700000000, A_DAY = 86400 };
    struct principal principal = {0};
    struct cloud cloud = {0};
    struct credentials credentials = {.mode = IDENTITY_SERVICE_PRINCIPAL};
    char token[64];

    assert_int_equal(cloud_resolve("AzurePublicCloud", NULL, &cloud, NULL), 0);
    credentials.client_id = strdup(name);
    credentials.credential = secret_from_bytes("x", 1);
    const struct identity_input input = {.credentials = &credentials,
                                         .cloud = &cloud,
                                         .tenant = "tenant1",
                                         .pod_name = "p",
                                         .pod_namespace = "n"};
    principal.identity = identity_create(&input, NULL);
    assert_non_null(principal.identity);
    credentials_finish(&credentials);
    cloud_finish(&cloud);
    (void)snprintf(token, sizeof(token), "token-%s", name);
    principal.token = token_create(principal.identity->principal, token, NOW_UNIX + A_DAY, 0, NOW_UNIX, NULL);
    return principal;
}

static inline void principal_destroy(struct principal *principal)
{
    token_unref(principal->token);
    identity_unref(principal->identity);
}

#endif
