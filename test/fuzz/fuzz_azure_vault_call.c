/*
 * fuzz_azure_vault_call.c - one read of Key Vault with all the responses to it, pages and challenges:
 * the first byte chooses the operation, each line is a response (a character for the status, then the
 * body or the challenge).
 *
 * The token never leaves the vault: every request goes to its origin, whatever the responses say. The
 * URLs of the input's lines agree with that: two of the same origin have the same host.
 */
#include "common/base/buffer.h"
#include "provider-azure/base/url.h"
#include "provider-azure/vault/vault_call.h"
#include "provider-azure/vault/vault_list_filter.h"
#include "test/fuzz/fuzz.h"

#define VAULT_URL "https://testkv.vault.azure.net/"

enum { TRIES_MAX = 2 * VAULT_MAX_PAGES };

static struct {
    http_retry_callback *callback;
    void *arg;
    unsigned n_requests;
    token_callback *renewed;
    void *renewed_arg;
    struct token *token;
} sent;

struct http_retry *http_retry_start(const struct network *network, const struct http_retry_request *request,
                                    http_retry_callback *callback, void *arg, struct error **err)
{
    static const char origin[] = VAULT_URL, with_port[] = "https://testkv.vault.azure.net:443/";
    size_t len = strcspn(request->url, "?#");

    (void)network;
    (void)err;
    EXPECT(strcmp(request->host, "testkv.vault.azure.net") == 0 && request->bearer != NULL);
    EXPECT(strncasecmp(request->url, origin, sizeof(origin) - 2) == 0 && len >= sizeof(origin) - 2);
    EXPECT(strchr("/?#", request->url[sizeof(origin) - 2]) != NULL ||
           strncasecmp(request->url, with_port, sizeof(with_port) - 2) == 0);
    sent.callback = callback;
    sent.arg = arg;
    EXPECT(++sent.n_requests <= TRIES_MAX);
    return (struct http_retry *)(void *)&sent;
}

void http_retry_cancel(struct http_retry **retry)
{
    *retry = NULL;
}

void http_retry_extend(struct http_retry *retry, uint64_t deadline_ms)
{
    (void)retry;
    (void)deadline_ms;
}

void http_retry_hurry(struct http_retry *retry, uint64_t since_ms)
{
    (void)since_ms;
    (void)retry;
}

uint64_t http_retry_sent_ms(const struct http_retry *retry)
{
    (void)retry;
    return 1;
}

bool http_retry_is_throttled(const struct http_retry *retry)
{
    (void)retry;
    return false;
}

int http_retry_pending_error(const struct http_retry *retry, struct error **err)
{
    (void)retry;
    return error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED, "no response");
}

struct token_waiter *token_cache_get(struct token_cache *cache, struct identity *identity,
                                     const struct token *rejected, uint64_t deadline_ms,
                                     token_callback *callback, void *arg, struct error **err)
{
    (void)cache;
    (void)identity;
    (void)deadline_ms;
    (void)err;
    EXPECT(rejected != NULL);
    sent.renewed = callback;
    sent.renewed_arg = arg;
    return (struct token_waiter *)(void *)&sent;
}

void token_waiter_cancel(struct token_waiter **waiter)
{
    *waiter = NULL;
}

static uint64_t now_ms(void *state)
{
    (void)state;
    return 1000;
}

static void on_outcome(struct vault_response *response, const struct error *error, void *arg)
{
    unsigned *n = arg;

    (*n)++;
    EXPECT((response == NULL) == (error != NULL));
    EXPECT(error == NULL || error_message(error)[0] != '\0');
    if (error != NULL)
        fuzz_expect_printable(error_message(error));
    EXPECT(response == NULL || response->list.n <= VAULT_MAX_ENTRIES);
    if (response != NULL) {
        uint8_t one[DIGEST_SHA256_LEN], two[DIGEST_SHA256_LEN];

        vault_response_fingerprint(response, one);
        vault_response_fingerprint(response, two);
        EXPECT(memcmp(one, two, sizeof(one)) == 0 && vault_response_size(response) > 0);
    }
    vault_response_unref(response);
}

