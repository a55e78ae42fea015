/*
 * failure.c - the error of a failed call: the hop and the cause.
 *
 * It shows names, ports, limits and the texts of the system and of the TLS library; never paths, queries or
 * headers.
 */
#include <inttypes.h>
#include <string.h>

#include "common/http/call.h"

/* How far a transfer came. curl's times are 0 for steps that were not reached. */
enum stage { STAGE_CONNECT, STAGE_PROXY, STAGE_TLS, STAGE_RESPONSE };

static bool passed(const struct http_call *call, CURLINFO step)
{
    curl_off_t us = 0;
    return curl_easy_getinfo(call->easy, step, &us) == CURLE_OK && us > 0;
}

static bool tcp_is_connected(const struct http_call *call)
{
    return call->tcp_connected || passed(call, CURLINFO_CONNECT_TIME_T);
}

static enum stage stage_of(const struct http_call *call)
{
    if (call->response.status != 0 || passed(call, CURLINFO_PRETRANSFER_TIME_T))
        return STAGE_RESPONSE;
    if (!tcp_is_connected(call))
        return STAGE_CONNECT;
    if (call->target.proxied && call->target.tls) {
        long code = 0;
        (void)curl_easy_getinfo(call->easy, CURLINFO_HTTP_CONNECTCODE, &code);
        if (code == 0)
            return STAGE_PROXY;
    }
    return call->target.tls ? STAGE_TLS : STAGE_RESPONSE;
}

/* "proxy host:port" or "host:port": the end of the TCP connection. */
static const char *peer_word(const struct http_call *call)
{
    return call->target.proxied ? "proxy " : "";
}

static const char *curl_text(const struct http_call *call)
{
    return call->curl_text[0] != '\0' ? call->curl_text : curl_easy_strerror(call->result);
}

static enum http_hop connect_failed(const struct http_call *call, struct error **err)
{
    const struct call_target *t = &call->target;
    long os_error = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &os_error);
    if (os_error != 0)
        (void)error_set_errno(err, GRPC_STATUS_UNAVAILABLE, (int)os_error, "connect to %s%s:%u",
                              peer_word(call), t->peer_host, t->peer_port);
    else
        (void)error_set(err, GRPC_STATUS_UNAVAILABLE, "connect to %s%s:%u failed", peer_word(call),
                        t->peer_host, t->peer_port);
    return t->proxied ? HTTP_HOP_PROXY : HTTP_HOP_CONNECT;
}

/* CURLOPT_CONNECTTIMEOUT_MS passed: the call itself may still have time, so this is not the caller's
 * deadline. */
static enum http_hop connect_timed_out(const struct http_call *call, struct error **err)
{
    const struct call_target *t = &call->target;
    switch (stage_of(call)) {
    case STAGE_TLS:
        (void)error_set(err, GRPC_STATUS_UNAVAILABLE,
                        "TLS handshake with %s: not finished within %" PRIu64 " ms", t->host,
                        call->connect_ms);
        return HTTP_HOP_TLS;
    case STAGE_PROXY:
        (void)error_set(err, GRPC_STATUS_UNAVAILABLE, "proxy %s:%u: no tunnel to %s:%u within %" PRIu64 " ms",
                        t->peer_host, t->peer_port, t->host, t->port, call->connect_ms);
        return HTTP_HOP_PROXY;
    case STAGE_CONNECT:
    case STAGE_RESPONSE:
        break;
    }
    (void)error_set(err, GRPC_STATUS_UNAVAILABLE, "connect to %s%s:%u: no connection within %" PRIu64 " ms",
                    peer_word(call), t->peer_host, t->peer_port, call->connect_ms);
    return t->proxied ? HTTP_HOP_PROXY : HTTP_HOP_CONNECT;
}

/* What mbedTLS does not say of servers that OpenSSL connects to; it ends its texts with its number in
 * braces. */
