/*
 * test_grpc_server.c - how the gRPC server responds to good requests, to bad ones, to bad HTTP/2. The
 * fixture: grpc_server_fixture.h.
 */
#include "test/unit/grpc_server_fixture.h"

static void settings_are_sent_at_accept_without_waiting_for_the_client(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;

    start(f, (struct grpc_server_config){0});
    wire = dial(f);
    assert_true(wire_wait(wire, "SETTINGS\n"));
    wire_close(wire);
    stop(f);
}

static void an_ok_response_is_headers_then_a_message_then_trailers(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;

    wire = start_and_dial(f, (struct grpc_server_config){0});
    call(wire, 1, "0", NULL);
    assert_true(wire_wait(wire, "HEADERS 1 :status=200 content-type=application/grpc\nDATA 1 len=7\n"
                                "HEADERS 1 END grpc-status=0\n"));
    assert_string_equal(f->observed, MOUNT);
    assert_int_equal(f->observed_status, GRPC_STATUS_OK);
    assert_null(strstr(wire->log, "RST_STREAM"));
    wire_close(wire);
    stop(f);
}

static void any_authority_and_none_is_accepted(void **state)
{
    static const char *const authorities[] = {"localhost", "", "/var/lib/kubelet/x.sock", "%2Fvar%2Fx.sock",
                                              "unix:///x y"};
    struct fixture *f = *state;
    struct wire *wire;

    wire = start_and_dial(f, (struct grpc_server_config){0});
    for (unsigned i = 0; i < ARRAY_SIZE(authorities); i++) {
        unsigned id = 2 * i + 1;
        const char *fields[] = {":method", "POST",       ":scheme",      "http",         ":path",
                                MOUNT,     ":authority", authorities[i], "content-type", "application/grpc",
                                NULL};
        uint8_t message[32];
        char expected[64];

        wire_headers(wire, id, 0, fields);
        wire_frame(wire, WIRE_DATA, WIRE_END_STREAM, id, message, framed(message, "0"));
        (void)snprintf(expected, sizeof(expected), "HEADERS %u END grpc-status=0\n", id);
        assert_true(wire_wait(wire, expected));
    }
    wire_close(wire);
    stop(f);
}

static void bad_requests_get_the_responses_of_grpc_go_and_a_reset_without_error(void **state)
{
    static const struct {
        const char *fields[14];
        const char *expected;
    } cases[] = {
        {{":method", "POST", ":path", "/v1alpha1.CSIDriverProvider/Nope", "content-type", "application/grpc"},
         "END :status=200 content-type=application/grpc grpc-status=12 grpc-message=unknown method Nope for service"},
        {{":method", "POST", ":path", "/a.B/C", "content-type", "application/grpc"},
         "grpc-status=12 grpc-message=unknown service a.B"},
        {{":method", "POST", ":path", "nonsense", "content-type", "application/grpc"},
         "grpc-status=12 grpc-message=malformed"},
        {{":method", "POST", ":path", MOUNT, "content-type", "text/plain"},
         "END :status=415 content-type=application/grpc grpc-status=3"},
        {{":method", "POST", ":path", MOUNT}, "END :status=415"},
        {{":method", "GET", ":path", MOUNT, "content-type", "application/grpc"},
         "END :status=405 content-type=application/grpc grpc-status=13"},
        {{":method", "POST", ":path", MOUNT, "content-type", "application/grpc", "grpc-timeout", "1x"},
         "END :status=400 content-type=application/grpc grpc-status=13"},
        {{":method", "POST", ":path", MOUNT, "content-type", "application/grpc", "grpc-timeout", "0n"},
         "END :status=200 content-type=application/grpc grpc-status=4"},
        {{":method", "POST", ":path", MOUNT, "content-type", "application/grpc", "grpc-encoding", "gzip"},
         "grpc-status=12 grpc-accept-encoding=identity"},
    };
    struct fixture *f = *state;

    start(f, (struct grpc_server_config){0});
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct wire *wire = dial(f);

        wire_hello(wire);
        wire_headers(wire, 1, 0, cases[i].fields); /* the body never comes */
        assert_true(wire_wait(wire, cases[i].expected));
        assert_true(wire_wait(wire, "RST_STREAM 1 code=0\n"));
        wire_close(wire);
    }
    stop(f);
}

static void malformed_requests_are_reset_as_protocol_errors(void **state)
{
    static const char *const cases[][14] = {
        {":method", "POST", "content-type", "application/grpc"},
        {":method", "POST", ":path", MOUNT, "content-type", "application/grpc", "connection", "close"},
        {":method", "POST", "a", "b", ":path", MOUNT},
        {":method", "POST", ":path", MOUNT, ":path", MOUNT},
        {":method", "POST", ":path", MOUNT, "Upper", "case"},
    };
    struct fixture *f = *state;
    struct wire *wire;

    wire = start_and_dial(f, (struct grpc_server_config){0});
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        char expected[64];

        wire_headers(wire, 2 * i + 1, 0, cases[i]);
        (void)snprintf(expected, sizeof(expected), "RST_STREAM %u code=1\n", 2 * i + 1);
        assert_true(wire_wait(wire, expected));
    }
    call(wire, 99, "0", NULL); /* the connection is still good */
    assert_true(wire_wait(wire, "HEADERS 99 END grpc-status=0\n"));
    wire_close(wire);
    stop(f);
}

