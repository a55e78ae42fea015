/*
 * vault_call.c - GETs to Key Vault: token, challenge, pages.
 */
#include "provider-azure/vault/vault_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/alloc.h"
#include "common/http/challenge.h"
#include "provider-azure/base/url.h"
#include "provider-azure/vault/vault.h"
#include "provider-azure/vault/vault_error.h"
#include "provider-azure/vault/vault_failure.h"
#include "provider-azure/vault/vault_json.h"

struct vault_call {
    const struct network *network;
    struct token_cache *cache;
    enum object_type type;
    enum vault_operation operation;
    bool renewed; /* the token was renewed once */
    char *host;
    char *url; /* of the object, or of the page being read */
    struct identity *identity;
    struct token *token;
    uint64_t deadline_ms;
    uint64_t flow;
    bool gives_way;
    uint64_t waits_since_ms;           /* the first of those that wait for it */
    uint64_t since_ms;                 /* its start */
    uint64_t read_ms;                  /* list: when the first page was requested; 0 = not read yet */
    struct http_retry *http;           /* REQUEST */
    struct token_waiter *token_waiter; /* RENEW */
    struct vault_list_filter *filter;  /* of a list */
    struct vault_lists *lists;
    struct vault_response *list; /* what the pages gave so far */
    unsigned pages;
    struct error *refusal; /* RENEW: what the vault said, in case no other token can be had */
    vault_callback *callback;
    void *arg;
};

/* The caller frees. NULL on lack of memory. */
static char *query_url(const struct vault_query *query)
{
    static const char *const kinds[] = {
        [OBJECT_SECRET] = "secrets", [OBJECT_KEY] = "keys", [OBJECT_CERT] = "certificates"};
    cleanup_free char *name = http_escape(query->name);
    cleanup_free char *version =
        http_escape(query->operation == VAULT_LIST_VERSIONS ? "versions" : query->version);
    const char *kind = kinds[query->type];
    char *url = NULL;

    if (name == NULL || version == NULL)
        return NULL;
    if (query->operation != VAULT_LIST_OBJECTS)
        return alloc_concat(query->vault_url, kind, "/", name, "/", version,
                            "?api-version=" VAULT_API_VERSION, (char *)NULL);
    int made = asprintf(&url, "%s%s?maxresults=%d&api-version=" VAULT_API_VERSION, query->vault_url, kind,
                        VAULT_PAGE);
    return made < 0 ? NULL : url;
}

static void call_free(struct vault_call *call)
{
    http_retry_cancel(&call->http);
    token_waiter_cancel(&call->token_waiter);
    free(call->host);
    free(call->url);
    identity_unref(call->identity);
    token_unref(call->token);
    vault_list_filter_unref(call->filter);
    vault_response_unref(call->list);
    error_free(call->refusal);
    free(call);
}

/* Ends the call; takes over `response`. */
static void finish(struct vault_call *call, struct vault_response *response, const struct error *error)
{
    vault_callback *callback = call->callback;
    void *arg = call->arg;
    double seconds = (double)(transport_now_ms(call->network->transport) - call->since_ms) / 1000.0;
    const struct error *counted = response != NULL ? response->not_found : error;

    azure_metrics_vault_call(call->network->metrics, object_type_name(call->type), error_code(counted),
                             seconds);
    call_free(call);
    callback(response, error, arg);
}

static void on_reply(struct http_reply *reply, const struct error *error, unsigned tries, void *arg);

/* A vault that cannot answer any more, once it has answered 401 to the token before, has refused. */
static enum vault_failure classify(const struct vault_call *call, const struct http_reply *reply,
                                   const struct error *error)
{
    enum vault_failure failure = vault_failure_classify(reply, error);
    return call->renewed && failure == VAULT_FAILURE_UNAVAILABLE ? VAULT_FAILURE_REFUSED : failure;
}

static int send_request(struct vault_call *call, struct error **err)
{
    const struct http_retry_request request = {
        .service = "vault",
        .host = call->host,
        .method = "GET",
        .url = call->url,
        .headers = {"Accept: application/json"},
        .bearer = token_text(call->token),
        .max_response_bytes = VAULT_RESPONSE_MAX,
        .proxy = HTTP_PROXY_ENVIRONMENT,
        .egress = call->identity->egress,
        .policy = &retry_service,
        .deadline_ms = call->deadline_ms,
        .flow = call->flow,
        .gives_way = call->gives_way,
        .since_ms = call->waits_since_ms,
    };
    call->http = http_retry_start(call->network, &request, on_reply, call, err);
    return call->http == NULL ? -1 : 0;
}

/* --- 401 --- */

static void on_renewed(struct token *token, const struct error *error, void *arg)
{
    struct vault_call *call = arg;
    struct error *failure = NULL;

    call->token_waiter = NULL;
    if (error != NULL) {
        failure = error_copy(error);
        error_wrap(&failure, "%s; the request for a new token failed", error_message(call->refusal));
        (void)vault_failure_mark(&failure, VAULT_FAILURE_REFUSED);
        finish(call, NULL, failure != NULL ? failure : error);
        error_free(failure);
        return;
    }
    token_unref(call->token);
    call->token = token;
    if (send_request(call, &failure) < 0)
        finish(call, NULL, failure);
    error_free(failure);
}

