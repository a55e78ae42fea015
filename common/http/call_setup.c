/*
 * call_setup.c - turns a request into a configured curl handle.
 */
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/secret.h"
#include "common/http/call.h"

enum {
    MAX_URL_BYTES = 16 * 1024,
    MAX_HEADER_LINE_BYTES = 64 * 1024, /* managed identity tokens carry group claims of many KiB */
    IDLE_MAX_S = 90,                   /* see CURL_LOOP_IDLE_MS */
    LIFETIME_MAX_S = 10 * 60,          /* so that moved services are found again */
    ADDRESSES_MAX_S = 10 * 60, /* for a request that curl sends again; much longer than HOST_ADDRESSES_MS */
};

/* --- setting options: one bool collects failures, because each of them means an unsuitable libcurl --- */

static void set_long(struct http_call *call, CURLoption option, long value, bool *ok)
{
    *ok = curl_easy_setopt(call->easy, option, value) == CURLE_OK && *ok;
}

static void set_ptr(struct http_call *call, CURLoption option, const void *value, bool *ok)
{
    *ok = curl_easy_setopt(call->easy, option, value) == CURLE_OK && *ok;
}

/* For options that some TLS back ends or minimal builds lack and that are no loss there. */
static void set_optional_long(struct http_call *call, CURLoption option, long value)
{
    (void)curl_easy_setopt(call->easy, option, value);
}

static void set_optional_ptr(struct http_call *call, CURLoption option, const void *value)
{
    (void)curl_easy_setopt(call->easy, option, value);
}

/* curl copies the bytes; its allocator wipes them on release. */
static void set_blob(struct http_call *call, CURLoption option, const void *bytes, size_t len, bool *ok)
{
    union {
        const void *in;
        void *out;
    } data = {.in = bytes}; /* curl's struct is not const-correct */
    struct curl_blob blob = {.data = data.out, .len = len, .flags = CURL_BLOB_COPY};
    *ok = curl_easy_setopt(call->easy, option, &blob) == CURLE_OK && *ok;
}

static bool is_address(const char *host)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* A copy of a URL's host without the brackets of an IPv6 address. */
static char *copy_host(const char *host)
{
    size_t len = strlen(host);
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']')
        return strndup(host + 1, len - 2);
    return strdup(host);
}

