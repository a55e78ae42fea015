/*
 * test_grpc_server - the server against hand-made HTTP/2 and, for whole calls, against our own client.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

#include "common/grpc/client.h"
#include "common/grpc/server.h"
#include "common/secret.h"
#include "proto/provider.pb-c.h"
#include "test/unit/grpc_wire.h"

#define MOUNT "/v1alpha1.CSIDriverProvider/Mount"

struct fixture {
    uv_loop_t loop;
    char dir[32];
    char path[64];
    struct grpc_server *server;
    bool stopped;
    struct grpc_call *held; /* a call that its handler has not ended */
    unsigned n_held;        /* such calls so far */
    unsigned n_cancelled;
    enum grpc_status reason; /* of the last cancellation */
    char observed[256];      /* by the observer: last method */
    enum grpc_status observed_status;
    unsigned n_observed;
};

static void end_call(struct grpc_call *call)
{
    cleanup_error struct error *err = NULL;

    (void)error_set(&err, GRPC_STATUS_ABORTED, "ended");
    grpc_call_fail(call, err);
}

static void on_cancel(struct grpc_call *call, void *arg)
{
    struct fixture *f = arg;

    f->n_cancelled++;
    f->reason = grpc_call_cancel_reason(call);
}

/* attributes: "hold" keeps the call, "fail" fails it, a number asks for so many bytes. */
static void on_mount(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    const V1alpha1__MountRequest *mount = (const V1alpha1__MountRequest *)request;
    struct fixture *f = arg;
    V1alpha1__MountResponse response;
    V1alpha1__File file, *files[] = {&file};
    size_t n = strtoul(mount->attributes, NULL, 10);

    if (strcmp(mount->attributes, "hold") == 0) {
        f->held = call;
        f->n_held++;
        grpc_call_on_cancel(call, on_cancel, f);
        return;
    }
    if (strcmp(mount->attributes, "fail") == 0) {
        end_call(call);
        return;
    }
    v1alpha1__mount_response__init(&response);
    v1alpha1__file__init(&file);
    file.contents.data = calloc(1, n + 1);
    file.contents.len = n;
    response.n_files = 1;
    response.files = files;
    grpc_call_reply(call, &response.base);
    free(file.contents.data);
}

static const struct grpc_method methods[] = {{"Mount", &v1alpha1__mount_request__descriptor, on_mount}};

static void observe(const char *method, enum grpc_status status, uint64_t duration_ns, void *arg)
{
    struct fixture *f = arg;

    (void)duration_ns;
    (void)snprintf(f->observed, sizeof(f->observed), "%s", method);
    f->observed_status = status;
    f->n_observed++;
}

static struct grpc_service service = {"v1alpha1.CSIDriverProvider", methods, 1, NULL};

static void start(struct fixture *f, struct grpc_server_config config)
{
    cleanup_error struct error *err = NULL;

    config.observer = observe;
    config.observer_arg = f;
    service.arg = f;
    f->server = grpc_server_create(&f->loop, &config, &err);
    assert_non_null(f->server);
    grpc_server_add_service(f->server, &service);
    grpc_server_add_health(f->server, GRPC_HEALTH_KNOWN_SERVICES);
    if (grpc_server_listen_unix(f->server, f->path, 0600, &err) < 0)
        fail_msg("%s", error_message(err));
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/grpc-test-XXXXXX");
    if (mkdtemp(f->dir) == NULL || uv_loop_init(&f->loop) != 0)
        return -1;
    (void)snprintf(f->path, sizeof(f->path), "%s/s.sock", f->dir);
    return 0;
}

static void on_stopped(void *arg)
{
    ((struct fixture *)arg)->stopped = true;
}

static void stop(struct fixture *f)
{
    grpc_server_stop(f->server, 0, on_stopped, f);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_true(f->stopped);
    grpc_server_destroy(f->server);
    f->server = NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int rc = uv_loop_close(&f->loop);

    (void)rmdir(f->dir);
    free(f);
    return rc;
}