/* Is it the audience that the tokens have? */
static bool is_audience(const struct identity *identity, const char *resource)
{
    size_t len = strlen(identity->resource);

    return strncasecmp(resource, identity->resource, len) == 0 &&
           (resource[len] == '\0' || strcmp(resource + len, "/") == 0 ||
            strcmp(resource + len, "/.default") == 0);
}

/* Puts in front of *err what a challenge says about a mistake in the configuration. */
static void explain_challenge(const struct vault_call *call, const struct http_challenge *challenge,
                              struct error **err)
{
    const char *tenant = NULL;
    cleanup_free char *host =
        challenge->authorization != NULL ? url_host(challenge->authorization, &tenant, NULL) : NULL;
    const struct identity *identity = call->identity;

    if (host != NULL && *tenant == '/' && strchr(identity->tenant, '.') == NULL &&
        *identity->tenant != '\0') {
        tenant++;
        size_t len = strcspn(tenant, "/?#");
        if (len > 0 && len <= 64 &&
            (strlen(identity->tenant) != len || strncasecmp(tenant, identity->tenant, len) != 0))
            error_wrap(err, "the vault belongs to tenant %.*s, not to tenantID %s", (int)len, tenant,
                       identity->tenant);
    }
    if (challenge->resource != NULL && strlen(challenge->resource) <= 256 &&
        !is_audience(identity, challenge->resource))
        error_wrap(err, "the vault expects tokens for %s, not for %s", challenge->resource,
                   identity->resource);
}

static int check_challenge(struct vault_call *call, const struct http_reply *reply, struct error **err)
{
    struct http_challenge challenge = {0};
    struct error *bad = NULL;

    if (reply->challenge == NULL) {
        error_wrap(err, "response has no WWW-Authenticate header for challenge authentication");
        return -1;
    }
    if (http_challenge_parse(reply->challenge, &challenge, &bad) < 0) {
        error_wrap(err, "unusable WWW-Authenticate header (%s)", error_message(bad));
        error_free(bad);
        return -1;
    }
    const char *resource = challenge.scope != NULL ? challenge.scope : challenge.resource;
    int result = 0;
    if (resource == NULL) {
        error_wrap(err, "could not find a valid resource in the WWW-Authenticate header");
        result = -1;
    } else if (!vault_host_is_below(call->host, resource) && !is_audience(call->identity, resource)) {
        /* The peer is not the vault, or wants tokens for another service. That of the tokens which it gets
         * may be elsewhere, as on Azure Stack Hub: the operator named it. */
        error_wrap(err, "challenge resource \"%.200s\" doesn't match the requested domain", resource);
        result = -1;
    } else {
        explain_challenge(call, &challenge, err);
    }
    http_challenge_finish(&challenge);
    return result;
}

/* Returns true when a new token is on its way. */
static bool renew(struct vault_call *call, const struct http_reply *reply, unsigned tries)
{
    error_free(steal_ptr(&call->refusal));
    (void)vault_error(reply, call->host, tries, &call->refusal);
    (void)vault_failure_mark(&call->refusal, vault_failure_classify(reply, NULL));
    if (check_challenge(call, reply, &call->refusal) < 0 || call->renewed)
        return false;
    call->renewed = true;
    struct error *failure = NULL;
    call->token_waiter = token_cache_get(call->cache, call->identity, call->token, call->deadline_ms,
                                         on_renewed, call, &failure);
    error_free(failure);
    return call->token_waiter != NULL;
}

/* --- 200 --- */

/* Takes over *next, the nextLink of a page: an absolute URL that must stay on the vault, or the token would
 * go elsewhere. */
static int follow(struct vault_call *call, char **next, struct error **err)
{
    cleanup_free char *host = url_host(*next, NULL, err);
    if (host == NULL)
        return error_wrap(err, "nextLink of the list");
    if (!url_same_origin(*next, call->url))
        return error_set(err, GRPC_STATUS_UNAVAILABLE, "nextLink of the list leads to another host, %.128s",
                         host);
    free(call->url);
    call->url = steal_ptr(next);
    return 0;
}

static int begin_list(struct vault_call *call, struct error **err)
{
    call->list = vault_response_create(err);
    if (call->list == NULL)
        return -1;
    call->list->list.filter = vault_list_filter_ref(call->filter);
    call->list->list.all = call->lists;
    return 0;
}

/* 1: another page is on its way; 0: complete; -1 with err set. */
static int add_page(struct vault_call *call, const struct http_reply *reply, struct error **err)
{
    cleanup_free char *next = NULL;
    if (call->list == NULL && begin_list(call, err) < 0)
        return -1;
    if (vault_list_add_page(&call->list->list, (const char *)reply->body.data, reply->body.len, &next, err) <
        0)
        return -1;
    if (next == NULL)
        return 0;
    if (++call->pages == VAULT_MAX_PAGES) /* empty ones are in order, but must not go on for ever */
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "more than %d pages in a list",
                         VAULT_MAX_PAGES);
    return follow(call, &next, err) < 0 || send_request(call, err) < 0 ? -1 : 1;
}

