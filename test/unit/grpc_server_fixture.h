/*
 * grpc_server_fixture.h - for tests: the gRPC server with one method, whose handler does what the request
 * says, and requests to it by hand-made HTTP/2 (grpc_wire.h).
 */
#ifndef TEST_UNIT_GRPC_SERVER_FIXTURE_H
#define TEST_UNIT_GRPC_SERVER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>

#include "common/grpc/server.h"
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

static inline void end_call(struct grpc_call *call)
{
    cleanup_error struct error *err = NULL;

    (void)error_set(&err, GRPC_STATUS_ABORTED, "ended");
    grpc_call_fail(call, err);
}

static inline void on_cancel(struct grpc_call *call, void *arg)
{
    struct fixture *f = arg;

    f->n_cancelled++;
    f->reason = grpc_call_cancel_reason(call);
}

/* attributes: "hold" keeps the call, "hold N" until N ms before its deadline, a number asks for so many
 * bytes. */
static inline void on_mount(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    const V1alpha1__MountRequest *mount = (const V1alpha1__MountRequest *)request;
    struct fixture *f = arg;
    V1alpha1__MountResponse response;
    V1alpha1__File file, *files[] = {&file};
    size_t n = strtoul(mount->attributes, NULL, 10);

    if (strncmp(mount->attributes, "hold", 4) == 0) {
        f->held = call;
        f->n_held++;
        grpc_call_on_cancel(call, on_cancel, f);
        grpc_call_cancel_early(call, strtoul(mount->attributes + 4, NULL, 10));
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

static inline void observe(const char *method, enum grpc_status status, uint64_t duration_ns, void *arg)
{
    struct fixture *f = arg;

    (void)duration_ns;
    (void)snprintf(f->observed, sizeof(f->observed), "%s", method);
    f->observed_status = status;
    f->n_observed++;
}

static struct grpc_service service = {"v1alpha1.CSIDriverProvider", methods, 1, NULL};

static inline void start(struct fixture *f, struct grpc_server_config config)
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

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    *state = f;
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/grpc-test-XXXXXX");
    if (mkdtemp(f->dir) == NULL || uv_loop_init(&f->loop) != 0)
        return -1;
    (void)snprintf(f->path, sizeof(f->path), "%s/s.sock", f->dir);
    return 0;
}

static inline void on_stopped(void *arg)
{
    ((struct fixture *)arg)->stopped = true;
}

static inline void stop(struct fixture *f)
{
    grpc_server_stop(f->server, 0, on_stopped, f);
    assert_int_equal(uv_run(&f->loop, UV_RUN_DEFAULT), 0);
    assert_true(f->stopped);
    grpc_server_destroy(f->server);
    f->server = NULL;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    int rc = uv_loop_close(&f->loop);

    (void)rmdir(f->dir);
    free(f);
    return rc;
}

static inline struct wire *dial(struct fixture *f)
{
    return wire_from_fd(&f->loop, wire_open(f->path));
}

/* Sends the headers of a good request with some fields replaced or added. */
static inline void request(struct wire *wire, unsigned id, unsigned flags, const char *path,
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
static inline size_t framed(uint8_t *out, const char *attributes)
{
    size_t len = strlen(attributes);

    memcpy(out, "\0\0\0\0", 4);
    out[4] = (uint8_t)(len + 2);
    out[5] = 0x0a;
    out[6] = (uint8_t)len;
    memcpy(out + 7, attributes, len);
    return len + 7;
}

static inline void call(struct wire *wire, unsigned id, const char *attributes, const char *const *extra)
{
    uint8_t message[128];
    size_t len = framed(message, attributes);

    request(wire, id, 0, MOUNT, extra);
    wire_frame(wire, WIRE_DATA, WIRE_END_STREAM, id, message, len);
}

/* Starts a server with one connection to it. */
static inline struct wire *start_and_dial(struct fixture *f, struct grpc_server_config config)
{
    struct wire *wire;

    start(f, config);
    wire = dial(f);
    wire_hello(wire);
    return wire;
}

/* Sends a call that its handler keeps, as f->held. */
static inline void hold(struct fixture *f, struct wire *wire, unsigned id)
{
    unsigned held = f->n_held + 1;

    call(wire, id, "hold", NULL);
    while (f->n_held < held)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
}

static inline void pump(struct fixture *f)
{
    for (int i = 0; i < 20; i++)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
