/*
 * managed_identity.c - the managed identity of the node's virtual machine, from its instance metadata service
 * (IMDS).
 *
 * Never through a proxy: the address is link-local, and a proxy would hand out its own host's identity.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/utf8.h"
#include "provider-azure/identity/identity.h"
#include "provider-azure/identity/timestamp.h"

enum { IMDS_RESPONSE_MAX = 256 * 1024, IMDS_TEXT_MAX = 300 };

static int build_request(const struct identity *identity, const struct token_request_context *context,
                         struct token_request *request, struct error **err)
{
    (void)context;
    cleanup_free char *resource = http_escape(identity->resource);
    cleanup_free char *client = http_escape(identity->client_id);
    cleanup_free char *url = NULL;

    request->service = "imds";
    request->method = "GET";
    request->proxy = HTTP_PROXY_NONE;
    request->policy = &retry_imds;
    if (resource == NULL || client == NULL ||
        asprintf(&url, "%s/metadata/identity/oauth2/token?api-version=2018-02-01&resource=%s%s%s",
                 identity->endpoint, resource, *client != '\0' ? "&client_id=" : "", client) < 0) {
        url = NULL;
        return error_no_memory(err, NULL);
    }
    if (token_request_set_url(request, url, err) < 0)
        return -1;
    return token_request_add_header(request, "Metadata", "true", err);
}

/* What may be wrong when IMDS gives no token. */
static const char *hint_for(const struct identity *identity, const char *name, const char *description)
{
    if (*identity->client_id == '/')
        return "userAssignedIdentityID is a resource id, and must be the client id";
    if (name != NULL && strcmp(name, "invalid_resource") == 0)
        return "the vault's resource is not known to the identity's tenant: check cloudName";
    if (*identity->client_id != '\0')
        return "userAssignedIdentityID must be the client id of an identity assigned to the node";
    if (description != NULL && strstr(description, "Identity not found") != NULL)
        return "no identity is assigned to this node's virtual machine or scale set";
    return "with several user-assigned identities set userAssignedIdentityID";
}

static void refuse(const struct identity *identity, const struct http_reply *reply, const cJSON *root,
                   struct error **err)
{
    const char *name = NULL;
    const char *description = NULL;
    char quoted[IMDS_TEXT_MAX + 1];
    char text[IMDS_TEXT_MAX + 1];

    (void)json_opt_string(root, "error", &name, NULL);
    (void)json_opt_string(root, "error_description", &description, NULL);
    (void)snprintf(quoted, sizeof(quoted), "%s%s%s", name != NULL ? name : "no JSON error in the response",
                   description != NULL ? ": " : "", description != NULL ? description : "");
    utf8_quote(text, sizeof(text), quoted);
    const char *hint = hint_for(identity, name, description);
    if (reply->status == 400 && *identity->client_id != '\0')
        error_set(
            err, GRPC_STATUS_UNAUTHENTICATED,
            "IMDS refused (HTTP 400): the requested identity isn't assigned to this resource: %s [hint: %s]",
            text, hint);
    else if (reply->status == 400)
        error_set(err, GRPC_STATUS_UNAUTHENTICATED,
                  "IMDS refused (HTTP 400): failed to authenticate a system assigned identity: %s [hint: %s]",
                  text, hint);
    else if (reply->status == 429)
        error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "IMDS throttles this node (HTTP 429): %s", text);
    else if (reply->status == 403)
        error_set(err, GRPC_STATUS_UNAUTHENTICATED, "IMDS is blocked or behind a proxy (HTTP 403): %s", text);
    else
        error_set(err, GRPC_STATUS_UNAVAILABLE, "IMDS returned HTTP %d: %s", reply->status, text);
}

static struct token *parse_response(const struct identity *identity, const struct http_reply *reply,
                                    const struct secret *sent, int64_t now_unix, struct error **err)
{
    (void)sent; /* no credential is sent */
    cleanup_json cJSON *root =
        json_parse((const char *)reply->body.data, reply->body.len, IMDS_RESPONSE_MAX, NULL);
    const char *text = NULL;
    int64_t expires = -1;
    int64_t expires_in = 0;
    int64_t refresh_in = 0;

    if (reply->status != 200) {
        refuse(identity, reply, root, err);
        return NULL;
    }
    if (!cJSON_IsObject(root) || json_get_string(root, "access_token", &text, NULL) < 0 || *text == '\0') {
        error_set(err, GRPC_STATUS_UNAVAILABLE, "IMDS's response has no access_token");
        error_check_memory(err, "IMDS's response");
        return NULL;
    }
    /* A duration first: a node whose clock is ahead of IMDS's would take each token for an expired one. */
    if (json_opt_int(root, "expires_in", 0, &expires_in, NULL) == 0 && expires_in > 0)
        expires = now_unix + token_life(expires_in);
    else
        expires = timestamp_from_json(cJSON_GetObjectItemCaseSensitive(root, "expires_on"));
    if (expires < 0)
        expires = now_unix; /* usable once, not kept */
    (void)json_opt_int(root, "refresh_in", 0, &refresh_in, NULL);
    return token_create(identity->principal, text, expires, refresh_in, now_unix, err);
}

const struct identity_ops managed_identity_ops = {
    .mode = IDENTITY_MANAGED,
    .no_response =
        "no response from IMDS [hint: the node must be in Azure; where pods may not reach IMDS the provider needs the node's network (hostNetwork)]",
    .build_request = build_request,
    .parse_response = parse_response,
};