/* The response of a read of one object; NULL with err set. */
static struct vault_response *take_object(const struct vault_call *call, const struct http_reply *reply,
                                          struct error **err)
{
    struct vault_response *response = vault_response_create(err);
    if (response == NULL)
        return NULL;
    if (vault_object_parse(call->type, (const char *)reply->body.data, reply->body.len, &response->object,
                           err) == 0)
        return response;
    vault_response_unref(response);
    return NULL;
}

/* That there is no such object is a response, not a failure. NULL with err set for all other refusals. */
static struct vault_response *take_refusal(const struct vault_call *call, const struct http_reply *reply,
                                           unsigned tries, struct error **err)
{
    (void)vault_error(reply, call->host, tries, err);
    (void)vault_failure_mark(err, classify(call, reply, NULL));
    struct vault_response *response = vault_error_is_not_found(reply) ? vault_response_create(NULL) : NULL;
    if (response != NULL)
        (void)error_move(&response->not_found, err);
    return response;
}

static void on_reply(struct http_reply *reply, const struct error *error, unsigned tries, void *arg)
{
    struct vault_call *call = arg;
    struct vault_response *response = NULL;
    struct error *failure = NULL;

    call->http = NULL;
    if (reply == NULL) {
        failure = error_copy(error);
        (void)vault_failure_mark(&failure, classify(call, NULL, error));
    } else if (reply->status == 401) {
        if (renew(call, reply, tries))
            return;
        failure = steal_ptr(&call->refusal);
    } else if (reply->status != 200) {
        response = take_refusal(call, reply, tries, &failure);
    } else if (call->operation != VAULT_GET_OBJECT) {
        if (call->read_ms == 0)
            call->read_ms = reply->sent_ms;
        int more = add_page(call, reply, &failure);
        if (more > 0)
            return;
        if (more == 0)
            response = steal_ptr(&call->list);
    } else {
        call->read_ms = reply->sent_ms;
        response = take_object(call, reply, &failure);
    }
    if (response != NULL)
        response->read_ms = call->read_ms;
    finish(call, response, failure);
    error_free(failure);
}

struct vault_call *vault_call_start(const struct network *network, struct token_cache *cache,
                                    const struct vault_query *query, struct identity *identity,
                                    struct token *token, uint64_t deadline_ms, vault_callback *callback,
                                    void *arg, struct error **err)
{
    struct vault_call *call = calloc(1, sizeof(*call));
    if (call == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *call = (struct vault_call){
        .network = network,
        .cache = cache,
        .type = query->type,
        .operation = query->operation,
        .filter = vault_list_filter_ref(query->filter),
        .lists = query->lists,
        .host = strdup(query->vault_host),
        .url = query_url(query),
        .identity = identity_ref(identity),
        .token = token_ref(token),
        .deadline_ms = deadline_ms,
        .flow = query->flow,
        .gives_way = query->gives_way,
        .waits_since_ms = query->since_ms != 0 ? query->since_ms : transport_now_ms(network->transport),
        .since_ms = transport_now_ms(network->transport),
        .callback = callback,
        .arg = arg,
    };
    if (call->host == NULL || call->url == NULL)
        (void)error_no_memory(err, NULL);
    else if (send_request(call, err) == 0)
        return call;
    call_free(call);
    return NULL;
}

int vault_call_pending_error(const struct vault_call *call, struct error **err)
{
    if (call->http != NULL) {
        struct error *pending = NULL;
        (void)http_retry_pending_error(call->http, &pending);
        (void)vault_failure_mark(&pending, classify(call, NULL, pending));
        return error_move(err, &pending);
    }
    if (call->refusal != NULL) {
        (void)error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED, "%s; a new token was not there in time",
                        error_message(call->refusal));
        return vault_failure_mark(err, VAULT_FAILURE_REFUSED);
    }
    return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED, "no response from %s", call->host);
}

bool vault_call_is_throttled(const struct vault_call *call)
{
    return call->http != NULL && http_retry_is_throttled(call->http);
}

uint64_t vault_call_sent_ms(const struct vault_call *call)
{
    if (call->read_ms != 0)
        return call->read_ms;
    return call->http != NULL ? http_retry_sent_ms(call->http) : VAULT_CALL_NOT_SENT;
}

void vault_call_extend(struct vault_call *call, uint64_t deadline_ms)
{
    if (deadline_ms <= call->deadline_ms)
        return;
    call->deadline_ms = deadline_ms;
    if (call->http != NULL)
        http_retry_extend(call->http, deadline_ms);
}

void vault_call_hurry(struct vault_call *call, uint64_t since_ms)
{
    call->gives_way = false;
    if (since_ms < call->waits_since_ms)
        call->waits_since_ms = since_ms;
    if (call->http != NULL)
        http_retry_hurry(call->http, since_ms);
}

void vault_call_cancel(struct vault_call **call)
{
    struct vault_call *gone = *call;
    *call = NULL;
    if (gone != NULL)
        call_free(gone);
}
