/*
 * test_http_client_reach.c - whom the HTTP client reaches and trusts: names, TLS, HTTP/2, tunnels of a proxy.
 * Against nghttpd with a certificate made by openssl, and the server of http_client_fixture.h as the proxy.
 *
 * dns_lookup.h is replaced in this program, so that names can hang, fail and be counted.
 */
#include "test/unit/http_client_fixture.h"
#include "test/unit/tls_server_fixture.h"

#include "common/http/dns_lookup.h"
#include "common/process/loop_timer.h"

/* --- a name server of our own --- */

static int lookups;

struct dns_lookup {
    struct loop_timer *timer;
    const char *name;
    dns_callback *callback;
    void *arg;
};

void dns_lookup_cancel(struct dns_lookup **lookup)
{
    if (*lookup == NULL)
        return;
    loop_timer_destroy((*lookup)->timer);
    free(*lookup);
    *lookup = NULL;
}

static void on_lookup_over(void *arg)
{
    struct dns_lookup *lookup = arg;
    struct dns_lookup over = *lookup;
    struct dns_result result = {.outcome = DNS_FOUND, .addresses = "127.0.0.1", .ttl_s = 60};
    if (strcmp(over.name, "mute.test") == 0)
        result = (struct dns_result){.outcome = DNS_FAILED, .reason = "silence"};
    else if (strcmp(over.name, "loop.test") != 0)
        result = (struct dns_result){.outcome = DNS_NOT_FOUND, .reason = "no such name"};
    dns_lookup_cancel(&lookup);
    over.callback(&result, over.arg);
}

struct dns_lookup *dns_lookup_start(uv_loop_t *loop, const char *name, dns_callback *callback, void *arg,
                                    struct error **err)
{
    struct dns_lookup *lookup = calloc(1, sizeof(*lookup));
    assert_non_null(lookup);
    *lookup = (struct dns_lookup){.name = name, .callback = callback, .arg = arg};
    lookup->timer = loop_timer_create(loop, on_lookup_over, lookup, err);
    assert_non_null(lookup->timer);
    if (strcmp(name, "hang.test") != 0)
        loop_timer_start(lookup->timer, 0);
    lookups++;
    return lookup;
}

/* --- tests --- */

static void an_unreachable_port_and_an_unknown_name_differ(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    char text[256];
    char expected[128];
    unsigned port = free_port();
    struct outcome o =
        fetch(&f, (struct http_request){.url = url(text, sizeof(text), "http", "loop.test", port, "/")});
    (void)snprintf(expected, sizeof(expected), "connect to loop.test:%u: Connection refused", port);
    assert_string_equal(o.message, expected);
    assert_int_equal(o.hop, HTTP_HOP_CONNECT);
    o = fetch(&f, (struct http_request){.url = "https://nowhere.test/secret?x=canary"});
    assert_non_null(strstr(o.message, "DNS lookup of 'nowhere.test' failed: "));
    assert_int_equal(o.hop, HTTP_HOP_DNS);
    assert_int_equal(o.code, GRPC_STATUS_UNAVAILABLE);
    close_client(&f);
}

static void a_hanging_lookup_delays_neither_cancel_nor_deadline_and_is_joined(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    int before = lookups;
    struct outcome o[3] = {0};
    for (size_t i = 0; i < 3; i++) {
        const struct http_request request = {
            .method = "GET", .url = "https://hang.test/", .timeout_ms = i == 0 ? 100 : 60000};
        o[i].call = http_call_start(f.client, &request, on_outcome, &o[i], NULL);
        assert_non_null(o[i].call);
    }
    wait_for(&f, o, 1);
    assert_string_equal(o[0].message, "DNS lookup of 'hang.test' failed: no response within 100 ms");
    assert_int_equal(o[0].code, GRPC_STATUS_DEADLINE_EXCEEDED);
    uint64_t start_ns = uv_hrtime();
    http_call_cancel(&o[1].call);
    assert_null(o[1].call);
    http_client_destroy(f.client); /* with a call still waiting */
    assert_true(uv_hrtime() - start_ns < 100000000);
    assert_int_equal(lookups, before + 1);
    assert_int_equal(uv_run(&f.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&f.loop), 0);
    assert_int_equal(o[1].calls + o[2].calls, 0);
}