/* Takes scheme, host and port out of a URL. `guess_scheme`: proxies are often given as "host:port". */
static int split_url(const char *url, bool guess_scheme, char **ret_scheme, char **ret_host,
                     unsigned *ret_port)
{
    CURLU *parts = curl_url();
    char *scheme = NULL;
    char *host = NULL;
    char *port = NULL;
    int ret = -1;
    unsigned flags = CURLU_NON_SUPPORT_SCHEME | (guess_scheme ? (unsigned)CURLU_DEFAULT_SCHEME : 0);
    if (parts != NULL && curl_url_set(parts, CURLUPART_URL, url, flags) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
        if (curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
            *ret_port = (unsigned)strtoul(port, NULL, 10); /* curl has checked it */
        else
            *ret_port = 1080; /* the default port of socks proxies, which some curl versions do not know */
        *ret_host = copy_host(host);
        *ret_scheme = strdup(scheme);
        ret = *ret_host != NULL && *ret_scheme != NULL ? 0 : -1;
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return ret;
}

static bool is_control_char(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}

/* Whether one of eight bytes may be a control character: no for nearly all text. (Of bytes above 0x7f it
 * cannot tell.) */
static bool may_have_control_chars(uint64_t word)
{
    static const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t below_blank = word - 0x20 * ones;
    uint64_t is_del = (word ^ 0x7f * ones) - ones;
    return ((word | below_blank | is_del) & 0x80 * ones) != 0;
}

/* A bearer token, the longest text that every request has, goes by eight bytes at a time. */
static bool has_control_chars(const char *text)
{
    size_t len = strlen(text);
    size_t i = 0;
    while (i < len) {
        uint64_t word = 0;
        if (len - i >= sizeof(word)) {
            memcpy(&word, text + i, sizeof(word));
            if (!may_have_control_chars(word)) {
                i += sizeof(word);
                continue;
            }
        }
        if (is_control_char((unsigned char)text[i++]))
            return true;
    }
    return false;
}

/* The part of an https URL that says where it leads. 0: the URL has to be parsed. */
static size_t origin_len(const char *url)
{
    static const char scheme[] = "https://";
    size_t len = sizeof(scheme) - 1;

    /* The only character behind the origin that makes an URL malformed, but for control characters. */
    if (strncmp(url, scheme, len) != 0 || strchr(url, ' ') != NULL)
        return 0;
    return len + strcspn(url + len, "/?#");
}

void http_call_origin_finish(struct call_origin *origin)
{
    free(origin->text);
    free(origin->host);
    *origin = (struct call_origin){0};
}

static void remember_origin(struct call_origin *origin, const char *url, size_t len,
                            const struct call_target *target)
{
    http_call_origin_finish(origin);
    char *text = strndup(url, len);
    char *host = strdup(target->host);
    *origin = (struct call_origin){.text = text, .len = len, .host = host, .port = target->port};
    if (text == NULL || host == NULL)
        http_call_origin_finish(origin);
}

static int read_target(struct http_call *call, const char *url, struct error **err)
{
    struct call_target *target = &call->target;
    struct call_origin *last = &call->client->origin;
    cleanup_free char *scheme = NULL;
    if (strnlen(url, MAX_URL_BYTES + 1) > MAX_URL_BYTES)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "URL is longer than %d bytes", MAX_URL_BYTES);
    bool malformed = has_control_chars(url);
    size_t len = malformed ? 0 : origin_len(url);
    if (len > 0 && last->text != NULL && last->len == len && memcmp(last->text, url, len) == 0) {
        target->tls = true;
        target->port = last->port;
        target->host = strdup(last->host);
        return target->host != NULL ? 0 : error_no_memory(err, "an HTTP call");
    }
    /* The error does not show the URL: its query may hold secrets. */
    if (malformed || split_url(url, false, &scheme, &target->host, &target->port) < 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "malformed URL");
    target->tls = strcmp(scheme, "https") == 0;
    if (!target->tls && strcmp(scheme, "http") != 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "URL scheme '%s' is not http or https", scheme);
    if (len > 0)
        remember_origin(last, url, len, target);
    return 0;
}

/* "host:port" or "[v6]:port" */
static int set_connect_to(struct http_call *call, const char *connect_to, bool *ok, struct error **err)
{
    cleanup_free char *scheme = NULL;
    struct call_target *target = &call->target;
    if (split_url(connect_to, true, &scheme, &target->peer_host, &target->peer_port) < 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "malformed address '%s' to connect to",
                         connect_to);
    cleanup_buffer struct buffer rule;
    buffer_init(&rule, MAX_URL_BYTES);
    if (buffer_printf(&rule, err, "::%s", connect_to) < 0) /* any host, any port -> this one */
        return -1;
    call->connect_to = curl_slist_append(NULL, buffer_str(&rule));
    *ok = call->connect_to != NULL && *ok;
    set_ptr(call, CURLOPT_CONNECT_TO, call->connect_to, ok);
    return 0;
}

/* Takes scheme, host and port out of a proxy's URL. The error does not show it: it may have a password. */
static int split_proxy(const char *url, char **ret_scheme, char **ret_host, unsigned *ret_port,
                       struct error **err)
{
    if (!has_control_chars(url) && split_url(url, true, ret_scheme, ret_host, ret_port) == 0)
        return 0;
    return error_set(
        err, GRPC_STATUS_INVALID_ARGUMENT,
        "malformed proxy URL; in its user and password the characters / ? # and blanks must be percent-encoded");
}

int http_proxy_address(const char *url, char **ret_host, unsigned *ret_port, struct error **err)
{
    cleanup_secret_free char *escaped = proxy_escape_user(url);
    cleanup_free char *scheme = NULL;
    if (escaped == NULL)
        return error_no_memory(err, NULL);
    return split_proxy(escaped, &scheme, ret_host, ret_port, err);
}

int http_check_proxy(const char *url, struct error **err)
{
    cleanup_free char *host = NULL;
    unsigned port = 0;
    return http_proxy_address(url, &host, &port, err);
}

static int set_proxy(struct http_call *call, const char *given, bool *ok, struct error **err)
{
    cleanup_secret_free char *url = proxy_escape_user(given);
    cleanup_free char *scheme = NULL;
    struct call_target *target = &call->target;
    if (url == NULL)
        return error_no_memory(err, NULL);
    if (split_proxy(url, &scheme, &target->peer_host, &target->peer_port, err) < 0) {
        const char *variable = proxy_variable(&call->client->proxies, given);
        return variable != NULL ? error_wrap(err, "%s", variable) : -1;
    }
    target->proxied = true;
    target->tls_proxy = strcmp(scheme, "https") == 0;
    set_ptr(call, CURLOPT_PROXY, url, ok);
    /* "socks5" leaves name lookups to the proxy, as in Go: curl would do them itself. */
    if (strcmp(scheme, "socks5") == 0)
        set_long(call, CURLOPT_PROXYTYPE, (long)CURLPROXY_SOCKS5_HOSTNAME, ok);
    return 0;
}

/* Sets the peer of the connection. curl must never read the environment: everything is set explicitly. */
static int set_route(struct http_call *call, const struct http_request *request, bool *ok, struct error **err)
{
    struct call_target *target = &call->target;
    const char *proxy = request->proxy_url;
    if (request->proxy == HTTP_PROXY_RULES) {
        struct proxy_settings rules = call->client->proxies; /* nothing of it is owned here */
        union {
            const char *in;
            char *out;
        } given = {.in = request->proxy_url}, excluded = {.in = request->no_proxy};
        if (given.in != NULL)
            rules.http_proxy = rules.https_proxy = given.out;
        if (excluded.in != NULL)
            rules.no_proxy = excluded.out;
        proxy = proxy_for(&rules, target->tls, target->host, target->port);
    } else if (proxy == NULL && request->proxy == HTTP_PROXY_ENVIRONMENT) {
        proxy = proxy_for(&call->client->proxies, target->tls, target->host, target->port);
    }

    set_optional_ptr(call, CURLOPT_NOPROXY, "");
    int ret = 0;
    if (proxy != NULL && *proxy != '\0') {
        ret = set_proxy(call, proxy, ok, err);
    } else {
        set_optional_ptr(call, CURLOPT_PROXY, "");
        if (request->connect_to != NULL) {
            ret = set_connect_to(call, request->connect_to, ok, err);
        } else {
            target->peer_host = strdup(target->host);
            target->peer_port = target->port;
            *ok = target->peer_host != NULL && *ok;
        }
    }
    target->peer_is_address = target->peer_host != NULL && is_address(target->peer_host);
    return ret;
}

static int set_trust(struct http_call *call, const struct http_request *request, bool *ok, struct error **err)
{
    const struct http_client *client = call->client;
    uint64_t now = uv_now(client->loop);
    struct trust_source source = {.file = request->ca_file};
    if (request->ca_blob != NULL) {
        source = (struct trust_source){.blob = request->ca_blob, .blob_len = request->ca_blob_len};
    } else if (source.file == NULL && call->target.tls) {
        source.file = ca_bundle_path(client->ca_bundle, request->extra_ca_file, now, err);
        if (source.file == NULL && request->extra_ca_file != NULL)
            return -1;
    }
    if (call->target.tls && !request->insecure_skip_verify &&
        trust_apply(client->trusts, call->easy, &source, call->target.tls_proxy, now, &call->trust, err) < 0)
        return -1;
    if (call->target.proxied) /* for an https proxy: the node's CAs, and the additional ones */
        set_optional_ptr(call, CURLOPT_PROXY_CAINFO,
                         request->extra_ca_file != NULL ? source.file
                                                        : ca_bundle_path(client->ca_bundle, NULL, now, NULL));
    set_optional_ptr(call, CURLOPT_PROXY_CAPATH, NULL);
    set_long(call, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2, ok);
    set_long(call, CURLOPT_SSL_VERIFYPEER, request->insecure_skip_verify ? 0L : 1L, ok);
    set_long(call, CURLOPT_SSL_VERIFYHOST, request->insecure_skip_verify ? 0L : 2L, ok);

    if (request->client_cert_pem != NULL) {
        set_blob(call, CURLOPT_SSLCERT_BLOB, request->client_cert_pem, request->client_cert_pem_len, ok);
        set_optional_ptr(call, CURLOPT_SSLCERTTYPE, "PEM");
    }
    if (request->client_key_pem != NULL) {
        /* with its NUL: without it mbedTLS takes the bytes for DER; other libraries stop at the last line */
        set_blob(call, CURLOPT_SSLKEY_BLOB, request->client_key_pem, request->client_key_pem_len + 1, ok);
        set_optional_ptr(call, CURLOPT_SSLKEYTYPE, "PEM");
    }
    return 0;
}

static int add_header(struct http_call *call, const char *line, struct error **err)
{
    struct curl_slist *lines =
        curl_slist_append(call->header_lines, line); /* copied by the wiping allocator */
    if (lines == NULL)
        return error_no_memory(err, "request headers");
    call->header_lines = lines;
    return 0;
}

static bool names_header(const char *line, const char *name)
{
    size_t len = strlen(name);
    return strncasecmp(line, name, len) == 0 && line[len] == ':';
}

/* Methods that mean a body have one, if only an empty one. */
static bool has_body(const struct http_request *request)
{
    return request->body != NULL || strcmp(request->method, "POST") == 0 ||
           strcmp(request->method, "PUT") == 0 || strcmp(request->method, "PATCH") == 0;
}

static int set_headers(struct http_call *call, const struct http_request *request, bool *ok,
                       struct error **err)
{
    bool has_content_type = false;
    for (const char *const *line = request->headers; line != NULL && *line != NULL; line++) {
        if (strnlen(*line, MAX_HEADER_LINE_BYTES + 1) > MAX_HEADER_LINE_BYTES || has_control_chars(*line) ||
            strchr(*line, ':') == NULL)
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "malformed request header");
        has_content_type = has_content_type || names_header(*line, "Content-Type");
        if (add_header(call, *line, err) < 0)
            return -1;
    }
    if (request->bearer_token != NULL) {
        if (strnlen(request->bearer_token, MAX_HEADER_LINE_BYTES + 1) > MAX_HEADER_LINE_BYTES ||
            has_control_chars(request->bearer_token))
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "malformed bearer token");
        cleanup_buffer struct buffer line;
        buffer_init(&line, MAX_HEADER_LINE_BYTES + 64);
        if (buffer_append_str(&line, "Authorization: Bearer ", err) < 0 ||
            buffer_append_str(&line, request->bearer_token, err) < 0 ||
            add_header(call, buffer_str(&line), err) < 0)
            return -1;
    }
    /* Headers that curl would add to a body: a name without a value removes them. */
    if (has_body(request) && (add_header(call, "Expect:", err) < 0 ||
                              (!has_content_type && add_header(call, "Content-Type:", err) < 0)))
        return -1;
    set_ptr(call, CURLOPT_HTTPHEADER, call->header_lines, ok);
    set_optional_long(call, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE); /* not for a proxy's CONNECT */
    return 0;
}