static struct wire *dial(struct fixture *f)
{
    return wire_from_fd(&f->loop, wire_open(f->path));
}

/* Sends the headers of a good request with some fields replaced or added. */
static void request(struct wire *wire, unsigned id, unsigned flags, const char *path,
                    const char *const *extra)
{
    const char *fields[32] = {":method", "POST",         ":scheme",          "http", ":path",
                              path,      "content-type", "application/grpc", "te",   "trailers"};
    size_t n = 10;

    while (extra != NULL && *extra != NULL)
        fields[n++] = *extra++;
    fields[n] = NULL;
    wire_headers(wire, id, flags, fields);
}

/* A framed MountRequest with these attributes (shorter than 100 bytes). */
static size_t framed(uint8_t *out, const char *attributes)
{
    size_t len = strlen(attributes);

    memcpy(out, "\0\0\0\0", 4);
    out[4] = (uint8_t)(len + 2);
    out[5] = 0x0a;
    out[6] = (uint8_t)len;
    memcpy(out + 7, attributes, len);
    return len + 7;
}

static void call(struct wire *wire, unsigned id, const char *attributes, const char *const *extra)
{
    uint8_t message[128];
    size_t len = framed(message, attributes);

    request(wire, id, 0, MOUNT, extra);
    wire_frame(wire, WIRE_DATA, WIRE_END_STREAM, id, message, len);
}

static void pump(struct fixture *f)
{
    for (int i = 0; i < 20; i++)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
}

/* --- tests --- */

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