static void names_are_resolved_once_and_localhost_never(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    int before = lookups;
    char text[256];
    for (int i = 0; i < 3; i++) {
        struct outcome o = fetch(&f, (struct http_request){.url = url(text, sizeof(text), "http", "loop.test",
                                                                      server.port, "/hello")});
        assert_int_equal(o.status, 200);
    }
    assert_int_equal(lookups, before + 1);
    struct outcome o = fetch(&f, (struct http_request){.url = url(text, sizeof(text), "http", "a.localhost",
                                                                  server.port, "/hello")});
    assert_int_equal(o.status, 200);
    assert_int_equal(lookups, before + 1);
    close_client(&f);
}

/* No name server knows it: a connection for which curl is not given the addresses cannot be made. */
static void each_new_connection_has_addresses(void **state)
{
    static const struct {
        const char *path;
        int status;
    } rows[] = {{"/hello", 200},   {"/hello", 200}, {"/reset", 0},   {"/hello", 200},
                {"/truncated", 0}, {"/reset", 0},   {"/hello", 200}, {"/hello", 200}};
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char text[256];
        struct outcome o = fetch(&f, (struct http_request){.url = url(text, sizeof(text), "http", "loop.test",
                                                                      server.port, rows[i].path)});
        assert_int_equal(o.status, rows[i].status);
        assert_int_equal(o.hop, rows[i].status == 0 ? HTTP_HOP_RECEIVE : HTTP_HOP_NONE);
    }
    close_client(&f);
}

static void a_failed_lookup_is_repeated_and_an_unknown_name_is_remembered(void **state)
{
    (void)state;
    struct fixture f;
    open_client(&f, &PLAIN);
    int before = lookups;
    for (int i = 0; i < 2; i++) {
        struct outcome o = fetch(&f, (struct http_request){.url = "http://mute.test/"});
        assert_string_equal(o.message, "DNS lookup of 'mute.test' failed: silence");
    }
    assert_int_equal(lookups, before + 2);
    for (int i = 0; i < 2; i++) {
        struct outcome o = fetch(&f, (struct http_request){.url = "http://unknown.test/"});
        assert_string_equal(o.message, "DNS lookup of 'unknown.test' failed: no such name");
    }
    assert_int_equal(lookups, before + 3);
    close_client(&f);
}

static void http2_shares_one_connection_even_in_the_first_burst(void **state)
{
    (void)state;
    struct fixture f;
    char text[256];
    open_client(&f, &(const struct http_client_config){.ca_file = tls.ca});
    assert_int_equal(
        hundred_calls(&f, url(text, sizeof(text), "https", "loop.test", tls.port, "/hello"), 200), 1);
    assert_int_equal(hundred_calls(&f, text, 200), 0);
    close_client(&f);
}

static void servers_are_trusted_only_by_the_given_authority_and_name(void **state)
{
    (void)state;
    struct fixture f;
    char text[256];
    char peer[64];
    open_client(&f, &PLAIN);
    url(text, sizeof(text), "https", "loop.test", tls.port, "/hello");
    struct outcome o = fetch(&f, (struct http_request){.url = text});
    assert_int_equal(o.hop, HTTP_HOP_TLS);
    assert_non_null(strstr(o.message, "TLS handshake with loop.test: "));
    o = fetch(&f, (struct http_request){.url = text, .ca_file = tls.ca});
    assert_string_equal(o.body, "hello over tls");
    o = fetch(&f, (struct http_request){.url = text, .insecure_skip_verify = true});
    assert_int_equal(o.status, 200);

    char pem[8192];
    cleanup_file FILE *file = fopen(tls.ca, "re");
    size_t len = fread(pem, 1, sizeof(pem), file);
    o = fetch(&f, (struct http_request){.url = text, .ca_blob = pem, .ca_blob_len = len});
    assert_int_equal(o.status, 200);

    /* The name of the URL counts for TLS, the other address for the socket; the name is not looked up. */
    (void)snprintf(peer, sizeof(peer), "127.0.0.1:%u", tls.port);
    o = fetch(
        &f, (struct http_request){.url = "https://a.localhost/hello", .connect_to = peer, .ca_file = tls.ca});
    assert_int_equal(o.status, 200);
    o = fetch(
        &f, (struct http_request){.url = "https://other.test/hello", .connect_to = peer, .ca_file = tls.ca});
    assert_int_equal(o.hop, HTTP_HOP_TLS);
    close_client(&f);
}

