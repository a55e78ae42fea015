/*
 * fuzz_grpc_client - bytes of a server against a channel with two calls, over a Unix socket.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/secret.h"
#include "common/grpc/client.h"
#include "proto/provider.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a socket takes without the other side reading. */
enum { INPUT_MAX = 64 * 1024 };

struct target {
    uv_loop_t loop;
    int listen_fd;
    struct sockaddr_un address;
    unsigned n_outcomes;
    struct grpc_pushback pushbacks[2];
};

static struct target target = {.listen_fd = -1};

static void start(void)
{
    char dir[] = "/tmp/fuzz-grpc-XXXXXX";

    (void)signal(SIGPIPE, SIG_IGN);
    if (mkdtemp(dir) == NULL || uv_loop_init(&target.loop) != 0)
        abort();
    target.address.sun_family = AF_UNIX;
    (void)snprintf(target.address.sun_path, sizeof(target.address.sun_path), "%s/s", dir);
    target.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(target.listen_fd, (const struct sockaddr *)&target.address, sizeof(target.address)) == -1 ||
        listen(target.listen_fd, 16) == -1)
        abort();
}

static void on_outcome(ProtobufCMessage *response, const struct error *error, void *arg)
{
    const struct grpc_pushback *pushback = arg;

    if ((response == NULL) == (error == NULL) || pushback->kind > GRPC_PUSHBACK_NO_RETRY ||
        pushback->pause_ms > (pushback->kind == GRPC_PUSHBACK_AFTER ? INT32_MAX : 0))
        abort();
    if (response != NULL)
        protobuf_c_message_free_unpacked(response, secret_protobuf_allocator());
    target.n_outcomes++;
}

static void start_call(struct grpc_channel *channel, struct grpc_pushback *pushback)
{
    V1alpha1__MountRequest request;
    struct grpc_client_call *call;

    v1alpha1__mount_request__init(&request);
    *pushback = (struct grpc_pushback){.pause_ms = UINT32_MAX}; /* until the outcome */
    call = grpc_client_call_start(channel, "/v1alpha1.CSIDriverProvider/Mount", &request.base,
                                  &v1alpha1__mount_response__descriptor, 60000, on_outcome, pushback, NULL);
    if (call == NULL)
        abort();
    grpc_client_call_pushback(call, pushback);
}

/* The length of the SETTINGS frame at the beginning, 0 when something else is there. */
static size_t settings_len(const uint8_t *data, size_t size)
{
    enum { HEADER = 9, SETTINGS = 4 };
    size_t len = size < HEADER ? 0 : ((size_t)data[0] << 16 | (size_t)data[1] << 8 | data[2]) + HEADER;

    return len <= size && len > 0 && data[3] == SETTINGS ? len : 0;
}

/* Reads requests until no more come. */
static void read_requests(int fd)
{
    enum { IDLE_TURNS = 3 };
    uint8_t sink[4096];

    for (unsigned idle = 0; idle < IDLE_TURNS;) {
        idle = recv(fd, sink, sizeof(sink), 0) > 0 ? 0 : idle + 1;
        (void)uv_run(&target.loop, UV_RUN_NOWAIT);
    }
}

/* Gives the input to the connection that the channel makes, then ends it. The channel sends its requests when
 * it has the server's settings; what comes behind them is for these requests. */
static void serve(const uint8_t *data, size_t size)
{
    size_t first = settings_len(data, size);
    uint8_t sink[4096];
    int fd;

    while ((fd = accept4(target.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) == -1)
        (void)uv_run(&target.loop, UV_RUN_NOWAIT);
    if (first > 0) {
        (void)send(fd, data, first, MSG_NOSIGNAL);
        read_requests(fd);
    }
    (void)send(fd, data + first, size - first, MSG_NOSIGNAL);
    (void)shutdown(fd, SHUT_WR);
    while (target.n_outcomes < 2) {
        (void)recv(fd, sink, sizeof(sink), 0);
        (void)uv_run(&target.loop, UV_RUN_NOWAIT);
    }
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct grpc_channel_config config = {.unix_path = target.address.sun_path, .max_response_bytes = 10000};
    struct grpc_channel *channel;

    if (target.listen_fd == -1)
        start();
    if (size > INPUT_MAX)
        return 0;
    target.n_outcomes = 0;
    channel = grpc_channel_create(&target.loop, &config, NULL);
    start_call(channel, &target.pushbacks[0]);
    start_call(channel, &target.pushbacks[1]);
    serve(data, size);
    grpc_channel_destroy(channel);
    (void)uv_run(&target.loop, UV_RUN_DEFAULT);
    return 0;
}