static void deliver(const char *line)
{
    static const int statuses[] = {200, 401, 403, 404, 429, 500, 0};
    size_t kind = (size_t)(uint8_t)(line[0] - '0') % (sizeof(statuses) / sizeof(statuses[0]));
    const char *text = line[0] != '\0' ? line + 1 : line;
    struct http_reply reply = {.status = statuses[kind], .retry_after_ms = -1, .sent_ms = 1};
    cleanup_error struct error *error = NULL;
    http_retry_callback *callback = sent.callback;

    sent.callback = NULL;
    if (reply.status == 0) {
        (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "no response");
        callback(NULL, error, 1, sent.arg);
        return;
    }
    buffer_init(&reply.body, 1 << 20);
    (void)buffer_append(&reply.body, text, strlen(text), NULL);
    reply.challenge = reply.status == 401 && text[0] != '\0' ? text : NULL;
    callback(&reply, NULL, 1, sent.arg);
    buffer_finish(&reply.body);
}

static void renew(bool succeeds)
{
    cleanup_error struct error *error = NULL;
    token_callback *callback = sent.renewed;

    sent.renewed = NULL;
    if (!succeeds)
        (void)error_set(&error, GRPC_STATUS_UNAUTHENTICATED, "no token");
    callback(succeeds ? token_ref(sent.token) : NULL, error, sent.renewed_arg);
}

static void check_urls(const char *left, const char *right)
{
    const char *path = NULL;
    cleanup_free char *host = url_host(left, &path, NULL);
    cleanup_free char *other = url_host(right, NULL, NULL);

    EXPECT(host == NULL || (strpbrk(host, "/@\\?#") == NULL && strchr("/?#", *path) != NULL));
    EXPECT(url_same_origin(left, right) == url_same_origin(right, left));
    if (url_same_origin(left, right))
        EXPECT(host != NULL && other != NULL && strcmp(host, other) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct transport_ops ops = {.now_ms = now_ms};
    static const struct transport transport = {.ops = &ops};
    static const struct network network = {.transport = &transport};
    static const uint8_t principal[DIGEST_SHA256_LEN];
    struct fuzz_input input = {data, size};
    uint8_t kind = fuzz_byte(&input);
    char tenant[] = "8aab0c5b-5f6f-4ac6-8f5e-3a0a2ad8ab0e", resource[] = "https://vault.azure.net";
    struct identity identity = {.refs = 1, .tenant = tenant, .resource = resource};
    struct vault_list_filter *filter = vault_list_filter_create("", NULL);
    struct object_select *select = object_select_create("*", (kind & 8) != 0 ? "env=prod" : "", NULL);
    const struct vault_query query = {.operation = (enum vault_operation)(kind / 16 % 3),
                                      .vault_url = VAULT_URL,
                                      .vault_host = "testkv.vault.azure.net",
                                      .type = (enum object_type)(kind % 3),
                                      .name = kind / 16 % 3 == VAULT_LIST_OBJECTS ? "" : "name",
                                      .version = "",
                                      .filter = filter};
    cleanup_free char *before = strdup("");
    unsigned n = 0;

    memset(&sent, 0, sizeof(sent));
    sent.token = token_create(principal, "token", 2000, 0, 1000, NULL);
    EXPECT(sent.token != NULL && before != NULL && filter != NULL && select != NULL);
    EXPECT(vault_list_filter_add_select(filter, select, NULL) == 0);
    vault_list_filter_add_count(filter, 4);
    struct vault_call *call =
        vault_call_start(&network, NULL, &query, &identity, sent.token, 5000, on_outcome, &n, NULL);
    EXPECT(call != NULL);
    while (n == 0 && input.left > 0) {
        char *line = fuzz_line(&input);

        check_urls(before, line);
        EXPECT(vault_call_pending_error(call, NULL) < 0);
        (void)vault_call_sent_ms(call);
        vault_call_extend(call, 6000);
        vault_call_hurry(call, 0);
        if (sent.renewed != NULL)
            renew(line[0] != 'x');
        else
            deliver(line);
        free(before);
        before = line;
    }
    if (n == 0)
        vault_call_cancel(&call);
    EXPECT(n <= 1 && identity.refs == 1);
    token_unref(sent.token);
    object_select_unref(select);
    vault_list_filter_unref(filter);
    return 0;
}
