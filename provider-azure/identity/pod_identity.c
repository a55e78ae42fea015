/*
 * pod_identity.c - aad-pod-identity: the node's NMI hands out the token of the identity bound to the pod.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/utf8.h"
#include "provider-azure/identity/identity.h"
#include "provider-azure/identity/timestamp.h"

enum { NMI_RESPONSE_MAX = 256 * 1024, NMI_TEXT_MAX = 300 };

static int build_request(const struct identity *identity, const struct token_request_context *context,
                         struct token_request *request, struct error **err)
{
    (void)context;
    cleanup_free char *resource = http_escape(identity->resource);
    cleanup_free char *url = NULL;

    request->service = "nmi";
    request->method = "GET";
    request->proxy = HTTP_PROXY_NONE;
    request->policy =
        &retry_never; /* NMI itself waits for the identity to be assigned, and the kubelet mounts again */
    if (resource == NULL || asprintf(&url, "%s/host/token/?resource=%s", identity->endpoint, resource) < 0) {
        url = NULL;
        return error_no_memory(err, NULL);
    }
    if (token_request_set_url(request, url, err) < 0 ||
        token_request_add_header(request, "podname", identity->pod_name, err) < 0)
        return -1;
    return token_request_add_header(request, "podns", identity->pod_namespace, err);
}

static void refuse(const struct http_reply *reply, struct error **err)
{
    char text[NMI_TEXT_MAX + 1];
    utf8_quote(text, sizeof(text), buffer_str(&reply->body));
    enum grpc_status code = GRPC_STATUS_UNAVAILABLE;
    if (reply->status == 403)
        code = GRPC_STATUS_UNAUTHENTICATED;
    if (reply->status == 400)
        code = GRPC_STATUS_INVALID_ARGUMENT;
    error_set(err, code, "nmi response failed with status code: %d, response body: %s%s", reply->status, text,
              reply->status == 404
                  ? " [hint: no AzureAssignedIdentity for the pod; check its aadpodidbinding label]"
                  : "");
}

static struct token *parse_response(const struct identity *identity, const struct http_reply *reply,
                                    const struct secret *sent, int64_t now_unix, struct error **err)
{
    (void)sent; /* no credential is sent */
    const cJSON *inner = NULL;
    const char *text = NULL;
    const char *client = NULL;
    int64_t expires = -1;

    if (reply->status != 200) {
        refuse(reply, err);
        return NULL;
    }
    cleanup_json cJSON *root =
        json_parse((const char *)reply->body.data, reply->body.len, NMI_RESPONSE_MAX, NULL);
    if (!cJSON_IsObject(root) || json_get_object(root, "token", &inner, NULL) < 0 ||
        json_get_string(inner, "access_token", &text, NULL) < 0 ||
        json_get_string(root, "clientid", &client, NULL) < 0 || *text == '\0' || *client == '\0') {
        error_set(err, GRPC_STATUS_UNAVAILABLE,
                  "nmi did not return expected values in response: token and clientid");
        error_check_memory(err, "nmi's response");
        return NULL;
    }
    expires = timestamp_from_json(cJSON_GetObjectItemCaseSensitive(inner, "expires_on"));
    struct token *token =
        token_create(identity->principal, text, expires > 0 ? expires : now_unix, 0, now_unix, err);
    if (token == NULL)
        return NULL;
    /* Pods that are bound to the same identity are the same principal for the vault. */
    const struct digest_field fields[] = {{"nmi", 3},
                                          {identity->endpoint, strlen(identity->endpoint)},
                                          {identity->scope, strlen(identity->scope)},
                                          {client, strlen(client)}};
    digest_fields(fields, ARRAY_SIZE(fields), token->principal);
    return token;
}

const struct identity_ops pod_identity_ops = {
    .mode = IDENTITY_POD,
    .no_response =
        "no response from NMI [hint: aad-pod-identity must run on this node, and the provider in the node's network (hostNetwork)]",
    .build_request = build_request,
    .parse_response = parse_response,
};