static void an_ok_answer_is_headers_then_a_message_then_trailers(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;

    start(f, (struct grpc_server_config){0});
    wire = dial(f);
    wire_hello(wire);
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

    start(f, (struct grpc_server_config){0});
    wire = dial(f);
    wire_hello(wire);
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

static void bad_requests_get_the_answers_of_grpc_go_and_a_reset_without_error(void **state)
{
    static const struct {
        const char *fields[14];
        const char *expected;
    } cases[] = {
        {{":method", "POST", ":path", "/v1alpha1.CSIDriverProvider/Nope", "content-type", "application/grpc"},
         "END :status=200 content-type=application/grpc grpc-status=12 grpc-message=unknown method Nope for "
         "service"},
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

    start(f, (struct grpc_server_config){0});
    wire = dial(f);
    wire_hello(wire);
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

static void defects_of_the_message_are_answered(void **state)
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

    start(f, (struct grpc_server_config){0});
    wire = dial(f);
    wire_hello(wire);
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

    start(f, (struct grpc_server_config){.max_request_bytes = 1000});
    wire = dial(f);
    wire_hello(wire);
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
    start(f, (struct grpc_server_config){0});
    wire = dial(f);
    wire_hello(wire);
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

    start(f, (struct grpc_server_config){0});
    wire = dial(f);
    wire_hello(wire);
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

static void a_passed_deadline_answers_the_client_and_tells_the_handler(void **state)
{
    static const char *const timeout[] = {"grpc-timeout", "20m", NULL};
    struct fixture *f = *state;
    struct wire *wire;

    start(f, (struct grpc_server_config){0});
    wire = dial(f);
    wire_hello(wire);
    call(wire, 1, "hold", timeout);
    assert_true(wire_wait(wire, "grpc-status=4"));
    pump(f);
    assert_int_equal(f->n_cancelled, 1);
    assert_int_equal(f->reason, GRPC_STATUS_DEADLINE_EXCEEDED);
    assert_int_equal(f->n_observed, 0);
    end_call(f->held);
    assert_int_equal(f->n_observed, 1);
    wire_close(wire);
    stop(f);
}

static void a_reset_stream_and_a_lost_connection_cancel(void **state)
{
    struct fixture *f = *state;
    struct grpc_call *first;
    struct wire *wire;

    start(f, (struct grpc_server_config){0});
    wire = dial(f);
    wire_hello(wire);
    call(wire, 1, "hold", NULL);
    while (f->n_held < 1)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    first = f->held;
    wire_frame(wire, WIRE_RST, 0, 1, "\0\0\0\x08", 4);
    while (f->n_cancelled < 1)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(f->reason, GRPC_STATUS_CANCELLED);
    call(wire, 3, "hold", NULL);
    while (f->n_held < 2)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    wire_close(wire);
    while (f->n_cancelled < 2)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    end_call(first);
    end_call(f->held);
    stop(f);
}

static void a_cancel_callback_set_too_late_still_runs_from_the_loop(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;

    start(f, (struct grpc_server_config){0});
    wire = dial(f);
    wire_hello(wire);
    call(wire, 1, "hold", NULL);
    while (f->n_held < 1)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    grpc_call_on_cancel(f->held, NULL, NULL);
    wire_close(wire);
    while (grpc_call_cancel_reason(f->held) == GRPC_STATUS_OK)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    grpc_call_on_cancel(f->held, on_cancel, f);
    assert_int_equal(f->n_cancelled, 0);
    pump(f);
    assert_int_equal(f->n_cancelled, 1);
    end_call(f->held);
    stop(f);
}

static void handlers_count_until_they_end_even_if_their_stream_is_reset(void **state)
{
    struct fixture *f = *state;
    struct grpc_call *held[2];
    struct wire *wire;

    start(f, (struct grpc_server_config){.max_calls = 2});
    wire = dial(f);
    wire_hello(wire);
    for (unsigned i = 0; i < 2; i++) {
        call(wire, 2 * i + 1, "hold", NULL);
        while (f->n_held < i + 1)
            (void)uv_run(&f->loop, UV_RUN_NOWAIT);
        held[i] = f->held;
        wire_frame(wire, WIRE_RST, 0, 2 * i + 1, "\0\0\0\x08", 4);
    }
    call(wire, 5, "0", NULL);
    assert_true(wire_wait(wire, "HEADERS 5 END :status=200 content-type=application/grpc grpc-status=8"));
    end_call(held[0]);
    call(wire, 7, "0", NULL);
    assert_true(wire_wait(wire, "HEADERS 7 END grpc-status=0\n"));
    end_call(held[1]);
    wire_close(wire);
    stop(f);
}

static void further_connections_wait_until_one_is_closed(void **state)
{
    struct fixture *f = *state;
    struct wire *first, *second, *third;

    start(f, (struct grpc_server_config){.max_connections = 1});
    first = dial(f);
    second = dial(f);
    third = dial(f);
    assert_true(wire_wait(first, "SETTINGS\n"));
    pump(f);
    wire_read(second);
    assert_string_equal(second->log, "");
    wire_close(first);
    assert_true(wire_wait(second, "SETTINGS\n"));
    wire_close(second);
    assert_true(wire_wait(third, "SETTINGS\n"));
    wire_close(third);
    stop(f);
}

static void a_client_that_never_reads_is_dropped(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;

    start(f, (struct grpc_server_config){.write_timeout_ms = 30});
    wire = dial(f);
    wire_hello(wire);
    wire_frame(wire, WIRE_SETTINGS, 0, 0, "\0\4\x7f\xff\xff\xff", 6); /* window of 2 GiB */
    wire_frame(wire, WIRE_WINDOW, 0, 0, "\x7f\0\0\0", 4);
    call(wire, 1, "3000000", NULL);
    while (f->n_observed < 1)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    /* Nothing is read here, so only the server's own limit can end this. */
    do
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    while (poll(&(struct pollfd){.fd = wire->fd, .events = POLLRDHUP}, 1, 0) == 0);
    assert_true(wire_wait(wire, "CLOSED"));
    wire_close(wire);
    stop(f);
}

static void an_answer_that_gets_no_window_is_given_up(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;

    start(f, (struct grpc_server_config){.write_timeout_ms = 30});
    wire = dial(f);
    wire_hello(wire);
    wire_frame(wire, WIRE_SETTINGS, 0, 0, "\0\4\0\0\0\0", 6);
    call(wire, 1, "10", NULL);
    assert_true(wire_wait(wire, "RST_STREAM 1 code=8\n"));
    wire_close(wire);
    stop(f);
}

static void a_stream_above_the_limit_is_refused(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;

    start(f, (struct grpc_server_config){.max_streams = 2});
    wire = dial(f);
    wire_hello(wire);
    request(wire, 1, 0, MOUNT, NULL);
    request(wire, 3, 0, MOUNT, NULL);
    request(wire, 5, 0, MOUNT, NULL);
    assert_true(wire_wait(wire, "RST_STREAM 5 code=7\n"));
    wire_close(wire);
    stop(f);
}

static void an_idle_connection_is_closed_gracefully(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;

    start(f, (struct grpc_server_config){.idle_timeout_ms = 20});
    wire = dial(f);
    wire_hello(wire);
    assert_true(wire_wait(wire, "GOAWAY last=2147483647 code=0\n"));
    assert_true(wire_wait(wire, "PING\n"));
    wire_frame(wire, WIRE_PING, WIRE_ACK, 0, "\0\0\0\0\0\0\0\0", 8);
    assert_true(wire_wait(wire, "GOAWAY last=0 code=0\n"));
    assert_true(wire_wait(wire, "CLOSED"));
    wire_close(wire);
    stop(f);
}

static void stop_drains_a_running_call_and_then_cancels_it(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;
    struct stat st;

    start(f, (struct grpc_server_config){0});
    wire = dial(f);
    wire_hello(wire);
    call(wire, 1, "hold", NULL);
    while (f->n_held < 1)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    grpc_server_stop(f->server, 50, on_stopped, f);
    assert_int_equal(lstat(f->path, &st), -1);
    assert_int_equal(f->n_cancelled, 0);
    assert_true(wire_wait(wire, "GOAWAY last=2147483647"));
    while (f->n_cancelled < 1)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(f->reason, GRPC_STATUS_UNAVAILABLE);
    pump(f);
    assert_false(f->stopped); /* waits for the handler */
    end_call(f->held);
    assert_true(wire_wait(wire, "grpc-status=10"));
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_true(f->stopped);
    grpc_server_destroy(f->server);
    wire_close(wire);
}

static void stop_lets_a_call_finish_within_the_drain_time(void **state)
{
    struct fixture *f = *state;
    struct wire *wire;

    start(f, (struct grpc_server_config){0});
    wire = dial(f);
    wire_hello(wire);
    call(wire, 1, "hold", NULL);
    while (f->n_held < 1)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    grpc_server_stop(f->server, 60000, on_stopped, f);
    assert_true(wire_wait(wire, "PING\n"));
    wire_frame(wire, WIRE_PING, WIRE_ACK, 0, "\0\0\0\0\0\0\0\0", 8);
    assert_true(wire_wait(wire, "GOAWAY last=1 code=0"));
    end_call(f->held);
    assert_true(wire_wait(wire, "CLOSED"));
    assert_non_null(strstr(wire->log, "grpc-status=10"));
    assert_int_equal(f->n_cancelled, 0);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_true(f->stopped);
    grpc_server_destroy(f->server);
    wire_close(wire);
}

static void the_socket_has_exactly_the_mode_asked_for_and_leaves_no_other_file(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    start(f, (struct grpc_server_config){0});
    assert_int_equal(lstat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    stop(f);
    assert_int_equal(rmdir(f->dir), 0);
}

static void a_stale_socket_is_replaced_and_a_successors_is_not_removed(void **state)
{
    struct fixture *f = *state;
    struct grpc_server *first;
    struct stat st;

    start(f, (struct grpc_server_config){0});
    first = f->server;
    start(f, (struct grpc_server_config){0}); /* the successor takes over */
    grpc_server_stop(first, 0, on_stopped, f);
    while (!f->stopped)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    grpc_server_destroy(first);
    assert_int_equal(lstat(f->path, &st), 0);
    f->stopped = false;
    stop(f);
    assert_int_equal(lstat(f->path, &st), -1);
}

static void bad_places_for_a_socket_are_named(void **state)
{
    struct fixture *f = *state;
    cleanup_error struct error *empty = NULL, *longer = NULL, *file = NULL;
    struct grpc_server *server = grpc_server_create(&f->loop, &(struct grpc_server_config){0}, NULL);
    char path[200] = {0};
    int fd = open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    memset(path, 'x', sizeof(path) - 1);
    assert_int_equal(grpc_server_listen_unix(server, "", 0600, &empty), -1);
    assert_int_equal(error_code(empty), GRPC_STATUS_INVALID_ARGUMENT);
    assert_int_equal(grpc_server_listen_unix(server, path, 0600, &longer), -1);
    assert_int_equal(error_code(longer), GRPC_STATUS_INVALID_ARGUMENT);
    assert_int_equal(grpc_server_listen_unix(server, f->path, 0600, &file), -1);
    assert_int_equal(error_code(file), GRPC_STATUS_FAILED_PRECONDITION);
    (void)close(fd);
    (void)unlink(f->path);
    grpc_server_destroy(server);
}

static void a_path_of_exactly_107_bytes_works(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    char path[108] = {0};
    size_t len = strlen(f->dir);

    memcpy(path, f->dir, len);
    path[len] = '/';
    memset(path + len + 1, 's', 106 - len);
    f->server = grpc_server_create(&f->loop, &(struct grpc_server_config){0}, NULL);
    assert_int_equal(strlen(path), 107);
    assert_int_equal(grpc_server_listen_unix(f->server, path, 0700, NULL), 0);
    assert_int_equal(lstat(path, &st), 0);
    stop(f);
    assert_int_equal(lstat(path, &st), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(settings_are_sent_at_accept_without_waiting_for_the_client),
        TEST(an_ok_answer_is_headers_then_a_message_then_trailers),
        TEST(any_authority_and_none_is_accepted),
        TEST(bad_requests_get_the_answers_of_grpc_go_and_a_reset_without_error),
        TEST(malformed_requests_are_reset_as_protocol_errors),
        TEST(defects_of_the_message_are_answered),
        TEST(an_oversized_message_is_refused_as_soon_as_its_prefix_is_read),
        TEST(too_many_header_bytes_are_refused),
        TEST(pings_are_acknowledged_and_many_of_them_are_no_abuse),
        TEST(a_peer_that_speaks_something_else_is_dropped),
        TEST(a_passed_deadline_answers_the_client_and_tells_the_handler),
        TEST(a_reset_stream_and_a_lost_connection_cancel),
        TEST(a_cancel_callback_set_too_late_still_runs_from_the_loop),
        TEST(handlers_count_until_they_end_even_if_their_stream_is_reset),
        TEST(further_connections_wait_until_one_is_closed),
        TEST(a_client_that_never_reads_is_dropped),
        TEST(an_answer_that_gets_no_window_is_given_up),
        TEST(a_stream_above_the_limit_is_refused),
        TEST(an_idle_connection_is_closed_gracefully),
        TEST(stop_drains_a_running_call_and_then_cancels_it),
        TEST(stop_lets_a_call_finish_within_the_drain_time),
        TEST(the_socket_has_exactly_the_mode_asked_for_and_leaves_no_other_file),
        TEST(a_stale_socket_is_replaced_and_a_successors_is_not_removed),
        TEST(bad_places_for_a_socket_are_named),
        TEST(a_path_of_exactly_107_bytes_works),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* as lifecycle.c does for the daemons */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
