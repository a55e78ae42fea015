/*
 * server.c - see server.h. One thread accepts the connections of the TLS port and speaks HTTP/2; the threads
 * of libmicrohttpd have the rest.
 */
#include "test/emulator/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "test/emulator/http1.h"
#include "test/emulator/http2.h"
#include "test/emulator/memory.h"
#include "test/emulator/tls_server.h"

enum { LISTEN_BACKLOG = 4096 };

struct server {
    struct tls_server *tls_server;
    struct http1 *http1;
    struct http2 http2;
    uv_loop_t loop;
    struct delays delays;
    uv_poll_t listener;
    uv_async_t wake;
    uv_thread_t thread;
    int tls_fd;
    atomic_bool stopping;
    bool running;
};

int server_listen(const char *address_text, unsigned short port, unsigned short *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t address_len = sizeof(address);
    int on = 1;
    if (inet_pton(AF_INET, address_text, &address.sin_addr) != 1) {
        (void)fprintf(stderr, "vault-emulator: --address: '%s' is no IPv4 address\n", address_text);
        return -1;
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (const struct sockaddr *)&address, address_len) != 0 || listen(fd, LISTEN_BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &address_len) != 0) {
        perror("vault-emulator: cannot listen");
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    struct server *server = poll->data;
    int on = 1;
    (void)status;
    (void)events;
    for (int fd; (fd = accept4(server->tls_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        http2_accept(&server->http2, fd);
    }
}

/* Another thread wants something: held requests ended, or the end of all. */
static void on_wake(uv_async_t *async)
{
    struct server *server = async->data;
    if (!atomic_load(&server->stopping)) {
        http2_wake_held(&server->http2);
        return;
    }
    http2_close_all(&server->http2);
    delays_close(&server->delays);
    uv_close((uv_handle_t *)&server->listener, NULL);
    uv_close((uv_handle_t *)&server->wake, NULL);
}

static void run_loop(void *arg)
{
    struct server *server = arg;
    (void)uv_run(&server->loop, UV_RUN_DEFAULT); /* until all handles are closed */
}

static int start_loop(struct server *server)
{
    if (uv_loop_init(&server->loop) != 0 ||
        uv_poll_init(&server->loop, &server->listener, server->tls_fd) != 0 ||
        uv_async_init(&server->loop, &server->wake, on_wake) != 0 ||
        delays_open(&server->delays, &server->loop) != 0)
        return -1;
    server->listener.data = server;
    server->wake.data = server;
    if (uv_poll_start(&server->listener, UV_READABLE, on_connection) != 0 ||
        uv_thread_create(&server->thread, run_loop, server) != 0)
        return -1;
    server->running = true;
    return 0;
}

struct server *server_start(struct emulator *emulator, const int fds[static SERVER_PORTS],
                            const struct tls_identity *identity)
{
    struct server *server = xcalloc(1, sizeof(*server));
    server->tls_fd = fds[0];
    server->tls_server = tls_server_create(identity, emulator->tls12);
    if (server->tls_server != NULL)
        server->http1 = http1_start(emulator, fds[1], fds[2], identity, server->tls_server);
    server->http2 = (struct http2){.emulator = emulator,
                                   .loop = &server->loop,
                                   .delays = &server->delays,
                                   .tls_server = server->tls_server,
                                   .http1 = server->http1};
    if (server->http1 != NULL && start_loop(server) == 0)
        return server;
    (void)fprintf(stderr, "vault-emulator: cannot start serving\n");
    server_stop(server);
    return NULL;
}

void server_wake_held(struct server *server)
{
    parking_wake_unlimited(server->http2.emulator->parking);
    (void)uv_async_send(&server->wake);
}

void server_stop(struct server *server)
{
    if (server->running) {
        atomic_store(&server->stopping, true);
        (void)uv_async_send(&server->wake);
        (void)uv_thread_join(&server->thread);
        (void)uv_loop_close(&server->loop);
    }
    (void)close(server->tls_fd);
    if (server->http1 != NULL)
        http1_stop(server->http1);
    if (server->tls_server != NULL)
        tls_server_destroy(server->tls_server);
    free(server);
}
