/*
 * vault_resource.c - one request without a token.
 */
#include "provider-azure/vault/vault_resource.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/challenge.h"
#include "provider-azure/vault/vault_call.h"
#include "provider-azure/vault/vault_json.h"

struct vault_resource {
    char *host;
    struct http_retry *http;
    vault_resource_callback *callback;
    void *arg;
};

static void query_free(struct vault_resource *query)
{
    http_retry_cancel(&query->http);
    free(query->host);
    free(query);
}

static void cut_end(char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    if (len > end_len && strcmp(text + len - end_len, end) == 0)
        text[len - end_len] = '\0';
}

/* The caller frees. NULL with err set. */
static char *read_resource(const struct vault_resource *query, const struct http_reply *reply,
                           struct error **err)
{
    cleanup_http_challenge struct http_challenge challenge = {0};
    if (reply->status != 401 || reply->challenge == NULL) {
        (void)error_set(err, GRPC_STATUS_UNAVAILABLE, "%s sends no challenge (HTTP %d)", query->host,
                        reply->status);
        return NULL;
    }
    if (http_challenge_parse(reply->challenge, &challenge, err) < 0) {
        (void)error_wrap(err, "challenge of %s", query->host);
        return NULL;
    }
    char *resource = challenge.scope != NULL ? steal_ptr(&challenge.scope) : steal_ptr(&challenge.resource);
    if (resource == NULL || !vault_host_is_below(query->host, resource)) {
        (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                        "the challenge of %s has the resource \"%.200s\", which is not above it", query->host,
                        resource != NULL ? resource : "");
        if (resource != NULL)
            (void)error_hint(
                err,
                "if it is the audience of your vaults, as on Azure Stack Hub, write it into keyVaultEndpoint of the cloud file");
        free(resource);
        return NULL;
    }
    cut_end(resource, "/.default");
    cut_end(resource, "/");
    return resource;
}

static void on_reply(struct http_reply *reply, const struct error *error, unsigned tries, void *arg)
{
    struct vault_resource *query = arg;
    vault_resource_callback *callback = query->callback;
    void *callback_arg = query->arg;
    cleanup_error struct error *failure = NULL;
    (void)tries;

    query->http = NULL;
    cleanup_free char *resource = reply != NULL ? read_resource(query, reply, &failure) : NULL;
    query_free(query);
    callback(resource, reply != NULL ? failure : error, callback_arg);
}

struct vault_resource *vault_resource_start(const struct network *network, const struct vault *vault,
                                            struct egress *egress, uint64_t deadline_ms,
                                            vault_resource_callback *callback, void *arg, struct error **err)
{
    cleanup_free char *url = NULL;
    struct vault_resource *query = calloc(1, sizeof(*query));
    if (query == NULL || asprintf(&url, "%s%s?api-version=" VAULT_API_VERSION, vault->url,
                                  vault->hsm ? "keys" : "secrets") < 0) {
        url = NULL;
        free(query);
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *query = (struct vault_resource){.host = strdup(vault->host), .callback = callback, .arg = arg};
    const struct http_retry_request request = {
        .service = "vault",
        .host = vault->host,
        .method = "GET",
        .url = url,
        .headers = {"Accept: application/json"},
        .max_response_bytes = VAULT_RESPONSE_MAX,
        .proxy = HTTP_PROXY_ENVIRONMENT,
        .egress = egress,
        .policy = &retry_service,
        .deadline_ms = deadline_ms,
    };
    if (query->host == NULL)
        (void)error_no_memory(err, NULL);
    else
        query->http = http_retry_start(network, &request, on_reply, query, err);
    if (query->http != NULL)
        return query;
    query_free(query);
    return NULL;
}

void vault_resource_cancel(struct vault_resource **query)
{
    struct vault_resource *gone = steal_ptr(query);
    if (gone != NULL)
        query_free(gone);
}