static const char *tls_hint(const char *text)
{
    static const struct {
        const char *number, *hint;
    } hints[] = {
        {"(-0x7780)", " [hint: the server accepts nothing of what this TLS library offers; "
                      "a certificate with an Ed25519 or Ed448 key is not supported]"},
        {"(-0x7A00)", " [hint: the certificate is not one for servers: extendedKeyUsage]"},
        {"(-0x2562)", " [hint: a certificate has a critical extension that is not known, or a damaged one]"},
        {"(-0x262E)", " [hint: a certificate with an Ed25519 or Ed448 signature is not supported]"},
        {"(-0x7100)", " [hint: certificates of more than 16 KiB together are not supported]"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(hints); i++) {
        if (strstr(text, hints[i].number) != NULL)
            return hints[i].hint;
    }
    return "";
}

static enum http_hop tls_failed(const struct http_call *call, struct error **err)
{
    const struct call_target *t = &call->target;
    bool with_proxy = t->proxied && stage_of(call) == STAGE_PROXY;
    const char *refusal = trust_refusal(call->trust);
    const char *text = refusal != NULL ? refusal : curl_text(call);
    (void)error_set(err, GRPC_STATUS_UNAVAILABLE, "TLS handshake with %s%s: %s%s", with_proxy ? "proxy " : "",
                    with_proxy ? t->peer_host : t->host, text, tls_hint(text));
    return HTTP_HOP_TLS;
}

static enum http_hop proxy_failed(const struct http_call *call, struct error **err)
{
    const struct call_target *t = &call->target;
    long code = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_HTTP_CONNECTCODE, &code);
    if (code != 0)
        (void)error_set(err, GRPC_STATUS_UNAVAILABLE,
                        "proxy %s:%u refused a tunnel to %s:%u: HTTP status %ld", t->peer_host, t->peer_port,
                        t->host, t->port, code);
    else
        (void)error_set(err, GRPC_STATUS_UNAVAILABLE, "proxy %s:%u: %s", t->peer_host, t->peer_port,
                        curl_text(call));
    return HTTP_HOP_PROXY;
}

/* The URL was checked before: these are about the response's status line. */
static bool is_not_http(CURLcode result)
{
    return result == CURLE_URL_MALFORMAT || result == CURLE_UNSUPPORTED_PROTOCOL ||
           result == CURLE_WEIRD_SERVER_REPLY;
}

static const char *exchange_text(const struct http_call *call)
{
    return is_not_http(call->result) ? "the response is not HTTP" : curl_easy_strerror(call->result);
}

static enum http_hop header_too_large(const struct http_call *call, struct error **err)
{
    (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "response from %s has too large a header",
                    call->target.host);
    return HTTP_HOP_RECEIVE;
}

/* Before 8.6 curl reports a header field that is too long for it as lack of memory. */
static enum http_hop memory_failed(const struct http_call *call, struct error **err)
{
    if (stage_of(call) != STAGE_RESPONSE) {
        (void)error_no_memory(err, "an HTTP call");
        return HTTP_HOP_NONE;
    }
    (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED,
                    "response from %s has too large a header, or there is no memory for it",
                    call->target.host);
    return HTTP_HOP_RECEIVE;
}

/* The exchange of bytes broke off: before or after the proxy's tunnel stood, or in the response. */
static enum http_hop exchange_failed(const struct http_call *call, struct error **err)
{
    const struct call_target *t = &call->target;
    if (t->proxied && t->tls && stage_of(call) == STAGE_PROXY)
        return proxy_failed(call, err);
    long code = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_HTTP_CONNECTCODE, &code);
    if (t->proxied && code >= 300)
        return proxy_failed(call, err);
    if (stage_of(call) == STAGE_TLS)
        return tls_failed(call, err);
    if (call->result == CURLE_SEND_ERROR) {
        (void)error_set(err, GRPC_STATUS_UNAVAILABLE, "send to %s: the connection was lost", t->host);
        return HTTP_HOP_SEND;
    }
    if (call->response.status != 0)
        (void)error_set(err, GRPC_STATUS_UNAVAILABLE, "response from %s broke off: %s", t->host,
                        exchange_text(call));
    else
        (void)error_set(err, GRPC_STATUS_UNAVAILABLE, "no response from %s: %s", t->host,
                        exchange_text(call));
    return HTTP_HOP_RECEIVE;
}

