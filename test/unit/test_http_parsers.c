/*
 * test_http_parsers.c - Retry-After, WWW-Authenticate, proxy rules and escaping.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/secret.h"
#include "common/http/challenge.h"
#include "common/http/client.h"
#include "common/http/proxy.h"
#include "common/http/retry_after.h"

#define NOV_1994 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110 */

static void retry_after_is_a_number_or_a_date(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        int64_t ms;
    } cases[] = {
        {"10", 10000},
        {" 0 ", 0},
        {"99999999999999999999999999", RETRY_AFTER_MAX_MS},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 30000},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 30000},
        {"Sun Nov  6 08:49:37 1994", 30000},
        {" Sun, 06 Nov 1994 08:49:37 GMT ", 30000},
        {"Sun, 06 Nov 1994 08:40:00 GMT", 0},
        {"Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_MAX_MS},
        {"", -1},
        {"-5", -1},
        {"1.5", -1},
        {"5 s", -1},
        {"now", -1},
        {"Sunday", -1},
        {"Sun,", -1},
        {"Sun, 06 Nov 1994 25:00:00 GMT", -1},
        {"Xyz, 06 Nov 1994 08:49:37 GMT", -1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(retry_after_value_ms(cases[i].value, NOV_1994 - 30), cases[i].ms);
    assert_int_equal(retry_after_number_ms("250", 1), 250);
    assert_int_equal(retry_after_number_ms("soon", 1), -1);
}

static void a_response_without_header_fields_has_no_retry_after(void **state)
{
    (void)state;
    struct http_response response = {.status = 429};
    assert_null(http_response_header(&response, "retry-after"));
    assert_int_equal(http_retry_after_ms(&response, NOV_1994), -1);
}

static void assert_same(const char *actual, const char *expected)
{
    if (expected == NULL)
        assert_null(actual);
    else
        assert_string_equal(actual, expected);
}

static void bearer_challenges_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *header, *authorization, *resource, *scope, *claims;
    } cases[] = {
        {"Bearer authorization=\"https://login.example/t\", resource=\"https://vault.example\"",
         "https://login.example/t", "https://vault.example", NULL, NULL},
        {"bearer  Authorization = \"a\" ,SCOPE=s", "a", NULL, "s", NULL},
        {"Basic realm=\"x, Bearer scope=no\", Bearer scope=\"yes\"", NULL, NULL, "yes", NULL},
        {"Negotiate abc==, Bearer resource=r", NULL, "r", NULL, NULL},
        {"Negotiate, Bearer resource=r", NULL, "r", NULL, NULL},
        {"Bearer realm=\"\", authorization_uri=\"u\", error=\"insufficient_claims\", claims=\"eyJ=\"", "u",
         NULL, NULL, "eyJ="},
        {"Bearer scope=\"a \\\"b\\\" \\\\\"", NULL, NULL, "a \"b\" \\", NULL},
        {"Bearer scope=one, scope=two", NULL, NULL, "one", NULL},
        {", ,Bearer ,, scope=x,,Basic realm=y", NULL, NULL, "x", NULL},
        {"Bearer", NULL, NULL, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_http_challenge struct http_challenge challenge = {0};
        assert_int_equal(http_challenge_parse(cases[i].header, &challenge, NULL), 0);
        assert_same(challenge.authorization, cases[i].authorization);
        assert_same(challenge.resource, cases[i].resource);
        assert_same(challenge.scope, cases[i].scope);
        assert_same(challenge.claims, cases[i].claims);
    }
}

static void broken_or_foreign_challenges_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        enum grpc_status code;
    } cases[] = {
        {"", GRPC_STATUS_NOT_FOUND},
        {"Basic realm=\"x\"", GRPC_STATUS_NOT_FOUND},
        {"Bearer scope=\"open", GRPC_STATUS_INVALID_ARGUMENT},
        {"Bearer scope=\"open\\", GRPC_STATUS_INVALID_ARGUMENT},
        {"Bearer error=x, scope=", GRPC_STATUS_INVALID_ARGUMENT},
        {"Bearer scope=a b=c", GRPC_STATUS_INVALID_ARGUMENT},
        {"=x", GRPC_STATUS_INVALID_ARGUMENT},
        {"\"Bearer\"", GRPC_STATUS_INVALID_ARGUMENT},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_error struct error *error = NULL;
        struct http_challenge challenge = {0};
        assert_int_equal(http_challenge_parse(cases[i].header, &challenge, &error), -1);
        assert_int_equal(error_code(error), cases[i].code);
    }
}