static bool is_method(const char *method)
{
    size_t len = strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    return len > 0 && len <= 16 && method[len] == '\0';
}

static int set_body(struct http_call *call, const struct http_request *request, bool *ok, struct error **err)
{
    if (!is_method(request->method))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "malformed HTTP method");
    if (request->body != NULL) {
        call->body = secret_malloc(request->body_len + 1);
        if (call->body == NULL)
            return error_no_memory(err, "a request body");
        memcpy(call->body, request->body, request->body_len);
        call->body[request->body_len] = '\0';
    }
    if (has_body(request)) {
        curl_off_t len = call->body != NULL ? (curl_off_t)request->body_len : 0;
        *ok = curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, len) == CURLE_OK && *ok;
        set_ptr(call, CURLOPT_POSTFIELDS, call->body != NULL ? (const char *)call->body : "", ok);
        set_ptr(call, CURLOPT_CUSTOMREQUEST, request->method, ok);
    } else if (strcmp(request->method, "HEAD") == 0) {
        set_long(call, CURLOPT_NOBODY, 1, ok);
    } else {
        set_long(call, CURLOPT_HTTPGET, 1, ok);
        if (strcmp(request->method, "GET") != 0)
            set_ptr(call, CURLOPT_CUSTOMREQUEST, request->method, ok);
    }
    return 0;
}

