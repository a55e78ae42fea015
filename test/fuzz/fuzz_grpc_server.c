/*
 * fuzz_grpc_server - bytes of a client against a whole server, over a Unix socket.
 *
 * One server for the whole run; each input is one connection. Handlers of every other call keep it until it
 * is cancelled.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/grpc/server.h"
#include "proto/provider.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a socket takes without the other side reading. */
enum { INPUT_MAX = 64 * 1024 };

struct target {
    uv_loop_t loop;
    struct grpc_server *server;
    struct sockaddr_un address;
    unsigned n_calls;
    unsigned n_running;
};

static void on_cancel(struct grpc_call *call, void *arg)
{
    cleanup_error struct error *err = NULL;
    struct target *target = arg;

    (void)error_set(&err, GRPC_STATUS_CANCELLED, "cancelled");
    target->n_running--;
    grpc_call_fail(call, err);
}

static void on_mount(struct grpc_call *call, const ProtobufCMessage *request, void *arg)
{
    V1alpha1__MountResponse response;
    struct target *target = arg;

    (void)request;
    if (target->n_calls++ % 2 == 1) {
        target->n_running++;
        grpc_call_on_cancel(call, on_cancel, target);
        return;
    }
    v1alpha1__mount_response__init(&response);
    grpc_call_reply(call, &response.base);
}

static const struct grpc_method methods[] = {{"Mount", &v1alpha1__mount_request__descriptor, on_mount}};
static struct target target;
static struct grpc_service service = {"v1alpha1.CSIDriverProvider", methods, 1, &target};

static void start(void)
{
    char dir[] = "/tmp/fuzz-grpc-XXXXXX";

    (void)signal(SIGPIPE, SIG_IGN);
    if (mkdtemp(dir) == NULL || uv_loop_init(&target.loop) != 0)
        abort();
    target.address.sun_family = AF_UNIX;
    (void)snprintf(target.address.sun_path, sizeof(target.address.sun_path), "%s/s", dir);
    target.server =
        grpc_server_create(&target.loop, &(struct grpc_server_config){.max_request_bytes = 10000}, NULL);
    grpc_server_add_service(target.server, &service);
    grpc_server_add_health(target.server, GRPC_HEALTH_ANY_SERVICE);
    if (grpc_server_listen_unix(target.server, target.address.sun_path, 0600, NULL) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t sink[4096];
    int fd;

    if (target.server == NULL)
        start();
    if (size > INPUT_MAX)
        return 0;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connect(fd, (const struct sockaddr *)&target.address, sizeof(target.address)) == -1)
        abort();
    (void)send(fd, data, size, MSG_NOSIGNAL);
    (void)shutdown(fd, SHUT_WR);
    /* The server closes when it has read the end. */
    while (recv(fd, sink, sizeof(sink), 0) != 0)
        (void)uv_run(&target.loop, UV_RUN_NOWAIT);
    (void)close(fd);
    while (target.n_running > 0)
        (void)uv_run(&target.loop, UV_RUN_NOWAIT);
    return 0;
}