static void defects_of_the_message_have_a_status(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *expected;
    } cases[] = {
        {"\1\0\0\0\0", 5, "grpc-status=13 grpc-message=grpc: compressed flag set"},
        {"\0\0\0\0\0\0\0\0\0\0", 10, "grpc-status=13 grpc-message=grpc: more than one message"},
        {"\0\0\0\0", 4, "grpc-status=13 grpc-message=grpc: stream ended inside a message"},
        {"", 0, "grpc-status=13 grpc-message=grpc: no message"},
        {"\0\0\0\0\2\x0a\x05", 7, "grpc-status=13 grpc-message=grpc: failed to unmarshal"},
        {"\0\0\0\0\4\x0a\x02\0x", 9,
         "grpc-status=3 grpc-message=grpc: field attributes of MountRequest contains a NUL"},
        {"\0\0\0\0\3\x0a\x01\xff", 8,
         "grpc-status=3 grpc-message=grpc: field attributes of MountRequest is not valid UTF-8"},
    };
    struct fixture *f = *state;
    struct wire *wire;

    wire = start_and_dial(f, (struct grpc_server_config){0});
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        request(wire, 2 * i + 1, 0, MOUNT, NULL);
        wire_frame(wire, WIRE_DATA, WIRE_END_STREAM, 2 * i + 1, cases[i].bytes, cases[i].len);
        assert_true(wire_wait(wire, cases[i].expected));
    }
    wire_close(wire);
    stop(f);
}

static void an_oversized_message_is_refused_as_soon_as_its_prefix_is_read(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;

    wire = start_and_dial(f, (struct grpc_server_config){.max_request_bytes = 1000});
    request(wire, 1, 0, MOUNT, NULL);
    wire_frame(wire, WIRE_DATA, 0, 1, "\0\0\0", 3); /* a split prefix */
    wire_frame(wire, WIRE_DATA, 0, 1, "\3\xe9", 2);
    assert_true(wire_wait(
        wire, "grpc-status=8 grpc-message=grpc: received message larger than max (1001 vs. 1000)\n"));
    assert_true(wire_wait(wire, "RST_STREAM 1 code=0\n"));
    wire_close(wire);
    stop(f);
}

static void too_many_header_bytes_are_refused(void **state)
{
    char value[121] = {0};
    const char *fields[64] = {":method", "POST", ":path", MOUNT, "content-type", "application/grpc"};
    struct fixture *f = *state;
    struct wire *wire;

    memset(value, 'x', 120);
    for (size_t i = 6; i < 62; i += 2) {
        fields[i] = "x-large";
        fields[i + 1] = value;
    }
    wire = start_and_dial(f, (struct grpc_server_config){0});
    wire_headers(wire, 1, 0, fields); /* 28 * 159 + ... < 16 KiB: fine */
    wire_frame(wire, WIRE_DATA, WIRE_END_STREAM, 1, "\0\0\0\0\0", 5);
    assert_true(wire_wait(wire, "HEADERS 1 END grpc-status=0\n"));
    {
        /* The same field a hundred times through the dynamic table: two bytes each on the wire. */
        uint8_t block[512];
        size_t len = 0;

        memcpy(block, "\x40\x01x\x78", 4); /* literal with incremental indexing, value of 120 bytes */
        memset(block + 4, 'y', 120);
        len = 124;
        memset(block + len, 0xbe, 150); /* index 62 */
        len += 150;
        wire_frame(wire, WIRE_HEADERS, WIRE_END_HEADERS, 3, block, len);
    }
    assert_true(wire_wait(wire, "HEADERS 3 END :status=200 content-type=application/grpc grpc-status=8"));
    wire_close(wire);
    stop(f);
}

static void pings_are_acknowledged_and_many_of_them_are_no_abuse(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;

    wire = start_and_dial(f, (struct grpc_server_config){0});
    for (unsigned i = 0; i < 1500; i++) {
        wire_frame(wire, WIRE_PING, 0, 0, "\2\4\x10\x10\t\x0e\7\7", 8);
        if (i % 100 == 0)
            wire_read(wire);
    }
    call(wire, 1, "0", NULL);
    assert_true(wire_wait(wire, "HEADERS 1 END grpc-status=0\n"));
    assert_non_null(strstr(wire->log, "PING ACK\n"));
    wire_close(wire);
    stop(f);
}

static void a_peer_that_speaks_something_else_is_dropped(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;

    start(f, (struct grpc_server_config){0});
    wire = dial(f);
    wire_send(wire, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
    assert_true(wire_wait(wire, "CLOSED"));
    wire_close(wire);
    stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(settings_are_sent_at_accept_without_waiting_for_the_client),
        TEST(an_ok_response_is_headers_then_a_message_then_trailers),
        TEST(any_authority_and_none_is_accepted),
        TEST(bad_requests_get_the_responses_of_grpc_go_and_a_reset_without_error),
        TEST(malformed_requests_are_reset_as_protocol_errors),
        TEST(defects_of_the_message_have_a_status),
        TEST(an_oversized_message_is_refused_as_soon_as_its_prefix_is_read),
        TEST(too_many_header_bytes_are_refused),
        TEST(pings_are_acknowledged_and_many_of_them_are_no_abuse),
        TEST(a_peer_that_speaks_something_else_is_dropped),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* as lifecycle.c does for the daemons */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
