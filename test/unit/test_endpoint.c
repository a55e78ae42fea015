/*
 * test_endpoint.c - listen addresses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/cleanup.h"
#include "common/process/endpoint.h"

static void both_spellings_of_both_schemes_are_understood(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int kind;
        const char *address;
    } rows[] = {
        {"unix://tmp/csi.sock", ENDPOINT_UNIX, "/tmp/csi.sock"},
        {"unix:///tmp/csi.sock", ENDPOINT_UNIX, "/tmp/csi.sock"},
        {"UNIX:///a", ENDPOINT_UNIX, "/a"},
        {"Unix://a", ENDPOINT_UNIX, "/a"},
        {"tcp://:7777", ENDPOINT_TCP, ":7777"},
        {"TCP://127.0.0.1:80", ENDPOINT_TCP, "127.0.0.1:80"},
        {"tcp://[::1]:80", ENDPOINT_TCP, "[::1]:80"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct endpoint endpoint = {0};
        assert_int_equal(endpoint_parse(rows[i].text, &endpoint, NULL), 0);
        assert_int_equal(endpoint.kind, rows[i].kind);
        assert_string_equal(endpoint.address, rows[i].address);
        endpoint_finish(&endpoint);
        assert_null(endpoint.address);
    }
}

static void anything_else_is_refused_with_its_text(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",      "unix://", "tcp://",    "udp:///provider/azure.sock", "/tmp/csi.sock", "unix:/tmp",
        "unix:", "tcp",     " unix:///a"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct endpoint endpoint = {0};
        cleanup_error struct error *err = NULL;
        char expected[100];
        (void)snprintf(expected, sizeof(expected), "invalid endpoint: %s", bad[i]);
        assert_int_equal(endpoint_parse(bad[i], &endpoint, &err), -1);
        assert_string_equal(error_message(err), expected);
        assert_int_equal(error_code(err), GRPC_STATUS_INVALID_ARGUMENT);
        assert_null(endpoint.address);
    }
}

static void a_path_of_windows_is_refused_as_such(void **state)
{
    (void)state;
    struct endpoint endpoint = {0};
    cleanup_error struct error *err = NULL;
    assert_int_equal(endpoint_parse("unix://C:\\csi\\csi.sock", &endpoint, &err), -1);
    assert_string_equal(error_message(err),
                        "invalid endpoint: unix://C:\\csi\\csi.sock: paths of Windows are not supported");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_spellings_of_both_schemes_are_understood),
        cmocka_unit_test(anything_else_is_refused_with_its_text),
        cmocka_unit_test(a_path_of_windows_is_refused_as_such),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