/* Of a proxy: it has no room for the connection, rather than refusing these credentials or this host. */
static bool is_for_lack_of_room(long connect_status)
{
    return connect_status < 300 || connect_status == 429 || connect_status >= 500;
}

bool http_call_got_no_connection(const struct http_call *call)
{
    long connect_status = 0;
    (void)curl_easy_getinfo(call->easy, CURLINFO_HTTP_CONNECTCODE, &connect_status);
    if (!is_for_lack_of_room(connect_status))
        return false;
    switch (call->result) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PROXY:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
        break;
    default:
        return false;
    }
    return stage_of(call) != STAGE_RESPONSE && trust_refusal(call->trust) == NULL;
}

enum http_hop http_call_failure(const struct http_call *call, struct error **err)
{
    const struct call_target *t = &call->target;
    if (call->stop == CALL_STOP_TOO_LARGE) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "response from %s is larger than %zu bytes",
                        t->host, call->response.body.ceiling);
        return HTTP_HOP_RECEIVE;
    }
    if (call->stop == CALL_STOP_HEADERS)
        return header_too_large(call, err);
    switch (call->result) {
#if LIBCURL_VERSION_NUM >= 0x080600
    case CURLE_TOO_LARGE:
        return header_too_large(call, err);
#endif
    case CURLE_OUT_OF_MEMORY:
        return memory_failed(call, err);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        (void)error_set(err, GRPC_STATUS_UNAVAILABLE, "DNS lookup of '%s' failed", t->peer_host);
        return HTTP_HOP_DNS;
    case CURLE_COULDNT_CONNECT:
        return connect_failed(call, err);
    case CURLE_OPERATION_TIMEDOUT:
        return connect_timed_out(call, err);
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_USE_SSL_FAILED:
        return tls_failed(call, err);
    case CURLE_PROXY:
        return proxy_failed(call, err);
    default:
        return exchange_failed(call, err);
    }
}

/* The time of a call that waits in the queue is over. */
static enum http_hop queue_timed_out(const struct http_call *call, struct error **err)
{
    const struct call_target *t = &call->target;
    if (uv_now(call->client->loop) < call->deadline_ms)
        return connect_timed_out(call, err);
    (void)error_set(err, GRPC_STATUS_DEADLINE_EXCEEDED,
                    "no response from %s within %" PRIu64 " ms: not sent (requests in flight to it: %u)",
                    t->host, call->timeout_ms, call->host->in_flight);
    return HTTP_HOP_TIMEOUT;
}

enum http_hop http_call_timed_out(const struct http_call *call, struct error **err)
{
    const struct call_target *t = &call->target;
    enum grpc_status code = GRPC_STATUS_DEADLINE_EXCEEDED;
    if (call->state == CALL_QUEUED &&
        (host_is_connected(call->host) || uv_now(call->client->loop) < call->deadline_ms))
        return queue_timed_out(call, err);
    enum stage stage = stage_of(call);
    switch (stage) {
    case STAGE_CONNECT: /* also in the queue, if there is no connection to the host */
        (void)error_set(err, code, "connect to %s%s:%u: no connection within %" PRIu64 " ms", peer_word(call),
                        t->peer_host, t->peer_port, call->timeout_ms);
        return t->proxied ? HTTP_HOP_PROXY : HTTP_HOP_CONNECT;
    case STAGE_PROXY:
        (void)error_set(err, code, "proxy %s:%u: no tunnel to %s:%u within %" PRIu64 " ms", t->peer_host,
                        t->peer_port, t->host, t->port, call->timeout_ms);
        return HTTP_HOP_PROXY;
    case STAGE_TLS:
        (void)error_set(err, code, "TLS handshake with %s: not finished within %" PRIu64 " ms", t->host,
                        call->timeout_ms);
        return HTTP_HOP_TLS;
    case STAGE_RESPONSE:
        break;
    }
    (void)error_set(err, code,
                    call->response.status != 0 ? "response from %s not complete within %" PRIu64 " ms"
                                               : "no response from %s within %" PRIu64 " ms",
                    t->host, call->timeout_ms);
    return HTTP_HOP_TIMEOUT;
}