static void no_proxy_follows_the_rules_of_go(void **state)
{
    (void)state;
    static const struct {
        const char *no_proxy, *host;
        unsigned port;
        int proxied;
    } cases[] = {
        {NULL, "vault.example", 443, 1},
        {NULL, "localhost", 443, 0},
        {NULL, "vault.localhost", 443, 0},
        {NULL, "127.0.0.9", 80, 0},
        {NULL, "::1", 80, 0},
        {NULL, "169.254.169.254", 80, 1},
        {"169.254.169.254", "169.254.169.254", 80, 0},
        {"*", "vault.example", 443, 0},
        {"example", "vault.example", 443, 0},
        {"vault.example", "vault.example", 443, 0},
        {"vault.example", "VAULT.example", 443, 0},
        {".vault.example", "vault.example", 443, 1},
        {"*.vault.example", "a.vault.example", 443, 0},
        {"*.vault.example", "vault.example", 443, 1},
        {"ault.example", "vault.example", 443, 1},
        {"vault.example:8443", "vault.example", 443, 1},
        {"a, vault.example:443 ,b", "vault.example", 443, 0},
        {"10.0.0.0/8", "10.200.1.2", 443, 0},
        {"10.0.0.0/8", "11.0.0.1", 443, 1},
        {"10.0.0.0/8", "vault.example", 443, 1},
        {"2001:db8::/32", "2001:db8::7", 443, 0},
        {"2001:db8::/32", "2001:db9::7", 443, 1},
        {"10.1.2.3:443", "10.1.2.3", 443, 0},
        {"[2001:db8::1]:443", "2001:db8::1", 443, 0},
        {"[2001:db8::1]:80", "2001:db8::1", 443, 1},
        {"2001:db8::1", "2001:db8::1", 443, 0},
        {",, ,", "vault.example", 443, 1},
        {"a.example\nvault.example\n", "vault.example", 443, 0},
        {"a.example\r\nvault.example\r\nb.example", "vault.example", 443, 0},
        {"\r\n  vault.example:443,\r\n\tb.example\r\n", "vault.example", 443, 0},
        {"a.example,\n.example,\n", "vault.example", 443, 0},
        {"a.example vault.example", "vault.example", 443, 0},
        {"10.0.0.0/8\n192.0.2.0/24\n", "192.0.2.7", 443, 0},
        {"*\n", "vault.example", 443, 0},
        {"\r\n", "vault.example", 443, 1},
        {"vault\n.example2", "vault.example", 443, 1},
        {"10.0.0.0/99", "10.0.0.1", 443, 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char proxy[] = "http://proxy:3128";
        char *no_proxy = cases[i].no_proxy != NULL ? strdup(cases[i].no_proxy) : NULL;
        const struct proxy_settings settings = {
            .http_proxy = proxy, .https_proxy = proxy, .no_proxy = no_proxy};
        const char *found = proxy_for(&settings, true, cases[i].host, cases[i].port);
        assert_int_equal(found != NULL, cases[i].proxied);
        free(no_proxy);
    }
}

static void upper_case_proxy_variables_win(void **state)
{
    (void)state;
    assert_int_equal(setenv("https_proxy", "http://lower:1", 1), 0);
    assert_int_equal(setenv("HTTPS_PROXY", "http://upper:1", 1), 0);
    struct proxy_settings settings;
    assert_int_equal(proxy_settings_init(&settings), 0);
    assert_string_equal(proxy_for(&settings, true, "vault.example", 443), "http://upper:1");
    assert_null(proxy_for(&settings, false, "vault.example", 80));
    proxy_settings_finish(&settings);
    (void)unsetenv("https_proxy");
    (void)unsetenv("HTTPS_PROXY");
}

static void line_breaks_around_a_proxy_variable_do_not_count(void **state)
{
    (void)state;
    assert_int_equal(setenv("HTTPS_PROXY", "\r\n", 1), 0);
    assert_int_equal(setenv("https_proxy", " http://lower:1\r\n", 1), 0);
    assert_int_equal(setenv("HTTP_PROXY", "http://upper:2\n", 1), 0);
    struct proxy_settings settings;
    assert_int_equal(proxy_settings_init(&settings), 0);
    const char *https = proxy_for(&settings, true, "vault.example", 443);
    const char *http = proxy_for(&settings, false, "vault.example", 80);
    assert_string_equal(https, "http://lower:1");
    assert_string_equal(http, "http://upper:2");
    assert_string_equal(proxy_variable(&settings, https), "https_proxy");
    assert_string_equal(proxy_variable(&settings, http), "HTTP_PROXY");
    assert_null(proxy_variable(&settings, "http://lower:1 of a class"));
    proxy_settings_finish(&settings);
    (void)unsetenv("https_proxy");
    (void)unsetenv("HTTPS_PROXY");
    (void)unsetenv("HTTP_PROXY");
}

static void the_last_at_sign_ends_the_password_of_a_proxy(void **state)
{
    (void)state;
    static const struct {
        const char *url, *expected;
    } cases[] = {
        {"http://proxy:3128", "http://proxy:3128"},
        {"http://user:pass@proxy:3128/", "http://user:pass@proxy:3128/"},
        {"http://user:p@ss@proxy:3128", "http://user:p%40ss@proxy:3128"},
        {"https://u@corp.example:p@@ss@[2001:db8::1]:3128",
         "https://u%40corp.example:p%40%40ss@[2001:db8::1]:3128"},
        {"user:p%40s@s@proxy:3128", "user:p%40s%40s@proxy:3128"},
        {"http://user:@@proxy", "http://user:%40@proxy"},
        {"http://proxy:3128/a@b@c", "http://proxy:3128/a@b@c"},
        {"@", "@"},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_secret_free char *escaped = proxy_escape_user(cases[i].url);
        assert_string_equal(escaped, cases[i].expected);
    }
}

static void what_is_no_url_of_a_proxy_is_refused_without_showing_it(void **state)
{
    (void)state;
    static const char *const good[] = {"http://u:p@ss@proxy:3128", "proxy:3128", "http://u:100%@proxy",
                                       "http://u:p%zz@proxy", "socks5://proxy"};
    static const char *const bad[] = {"http://u:s3cret/@proxy:3128", "http://u:s3cret#@proxy:3128",
                                      "http://u:s3cret@proxy:port", "http://u:s3cret\n@proxy", "http://"};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_int_equal(http_check_proxy(good[i], NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cleanup_error struct error *error = NULL;
        assert_int_equal(http_check_proxy(bad[i], &error), -1);
        assert_non_null(strstr(error_message(error), "malformed proxy URL"));
        assert_null(strstr(error_message(error), "s3cret"));
    }
}

static void text_is_escaped_for_urls_and_forms(void **state)
{
    (void)state;
    cleanup_free char *escaped = http_escape("a-Z_0.9~ /?&=%\xc3\xa9");
    assert_string_equal(escaped, "a-Z_0.9~%20%2F%3F%26%3D%25%C3%A9");
    cleanup_buffer struct buffer form;
    buffer_init(&form, 64);
    assert_int_equal(http_form_append(&form, "grant_type", "client_credentials", 18, NULL), 0);
    assert_int_equal(http_form_append(&form, "s", "a b\0c", 5, NULL), 0);
    assert_string_equal(buffer_str(&form), "grant_type=client_credentials&s=a%20b%00c");
    assert_int_equal(http_form_append(&form, "x", "0123456789012345678901234567890123456789", 40, NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retry_after_is_a_number_or_a_date),
        cmocka_unit_test(a_response_without_header_fields_has_no_retry_after),
        cmocka_unit_test(bearer_challenges_are_found),
        cmocka_unit_test(broken_or_foreign_challenges_are_refused),
        cmocka_unit_test(line_breaks_around_a_proxy_variable_do_not_count),
        cmocka_unit_test(the_last_at_sign_ends_the_password_of_a_proxy),
        cmocka_unit_test(what_is_no_url_of_a_proxy_is_refused_without_showing_it),
        cmocka_unit_test(no_proxy_follows_the_rules_of_go),
        cmocka_unit_test(upper_case_proxy_variables_win),
        cmocka_unit_test(text_is_escaped_for_urls_and_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
