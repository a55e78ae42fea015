/*
 * grpc_client_fixture.h - for tests: a channel, and a socket on which the test is the server. `setup` and
 * `teardown` belong to each test.
 */
#ifndef TEST_UNIT_GRPC_CLIENT_FIXTURE_H
#define TEST_UNIT_GRPC_CLIENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <signal.h>

#include "common/base/secret.h"
#include "common/grpc/client.h"
#include "proto/provider.pb-c.h"
#include "test/unit/grpc_wire.h"

#define VERSION "/v1alpha1.CSIDriverProvider/Version"

struct outcome {
    unsigned n; /* callbacks so far */
    enum grpc_status code;
    char text[512];
    struct fixture *fixture;
};

struct fixture {
    uv_loop_t loop;
    char dir[32];
    char path[64];
    int listen_fd;
    struct grpc_channel *channel;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    f->listen_fd = -1;
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/grpc-test-XXXXXX");
    if (mkdtemp(f->dir) == NULL || uv_loop_init(&f->loop) != 0)
        return -1;
    (void)snprintf(f->path, sizeof(f->path), "%s/s.sock", f->dir);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    uint64_t end = uv_hrtime() / 1000000 + WIRE_PATIENCE_MS;
    int rc;

    grpc_channel_destroy(f->channel);
    while (uv_run(&f->loop, UV_RUN_NOWAIT) != 0 && uv_hrtime() / 1000000 < end)
        ; /* what a failed test has left would keep the loop alive for ever */
    rc = uv_loop_close(&f->loop);
    if (f->listen_fd >= 0)
        (void)close(f->listen_fd);
    (void)unlink(f->path);
    (void)rmdir(f->dir);
    free(f);
    return rc;
}

static void open_channel(struct fixture *f, struct grpc_channel_config config)
{
    config.unix_path = f->path;
    f->channel = grpc_channel_create(&f->loop, &config, NULL);
    assert_non_null(f->channel);
}

static void listen_here(struct fixture *f)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", f->path);
    f->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listen_fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(f->listen_fd, 10), 0);
}

/* Accepts the client and sends our SETTINGS. */
static struct wire *accept_client(struct fixture *f)
{
    struct wire *wire;
    int fd;

    while ((fd = accept(f->listen_fd, NULL, NULL)) == -1)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    wire = wire_from_fd(&f->loop, fd);
    wire_frame(wire, WIRE_SETTINGS, 0, 0, NULL, 0);
    return wire;
}

static void on_outcome(ProtobufCMessage *response, const struct error *error, void *arg)
{
    struct outcome *outcome = arg;

    outcome->n++;
    outcome->code = error_code(error);
    assert_true((response == NULL) == (error != NULL));
    (void)snprintf(outcome->text, sizeof(outcome->text), "%s",
                   error != NULL ? error_message(error) : ((V1alpha1__VersionResponse *)response)->version);
    if (response != NULL)
        protobuf_c_message_free_unpacked(response, secret_protobuf_allocator());
}

static struct grpc_client_call *send_request(struct fixture *f, uint64_t timeout_ms,
                                             grpc_client_callback *callback, void *arg)
{
    V1alpha1__VersionRequest request;
    struct grpc_client_call *call;

    v1alpha1__version_request__init(&request);
    request.version = (char *)(uintptr_t) "v1alpha1";
    call = grpc_client_call_start(f->channel, VERSION, &request.base, &v1alpha1__version_response__descriptor,
                                  timeout_ms, callback, arg, NULL);
    assert_non_null(call);
    return call;
}

static void wait_for(struct fixture *f, const struct outcome *outcome, unsigned n)
{
    uint64_t end = uv_hrtime() / 1000000 + WIRE_PATIENCE_MS;

    while (outcome->n < n && uv_hrtime() / 1000000 < end)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_int_equal(outcome->n, n);
}

static const char *const ok_headers[] = {":status", "200", "content-type", "application/grpc", NULL};
static const char *const ok_trailers[] = {"grpc-status", "0", NULL};
static const uint8_t version_response[] = "\0\0\0\0\x04\x0a\x02v1"; /* VersionResponse { version: "v1" } */
enum { RESPONSE_LEN = sizeof(version_response) - 1 };

static void reply(struct wire *wire, unsigned id)
{
    wire_headers(wire, id, 0, ok_headers);
    wire_frame(wire, WIRE_DATA, 0, id, version_response, RESPONSE_LEN);
    wire_headers(wire, id, WIRE_END_STREAM, ok_trailers);
}

/* Of a server of ours. */
static inline void on_stopped(void *arg)
{
    *(bool *)arg = true;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
