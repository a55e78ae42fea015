/*
 * token_fetch.c - one token from a token service.
 */
#include "provider-azure/identity/token_fetch.h"

#include <stdio.h>
#include <stdlib.h>

/* Token responses have some KiB. */
enum { RESPONSE_MAX_BYTES = 256 * 1024 };

/* A request that another thread builds. It has all that the thread uses, and outlives a fetch that is
 * cancelled. */
struct request_build {
    struct token_fetch *fetch; /* NULL: cancelled */
    struct identity *identity; /* a reference; the thread only reads it */
    struct token_request_context context;
    struct token_request request;
    struct error *error;
    int result;
};

struct token_fetch {
    const struct network *network;
    struct identity *identity;                  /* a reference */
    struct token_proxy_waiter *endpoint_waiter; /* ENDPOINT */
    struct request_build *build;                /* BUILD, in a thread */
    struct work_job *job;                       /* BUILD */
    struct http_retry *http;                    /* REQUEST */
    struct secret *sent;                        /* the credential as the last request had it; NULL: none */
    bool new_assertion_sent;
    bool unusable; /* the credential, as a thread has found */
    uint64_t deadline_ms;
    uint64_t since_ms;
    token_fetch_callback *callback;
    void *arg;
};

static const char *mode_name(const struct token_fetch *fetch)
{
    return identity_mode_name(fetch->identity->ops->mode);
}

static void fetch_free(struct token_fetch *fetch)
{
    token_proxy_waiter_cancel(&fetch->endpoint_waiter);
    if (fetch->build != NULL)
        fetch->build->fetch = NULL;
    transport_work_cancel(fetch->network->transport, &fetch->job);
    http_retry_cancel(&fetch->http);
    identity_unref(fetch->identity);
    secret_destroy(fetch->sent);
    free(fetch);
}

/* Ends the fetch; takes over `token` or `failure`. */
static void finish(struct token_fetch *fetch, struct token *token, struct error *failure)
{
    const struct network *network = fetch->network;
    token_fetch_callback *callback = fetch->callback;
    void *arg = fetch->arg;
    bool unusable = fetch->unusable;
    double seconds = (double)(transport_now_ms(network->transport) - fetch->since_ms) / 1000.0;

    if (token == NULL)
        error_wrap(&failure, "token for the %s", mode_name(fetch));
    azure_metrics_token(network->metrics, mode_name(fetch),
                        token != NULL ? GRPC_STATUS_OK : error_code(failure), seconds);
    fetch_free(fetch);
    callback(token, failure, unusable, arg);
}

static int request_token(struct token_fetch *fetch, const struct token_proxy_endpoint *endpoint,
                         struct error **err);

/* A try without a response may have reached the service, which takes an assertion only once: after a refusal
 * of the next try a new assertion is sent. True when that is in flight. */
static bool retry_with_new_assertion(struct token_fetch *fetch, const struct error *failure, unsigned tries)
{
    struct error *ignored = NULL; /* the refusal is reported */

    if (tries < 2 || fetch->new_assertion_sent || !fetch->identity->ops->build_in_thread ||
        error_code(failure) != GRPC_STATUS_UNAUTHENTICATED)
        return false;
    fetch->new_assertion_sent = true;
    int result = request_token(fetch, /* endpoint= */ NULL, &ignored);
    error_free(ignored);
    return result == 0;
}

static struct error *no_response(const struct identity *identity, const struct error *error)
{
    enum grpc_status code = error_code(error);
    struct error *failure = error_copy(error);

    if (identity->ops->no_response != NULL &&
        (code == GRPC_STATUS_UNAVAILABLE || code == GRPC_STATUS_DEADLINE_EXCEEDED))
        error_wrap(&failure, "%s", identity->ops->no_response);
    return failure;
}

static void on_reply(struct http_reply *reply, const struct error *error, unsigned tries, void *arg)
{
    struct token_fetch *fetch = arg;
    const struct identity *identity = fetch->identity;
    int64_t now = transport_unix_s(fetch->network->transport);
    struct error *failure = NULL;

    fetch->http = NULL;
    if (reply == NULL) {
        if (identity->token_proxy != NULL)
            token_proxy_invalidate(identity->token_proxy);
        finish(fetch, NULL, no_response(identity, error));
        return;
    }
    struct token *token = identity->ops->parse_response(identity, reply, fetch->sent, now, &failure);
    if (token != NULL)
        token->received_ms = transport_now_ms(fetch->network->transport);
    if (token == NULL && retry_with_new_assertion(fetch, failure, tries)) {
        error_free(failure);
        return;
    }
    if (token == NULL && tries > 1)
        error_wrap(&failure, "after %u tries", tries);
    finish(fetch, token, failure);
}

/* Keeps the credential as it is sent, to recognize it in the response. */
static int keep_sent(struct token_fetch *fetch, const struct token_request *request, struct error **err)
{
    if (request->credential_at == 0)
        return 0;
    secret_destroy(fetch->sent);
    fetch->sent = secret_from_bytes(request->body.data + request->credential_at,
                                    request->body.len - request->credential_at);
    return fetch->sent == NULL ? error_no_memory(err, NULL) : 0;
}