static void set_basics(struct http_call *call, const struct http_request *request, bool *ok)
{
    CURL *easy = call->easy;
    set_ptr(call, CURLOPT_URL, request->url, ok);
    set_ptr(call, CURLOPT_PROTOCOLS_STR, "http,https", ok);
    set_long(call, CURLOPT_DISALLOW_USERNAME_IN_URL, 1, ok);
    set_long(call, CURLOPT_FOLLOWLOCATION, 0, ok);
    set_long(call, CURLOPT_NOSIGNAL, 1, ok);
    if (request->fresh_connection)
        set_optional_long(call, CURLOPT_FRESH_CONNECT, 1);
    set_long(call, CURLOPT_NOPROGRESS, 1, ok);
    set_ptr(call, CURLOPT_ERRORBUFFER, call->curl_text, ok);
    set_ptr(call, CURLOPT_PRIVATE, call, ok);
    set_ptr(call, CURLOPT_SHARE, call->client->share, ok);
    set_ptr(call, CURLOPT_USERAGENT, call->client->user_agent, ok);
    *ok = curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, http_call_on_header) == CURLE_OK && *ok;
    *ok = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, http_call_on_body) == CURLE_OK && *ok;
    *ok = curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, http_socket_made) == CURLE_OK && *ok;
    set_ptr(call, CURLOPT_SOCKOPTDATA, call, ok);
    *ok = curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, http_socket_close) == CURLE_OK && *ok;
    set_ptr(call, CURLOPT_CLOSESOCKETDATA, call->client, ok); /* connections outlive calls */
    *ok = curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, http_call_on_connection) == CURLE_OK && *ok;
    set_ptr(call, CURLOPT_PREREQDATA, call, ok);
    set_ptr(call, CURLOPT_HEADERDATA, call, ok);
    set_ptr(call, CURLOPT_WRITEDATA, call, ok);
    set_optional_long(call, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1);

    /* HTTP/2 by ALPN only; a curl without it refuses the value and stays with 1.1. */
    set_optional_long(call, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    set_optional_long(call, CURLOPT_MAXAGE_CONN, IDLE_MAX_S);
    set_optional_long(call, CURLOPT_MAXLIFETIME_CONN, LIFETIME_MAX_S);
    set_optional_long(call, CURLOPT_DNS_CACHE_TIMEOUT, ADDRESSES_MAX_S);
    set_optional_long(call, CURLOPT_UPLOAD_BUFFERSIZE, 16384); /* the smallest curl takes */
    set_optional_long(call, CURLOPT_TCP_KEEPALIVE, 1);
    set_optional_long(call, CURLOPT_TCP_KEEPIDLE, 30);
    set_optional_long(call, CURLOPT_TCP_KEEPINTVL, 10);
    /* Addresses come from resolver.c; should curl ever look one up itself, removal must not wait for its
     * thread. */
    set_optional_long(call, CURLOPT_QUICK_EXIT, 1);
}