static void https_goes_through_a_tunnel_of_the_proxy(void **state)
{
    (void)state;
    struct fixture f;
    char text[256];
    char proxy[128];
    url(proxy, sizeof(proxy), "http", "user:canary@loop.test", server.port, "");
    assert_int_equal(setenv("HTTPS_PROXY", proxy, 1), 0);
    assert_int_equal(setenv("NO_PROXY", "direct.test", 1), 0);
    open_client(&f, &(const struct http_client_config){.ca_file = tls.ca});
    (void)unsetenv("HTTPS_PROXY"); /* read once */
    (void)unsetenv("NO_PROXY");
    struct http_request request = {.url = url(text, sizeof(text), "https", "loop.test", tls.port, "/hello"),
                                   .proxy = HTTP_PROXY_ENVIRONMENT};
    struct outcome o = fetch(&f, request);
    assert_string_equal(o.body, "hello over tls");

    request.url = "https://refuse.test/x?q=canary"; /* the proxy says 407; the name is not looked up here */
    o = fetch(&f, request);
    assert_int_equal(o.hop, HTTP_HOP_PROXY);
    assert_non_null(strstr(o.message, "refused a tunnel to refuse.test:443: HTTP status 407"));
    assert_null(strstr(o.message, "canary"));

    request.url = "https://direct.test/";
    o = fetch(&f, request);
    assert_int_equal(o.hop, HTTP_HOP_DNS);
    assert_non_null(strstr(o.message, "'direct.test'"));

    char dead[64];
    request.proxy_url = url(dead, sizeof(dead), "http", "127.0.0.1", free_port(), "");
    o = fetch(&f, request);
    assert_int_equal(o.hop, HTTP_HOP_PROXY);
    assert_non_null(strstr(o.message, "connect to proxy 127.0.0.1:"));
    close_client(&f);
}

static void a_silent_tls_peer_fails_within_the_connect_timeout(void **state)
{
    (void)state;
    struct fixture f;
    char text[256];
    cleanup_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof(address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    open_client(&f, &(const struct http_client_config){.ca_file = tls.ca, .connect_timeout_ms = 1500});
    struct outcome o = fetch(&f, (struct http_request){.url = url(text, sizeof(text), "https", "loop.test",
                                                                  ntohs(address.sin_port), "/")});
    assert_int_equal(o.hop, HTTP_HOP_TLS);
    assert_int_equal(o.code, GRPC_STATUS_UNAVAILABLE);
    assert_string_equal(o.message, "TLS handshake with loop.test: not finished within 1500 ms");
    /* Once its queue is full, Linux drops further connection requests: TCP itself hangs. */
    int filler[16];
    for (size_t i = 0; i < ARRAY_SIZE(filler); i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(filler[i], (struct sockaddr *)&address, sizeof(address));
    }
    o = fetch(&f, (struct http_request){.url = text});
    assert_int_equal(o.hop, HTTP_HOP_CONNECT);
    assert_int_equal(o.code, GRPC_STATUS_UNAVAILABLE);
    for (size_t i = 0; i < ARRAY_SIZE(filler); i++)
        (void)close(filler[i]);
    close_client(&f);
}

static void a_missing_ca_file_is_refused(void **state)
{
    (void)state;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    cleanup_error struct error *error = NULL;
    assert_null(
        http_client_create(&loop, &(const struct http_client_config){.ca_file = "/nonexistent.pem"}, &error));
    assert_int_equal(error_code(error), GRPC_STATUS_INVALID_ARGUMENT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unreachable_port_and_an_unknown_name_differ),
        cmocka_unit_test(a_hanging_lookup_delays_neither_cancel_nor_deadline_and_is_joined),
        cmocka_unit_test(names_are_resolved_once_and_localhost_never),
        cmocka_unit_test(each_new_connection_has_addresses),
        cmocka_unit_test(a_failed_lookup_is_repeated_and_an_unknown_name_is_remembered),
        cmocka_unit_test(http2_shares_one_connection_even_in_the_first_burst),
        cmocka_unit_test(servers_are_trusted_only_by_the_given_authority_and_name),
        cmocka_unit_test(https_goes_through_a_tunnel_of_the_proxy),
        cmocka_unit_test(a_silent_tls_peer_fails_within_the_connect_timeout),
        cmocka_unit_test(a_missing_ca_file_is_refused),
    };
    return cmocka_run_group_tests(tests, start_servers, stop_servers);
}