static int send_request(struct token_fetch *fetch, const struct token_request *request, struct error **err)
{
    const struct identity *identity = fetch->identity;
    /* Entra throttles an application: one that is throttled must not stop the others. IMDS throttles the
     * node. */
    cleanup_free char *scope = NULL;

    if (keep_sent(fetch, request, err) < 0)
        return -1;
    if (*identity->authority != '\0' &&
        asprintf(&scope, "%s/%s", identity->tenant, identity->client_id) < 0) {
        scope = NULL;
        return error_no_memory(err, NULL);
    }
    struct http_retry_request http = {
        .service = request->service,
        .host = request->host,
        .throttle_scope = scope,
        .method = request->method,
        .url = request->url,
        .body = request->body.data,
        .body_len = request->body.len,
        .max_response_bytes = RESPONSE_MAX_BYTES,
        .proxy = request->proxy,
        .egress = identity->egress,
        .connect_to = request->connect_to,
        .ca_pem = request->ca_pem,
        .ca_pem_len = request->ca_pem_len,
        .policy = request->policy,
        .deadline_ms = fetch->deadline_ms,
    };
    for (size_t i = 0; i < HTTP_RETRY_MAX_HEADERS; i++)
        http.headers[i] = request->headers[i];
    fetch->http = http_retry_start(fetch->network, &http, on_reply, fetch, err);
    return fetch->http == NULL ? -1 : 0;
}

/* --- a request that is costly to build --- */

static void build_in_thread(void *arg, struct pkcs12_run *run)
{
    struct request_build *build = arg;
    const struct identity *identity = build->identity;
    build->context.run = run;
    build->result = identity->ops->build_request(identity, &build->context, &build->request, &build->error);
    if (run->later) {
        token_request_finish(&build->request);
        error_free(steal_ptr(&build->error));
    }
}

static void on_built(void *arg)
{
    struct request_build *build = arg;
    struct token_fetch *fetch = build->fetch;
    struct error *failure = steal_ptr(&build->error);

    if (fetch != NULL) {
        fetch->build = NULL;
        fetch->job = NULL;
        fetch->unusable = build->result < 0 && error_code(failure) == GRPC_STATUS_FAILED_PRECONDITION;
        if (build->result == 0 && send_request(fetch, &build->request, &failure) == 0)
            fetch = NULL; /* in flight */
    }
    token_request_finish(&build->request);
    identity_unref(build->identity);
    free(build);
    if (fetch != NULL)
        finish(fetch, NULL, failure);
    else
        error_free(failure);
}

static int start_build(struct token_fetch *fetch, const struct token_request_context *context,
                       struct error **err)
{
    struct request_build *build = calloc(1, sizeof(*build));
    if (build == NULL)
        return error_no_memory(err, NULL);
    *build = (struct request_build){
        .fetch = fetch, .identity = identity_ref(fetch->identity), .context = *context};
    const struct work work = {.run = build_in_thread, .done = on_built, .arg = build};
    fetch->job = transport_work(fetch->network->transport, &work, err);
    if (fetch->job == NULL) {
        identity_unref(build->identity);
        free(build);
        return -1;
    }
    fetch->build = build;
    return 0;
}

/* Builds the request and sends it. `endpoint` is that of an identity with a token proxy. */
static int request_token(struct token_fetch *fetch, const struct token_proxy_endpoint *endpoint,
                         struct error **err)
{
    const struct identity *identity = fetch->identity;
    const struct token_request_context context = {.now_unix = transport_unix_s(fetch->network->transport),
                                                  .endpoint = endpoint};

    if (identity->ops->build_in_thread)
        return start_build(fetch, &context, err);
    struct token_request request = {0};
    int result = identity->ops->build_request(identity, &context, &request, err);
    if (result == 0)
        result = send_request(fetch, &request, err);
    token_request_finish(&request);
    return result;
}

/* --- the public functions --- */

static void on_endpoint(const struct token_proxy_endpoint *endpoint, const struct error *error, void *arg)
{
    struct token_fetch *fetch = arg;
    struct error *failure = NULL;

    fetch->endpoint_waiter = NULL;
    if (endpoint == NULL)
        finish(fetch, NULL, error_copy(error));
    else if (request_token(fetch, endpoint, &failure) < 0)
        finish(fetch, NULL, failure);
}

static int start(struct token_fetch *fetch, struct error **err)
{
    struct token_proxy *proxy = fetch->identity->token_proxy;
    if (proxy == NULL)
        return request_token(fetch, /* endpoint= */ NULL, err);
    fetch->endpoint_waiter = token_proxy_resolve(proxy, fetch->deadline_ms, on_endpoint, fetch, err);
    return fetch->endpoint_waiter == NULL ? -1 : 0;
}

struct token_fetch *token_fetch_start(const struct network *network, struct identity *identity,
                                      uint64_t deadline_ms, token_fetch_callback *callback, void *arg,
                                      struct error **err)
{
    struct token_fetch *fetch = calloc(1, sizeof(*fetch));
    if (fetch == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *fetch = (struct token_fetch){
        .network = network,
        .identity = identity_ref(identity),
        .deadline_ms = deadline_ms,
        .since_ms = transport_now_ms(network->transport),
        .callback = callback,
        .arg = arg,
    };
    if (start(fetch, err) < 0) {
        error_wrap(err, "token for the %s", mode_name(fetch));
        fetch_free(fetch);
        return NULL;
    }
    return fetch;
}

void token_fetch_extend(struct token_fetch *fetch, uint64_t deadline_ms)
{
    if (deadline_ms > fetch->deadline_ms)
        fetch->deadline_ms = deadline_ms;
    if (fetch->http != NULL)
        http_retry_extend(fetch->http, deadline_ms);
}

int token_fetch_pending_error(const struct token_fetch *fetch, struct error **err)
{
    if (fetch->http == NULL)
        return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED, "no token before the caller's deadline");
    (void)http_retry_pending_error(fetch->http, err);
    return error_wrap(err, "token for the %s", mode_name(fetch));
}

void token_fetch_cancel(struct token_fetch **fetch)
{
    struct token_fetch *gone = *fetch;
    *fetch = NULL;
    if (gone != NULL)
        fetch_free(gone);
}