int http_call_setup(struct http_call *call, const struct http_request *request, struct error **err)
{
    if (read_target(call, request->url, err) < 0)
        return -1;
    call->easy = curl_easy_init();
    if (call->easy == NULL)
        return error_no_memory(err, "an HTTP call");
    bool ok = true;
    set_basics(call, request, &ok);
    if (set_route(call, request, &ok, err) < 0 || set_trust(call, request, &ok, err) < 0 ||
        set_headers(call, request, &ok, err) < 0 || set_body(call, request, &ok, err) < 0)
        return -1;
    if (!ok)
        return error_set(err, GRPC_STATUS_INTERNAL, "this libcurl lacks an option, or memory");
    return 0;
}

int http_call_set_addresses(struct http_call *call, const char *addresses, struct error **err)
{
    call->addresses = strdup(addresses);
    return call->addresses != NULL ? 0 : error_no_memory(err, "addresses");
}

static int make_rule(struct http_call *call, struct error **err)
{
    cleanup_buffer struct buffer rule;
    buffer_init(&rule, (size_t)8 * 1024); /* a name and twice DNS_MAX_ADDRESSES addresses */
    /* '+': the entry ages like one of curl's own, instead of staying for ever. */
    if (buffer_printf(&rule, err, "+%s:%u:%s", call->target.peer_host, call->target.peer_port,
                      call->addresses) < 0)
        return -1;
    call->resolve = curl_slist_append(NULL, buffer_str(&rule));
    return call->resolve != NULL ? 0 : error_no_memory(err, "addresses");
}

