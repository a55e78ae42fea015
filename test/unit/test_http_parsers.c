/*
 * test_http_parsers.c - Retry-After, HTTP dates, WWW-Authenticate, header fields, proxy rules and escaping.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/http/challenge.h"
#include "common/http/client.h"
#include "common/http/headers.h"
#include "common/http/proxy.h"
#include "common/http/retry_after.h"

#define NOV_1994 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110 */

static void the_three_date_formats_mean_the_same_instant(void **state)
{
    (void)state;
    static const char *const same[] = {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                                       "Sun Nov  6 08:49:37 1994", " Sun, 06 Nov 1994 08:49:37 GMT "};
    for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
        int64_t unix_time = 0;
        assert_int_equal(http_date_parse(same[i], 1700000000, &unix_time), 0);
        assert_int_equal(unix_time, NOV_1994);
    }
}

static void dates_agree_with_the_c_library(void **state)
{
    (void)state;
    for (int64_t t = -2000000000; t < 200000000000; t += 86400 * 37 + 12345) {
        time_t when = (time_t)t;
        struct tm tm;
        char text[64];
        if (gmtime_r(&when, &tm) == NULL || tm.tm_year + 1900 > 9999 || tm.tm_year < 0)
            continue;
        assert_true(strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0);
        int64_t parsed = 0;
        assert_int_equal(http_date_parse(text, 0, &parsed), 0);
        assert_int_equal(parsed, t);
    }
}

static void two_digit_years_are_at_most_fifty_years_ahead(void **state)
{
    (void)state;
    int64_t parsed = 0;
    assert_int_equal(http_date_parse("Friday, 01-Jan-60 00:00:00 GMT", 1700000000, &parsed),
                     0);                  /* seen in 2023 */
    assert_int_equal(parsed, 2840140800); /* 2060 */
    assert_int_equal(http_date_parse("Friday, 01-Jan-80 00:00:00 GMT", 1700000000, &parsed), 0);
    assert_int_equal(parsed, 315532800); /* 1980 */
}

static void malformed_dates_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "now",
                                      "Sun, 06 Nov 1994 08:49:37",
                                      "Sun, 6 Nov 1994 08:49:37 GMT",
                                      "Sun, 31 Feb 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 24:00:00 GMT",
                                      "Sun, 06 Nov 1994 08:49:37 CET",
                                      "Sun, 06 Nov 1994 08:49:37 GMT x",
                                      "Xyz, 06 Nov 1994 08:49:37 GMT",
                                      "Sun Nov 6 08:49:37 1994",
                                      "Sunday",
                                      "Sun,",
                                      "Sun, 00 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 0001 08:49:37 GMT"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        int64_t parsed = 42;
        assert_int_equal(http_date_parse(bad[i], 0, &parsed), -1);
        assert_int_equal(parsed, 42);
    }
}

static int64_t retry_after_of(const char *const *lines)
{
    struct http_response response = {.status = 429, .headers = http_headers_create()};
    assert_non_null(response.headers);
    for (; *lines != NULL; lines++)
        assert_int_equal(http_headers_add_line(response.headers, *lines, strlen(*lines), NULL), 0);
    int64_t ms = http_retry_after_ms(&response, NOV_1994 - 30);
    http_headers_destroy(response.headers);
    return ms;
}

static void retry_after_is_read_in_its_three_spellings(void **state)
{
    (void)state;
    static const struct {
        const char *lines[4];
        int64_t ms;
    } cases[] = {
        {{"Date: x"}, -1},
        {{"Retry-After: 10"}, 10000},
        {{"retry-after:0\r\n"}, 0},
        {{"Retry-After: 10", "x-ms-retry-after-ms: 250"}, 250},
        {{"Retry-After: 10", "x-ms-retry-after-ms: 250", "Retry-After-Ms: 70"}, 70},
        {{"Retry-After: 10", "retry-after-ms: soon"}, 10000},
        {{"Retry-After: Sun, 06 Nov 1994 08:49:37 GMT"}, 30000},
        {{"Retry-After: Sun, 06 Nov 1994 08:40:00 GMT"}, 0},
        {{"Retry-After: -5"}, -1},
        {{"Retry-After: 1.5"}, -1},
        {{"Retry-After: 5 s"}, -1},
        {{"Retry-After:"}, -1},
        {{"Retry-After: 99999999999999999999999999"}, RETRY_AFTER_MAX_MS},
        {{"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"}, RETRY_AFTER_MAX_MS},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(retry_after_of(cases[i].lines), cases[i].ms);
}

static void header_fields_are_found_without_case_and_bounded(void **state)
{
    (void)state;
    struct http_headers *headers = http_headers_create();
    assert_int_equal(http_headers_add_line(headers, "X-Id:  one \r\n", 13, NULL), 0);
    assert_int_equal(http_headers_add_line(headers, "x-id: two", 9, NULL), 0);
    assert_int_equal(http_headers_add_line(headers, "\r\n", 2, NULL), 0);
    assert_string_equal(http_headers_get(headers, "X-ID"), "two");
    assert_null(http_headers_get(headers, "x-i"));
    int ret = 0;
    for (int i = 0; i < HTTP_HEADERS_MAX_FIELDS && ret == 0; i++)
        ret = http_headers_add_line(headers, "a: b", 4, NULL);
    assert_int_equal(ret, -1);
    http_headers_clear(headers);
    assert_null(http_headers_get(headers, "a"));
    char *big = calloc(1, HTTP_HEADERS_MAX_BYTES + 2);
    memset(big, 'v', HTTP_HEADERS_MAX_BYTES + 1);
    big[1] = ':';
    assert_int_equal(http_headers_add_line(headers, big, HTTP_HEADERS_MAX_BYTES, NULL), 0);
    assert_int_equal(http_headers_add_line(headers, "a: bc", 5, NULL), -1);
    free(big);
    http_headers_destroy(headers);
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
        cmocka_unit_test(the_three_date_formats_mean_the_same_instant),
        cmocka_unit_test(dates_agree_with_the_c_library),
        cmocka_unit_test(two_digit_years_are_at_most_fifty_years_ahead),
        cmocka_unit_test(malformed_dates_are_refused),
        cmocka_unit_test(retry_after_is_read_in_its_three_spellings),
        cmocka_unit_test(header_fields_are_found_without_case_and_bounded),
        cmocka_unit_test(bearer_challenges_are_found),
        cmocka_unit_test(broken_or_foreign_challenges_are_refused),
        cmocka_unit_test(no_proxy_follows_the_rules_of_go),
        cmocka_unit_test(upper_case_proxy_variables_win),
        cmocka_unit_test(text_is_escaped_for_urls_and_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
