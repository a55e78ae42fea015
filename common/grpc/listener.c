/*
 * listener.c - one listening socket on the loop.
 */
#include "common/grpc/listener.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/base/cleanup.h"
#include "common/grpc/address.h"

enum { BACKLOG = 512 }; /* see socket_file.c */

static void on_connection(uv_stream_t *stream, int status)
{
    struct listener *listener = container_of(stream, struct listener, uv.stream);

    if (status < 0)
        return; /* accept() failed: the client is gone or descriptors are short; libuv goes on */
    listener->waiting = true;
    listener->incoming(listener, listener->arg);
}

static void on_closed(uv_handle_t *handle)
{
    free(container_of(handle, struct listener, uv.handle));
}

void listener_destroy(struct listener *listener)
{
    if (listener == NULL)
        return;
    list_remove(&listener->link);
    uv_close(&listener->uv.handle, on_closed);
}

static struct listener *listener_new(const struct listener_config *config, struct error **err)
{
    struct listener *listener = alloc_zeroed(sizeof(*listener), err);

    if (listener == NULL)
        return NULL;
    list_init(&listener->link);
    list_insert_before(config->siblings, &listener->link);
    listener->incoming = config->incoming;
    listener->arg = config->arg;
    return listener;
}

struct listener *listener_create_unix(const struct listener_config *config, int fd, struct error **err)
{
    struct listener *listener = listener_new(config, err);
    int rc;

    if (listener == NULL) {
        (void)close(fd);
        return NULL;
    }
    listener->is_unix = true;
    (void)uv_pipe_init(config->loop, &listener->uv.pipe, /* ipc= */ 0); /* never fails */
    /* Not uv_pipe_bind(): a path that libuv itself has bound it would also unlink. */
    rc = uv_pipe_open(&listener->uv.pipe, fd);
    if (rc < 0)
        (void)close(fd); /* otherwise libuv owns it */
    else
        rc = uv_listen(&listener->uv.stream, BACKLOG, on_connection);
    if (rc == 0)
        return listener;
    (void)error_set(err, GRPC_STATUS_INTERNAL, "listen: %s", uv_strerror(rc));
    listener_destroy(listener);
    return NULL;
}

struct listener *listener_create_tcp(const struct listener_config *config, const char *text,
                                     struct error **err)
{
    struct sockaddr_storage address;
    struct listener *listener;
    int rc;

    if (address_tcp(text, &address, err) < 0)
        return NULL;
    listener = listener_new(config, err);
    if (listener == NULL)
        return NULL;
    (void)uv_tcp_init(config->loop, &listener->uv.tcp); /* never fails */
    rc = uv_tcp_bind(&listener->uv.tcp, (const struct sockaddr *)&address, 0);
    if (rc == 0)
        rc = uv_listen(&listener->uv.stream, BACKLOG, on_connection);
    if (rc == 0)
        return listener;
    (void)error_set(err, GRPC_STATUS_INTERNAL, "listen on %s: %s", text, uv_strerror(rc));
    listener_destroy(listener);
    return NULL;
}

void listener_init_peer(const struct listener *listener, uv_loop_t *loop, uv_handle_t *peer)
{
    if (listener->is_unix)
        (void)uv_pipe_init(loop, (uv_pipe_t *)peer, /* ipc= */ 0); /* never fails */
    else
        (void)uv_tcp_init(loop, (uv_tcp_t *)peer); /* never fails: no socket is made yet */
}

bool listener_is_idle(const struct listener *listener)
{
    struct pollfd poll_fd = {.events = POLLIN};

    if (listener->waiting || uv_fileno(&listener->uv.handle, &poll_fd.fd) < 0)
        return false;
    return poll(&poll_fd, 1, 0) == 0;
}