int http_call_give_addresses(struct http_call *call, struct error **err)
{
    uint64_t now = uv_now(call->client->loop);

    if (call->addresses == NULL || host_has_addresses(call->host, call->addresses, now))
        return 0;
    if (call->resolve == NULL && make_rule(call, err) < 0)
        return -1;
    /* Also of the same list: curl reads it once. */
    if (curl_easy_setopt(call->easy, CURLOPT_RESOLVE, call->resolve) != CURLE_OK)
        return error_no_memory(err, "addresses");
    call->resolve_ms = now;
    return 0;
}

void http_call_set_connecting(struct http_call *call, uint64_t connect_ms, bool wait_for_multiplex)
{
    long ms = connect_ms > INT32_MAX ? INT32_MAX : (long)connect_ms;
    (void)curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, ms);
    (void)curl_easy_setopt(call->easy, CURLOPT_PIPEWAIT, wait_for_multiplex ? 1L : 0L);
}

void http_call_reset(struct http_call *call, bool fresh)
{
    call->response.status = 0;
    buffer_reset(&call->response.body);
    header_fields_reset(&call->fields);
    call->curl_text[0] = '\0';
    call->tcp_connected = false;
    if (fresh)
        set_optional_long(call, CURLOPT_FRESH_CONNECT, 1);
}

void http_call_release(struct http_call *call)
{
    if (call->easy != NULL)
        curl_easy_cleanup(call->easy);
    call->easy = NULL;
    curl_slist_free_all(call->header_lines);
    curl_slist_free_all(call->resolve);
    curl_slist_free_all(call->connect_to);
    call->header_lines = call->resolve = call->connect_to = NULL;
    secret_free(call->body);
    call->body = NULL;
    free(call->addresses);
    call->addresses = NULL;
    free(call->target.host);
    free(call->target.peer_host);
    call->target = (struct call_target){0};
}
