/*
 * vault_call.h - reads one object, or one list, from Key Vault.
 *
 *     start ─▶ REQUEST ─▶ 200 ────────────▶ next page? ─▶ REQUEST ... ─▶ callback
 *                 ▲        └─ 401 (first one): read the challenge, check that it is for this vault
 *                 └──────── RENEW a new token from the cache
 *
 * The token goes out with the first request: no round trip is spent on being refused. Contract:
 * common/grpc/client.h.
 */
#ifndef PROVIDER_AZURE_VAULT_VAULT_CALL_H
#define PROVIDER_AZURE_VAULT_VAULT_CALL_H

#include "provider-azure/cloud/cloud.h"
#include "provider-azure/identity/identity.h"
#include "provider-azure/identity/token_cache.h"
#include "provider-azure/network/http_retry.h"
#include "provider-azure/vault/vault_response.h"

#define VAULT_API_VERSION "7.4"

struct vault_call;

enum vault_operation {
    VAULT_GET_OBJECT,
    VAULT_LIST_VERSIONS, /* all versions of `name` */
    VAULT_LIST_OBJECTS,  /* all objects of the type */
};

struct vault_query {
    enum vault_operation operation;
    const char *vault_url;  /* "https://<name>.<suffix>/" */
    const char *vault_host; /* lower case, no port */
    enum object_type type;
    const char *name;    /* "" for VAULT_LIST_OBJECTS */
    const char *version; /* "" = latest; of VAULT_LIST_VERSIONS the start of the filter; "" for all objects */
    struct vault_list_filter *filter; /* of lists: what is kept */
    struct vault_lists *lists;        /* borrowed until the end; may be NULL */
    uint64_t flow;                    /* of the mount that reads first; see struct http_request */
    bool gives_way;                   /* see struct http_retry_request, as the next one */
    uint64_t since_ms;
};

/* On success `response` is a reference that belongs to the callee; on failure `error` is borrowed. That there
 * is no such object is a response (not_found). vault_failure.h says of both errors what kind they are. */
typedef void vault_callback(struct vault_response *response, const struct error *error, void *arg);

/* Sends the first request. `network` and `cache` are borrowed until the end; `query` is copied; references to
 * `identity` and `token` are taken. */
struct vault_call *vault_call_start(const struct network *network, struct token_cache *cache,
                                    const struct vault_query *query, struct identity *identity,
                                    struct token *token, uint64_t deadline_ms, vault_callback *callback,
                                    void *arg, struct error **err);

/* When the request now under way went out, for a list that of its first page. VAULT_CALL_NOT_SENT before
 * that, and during a pause between two tries. */
#define VAULT_CALL_NOT_SENT UINT64_MAX
uint64_t vault_call_sent_ms(const struct vault_call *call);

/* As http_retry_pending_error(), and marked (vault_failure.h). */
int vault_call_pending_error(const struct vault_call *call, struct error **err);

/* As http_retry_is_throttled(). */
bool vault_call_is_throttled(const struct vault_call *call);

/* Moves the deadline out: another party waits for the same response. */
void vault_call_extend(struct vault_call *call, uint64_t deadline_ms);

/* As http_retry_hurry(). */
void vault_call_hurry(struct vault_call *call, uint64_t since_ms);

/* Ends the call without a callback. */
void vault_call_cancel(struct vault_call **call);

#endif
