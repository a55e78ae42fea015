/*
 * pod.c - aad-pod-identity: the node's NMI hands out the token of the identity bound to the pod.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "provider-azure/base/parameter_text.h"
#include "provider-azure/identity/identity.h"
#include "provider-azure/identity/timestamp.h"

enum { NMI_ANSWER_MAX = 256 * 1024, NMI_TEXT_MAX = 300 };

static int prepare(const struct identity *identity, const struct identity_moment *moment,
                   struct identity_question *question, struct error **err)
{
    (void)moment;
    cleanup_free char *resource = http_escape(identity->resource);
    cleanup_free char *url = NULL;

    question->service = "nmi";
    question->method = "GET";
    question->proxy = HTTP_PROXY_NONE;
    question->policy =
        &retry_never; /* NMI itself waits for the identity to be assigned, and the kubelet mounts again */
    if (resource == NULL || asprintf(&url, "%s/host/token/?resource=%s", identity->endpoint, resource) < 0) {
        url = NULL;
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    if (question_set_url(question, url, err) < 0 ||
        question_add_header(question, "podname", identity->pod_name, err) < 0)
        return -1;
    return question_add_header(question, "podns", identity->pod_namespace, err);
}

static void refuse(const struct reply *reply, struct error **err)
{
    char text[NMI_TEXT_MAX + 1];
    text_quote(text, sizeof(text), buffer_str(&reply->body));
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

static struct token *understand(const struct identity *identity, const struct reply *reply, int64_t now_unix,
                                struct error **err)
{
    const cJSON *inner = NULL;
    const char *text = NULL;
    const char *client = NULL;
    int64_t expires = -1;

    if (reply->status != 200) {
        refuse(reply, err);
        return NULL;
    }
    cleanup_json cJSON *root =
        json_parse((const char *)reply->body.data, reply->body.len, NMI_ANSWER_MAX, NULL);
    if (!cJSON_IsObject(root) || json_get_object(root, "token", &inner, NULL) < 0 ||
        json_get_string(inner, "access_token", &text, NULL) < 0 ||
        json_get_string(root, "clientid", &client, NULL) < 0 || *text == '\0' || *client == '\0') {
        error_set(err, GRPC_STATUS_UNAVAILABLE,
                  "nmi did not return expected values in response: token and clientid");
        error_check_memory(err, "nmi's answer");
        return NULL;
    }
    expires = moment_from_json(cJSON_GetObjectItemCaseSensitive(inner, "expires_on"));
    struct token *token = token_make(identity, text, expires > 0 ? expires : now_unix, 0, now_unix, err);
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

const struct identity_ops identity_pod = {
    .mode = AUTH_POD_IDENTITY,
    .unanswered =
        "no answer from NMI [hint: aad-pod-identity must run on this node, and the provider in the node's network (hostNetwork)]",
    .prepare = prepare,
    .understand = understand,
};
