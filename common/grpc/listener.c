/*
 * listener.c - a listening socket.
 */
#include "common/grpc/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/grpc/address.h"

/* Connections that wait for accept(): a node restart publishes all its pods at once, each kubelet call on a
 * connection of its own. */
enum { BACKLOG = 512 };

/* Is a process listening on this socket file? */
static bool is_alive(const struct sockaddr_un *address)
{
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd == -1)
        return false;
    /* EAGAIN: its backlog is full, so it is there. */
    return connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN;
}

static int check_place(const char *path, const struct sockaddr_un *address, struct log *log,
                       struct error **err)
{
    struct stat st;

    if (lstat(path, &st) == -1) {
        if (errno == ENOENT)
            return 0;
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "stat %s", path);
    }
    if (!S_ISSOCK(st.st_mode))
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "%s exists and is not a socket", path);
    /* During a rolling update with surge the predecessor still listens: it is replaced, as by the Go
     * driver. */
    if (is_alive(address))
        log_warning(log, "taking over a socket that another process is listening on", LOG_STR("path", path));
    return 0;
}

/* A short-lived name next to `path`. The leading dot makes the kubelet's plugin watcher ignore it. */
static char *temporary_name(const char *path, unsigned attempt)
{
    const char *slash = strrchr(path, '/');
    int dir_len = slash == NULL ? 0 : (int)(slash - path + 1);
    char *name = NULL;

    if (asprintf(&name, "%.*s.%x.%x", dir_len, path, (unsigned)getpid(), attempt) == -1)
        return NULL;
    return name;
}

/* Binds `fd` to `name`, which may be too long for an address: then by way of the directory's descriptor. */
static int bind_name(int fd, const char *name, struct error **err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cleanup_close int dir = -1;
    cleanup_free char *dir_name = NULL;
    char *slash;

    if (strlen(name) < sizeof(address.sun_path)) {
        memcpy(address.sun_path, name, strlen(name));
    } else {
        dir_name = strdup(name);
        /* So long a name has a slash, or it is all file name. */
        slash = dir_name == NULL ? NULL : strrchr(dir_name, '/');
        if (slash == NULL)
            // `dir_name` is freed by its cleanup attribute
            // NOLINTNEXTLINE(clang-analyzer-unix.Malloc)
            return error_set(err, GRPC_STATUS_INTERNAL, "bind %s: no directory", name);
        *slash = '\0';
        dir = open(dir_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir == -1)
            return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "open %s", dir_name);
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir, slash + 1);
    }
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) == -1) {
        if (errno == EADDRINUSE)
            return 1;
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "bind %s", name);
    }
    return 0;
}

/* Binds to a temporary name; the last try's error remains. */
static char *bind_somewhere(int fd, const char *path, struct error **err)
{
    for (unsigned attempt = 0; attempt < 100; attempt++) {
        cleanup_free char *name = temporary_name(path, attempt);
        int rc = name == NULL ? error_no_memory(err, "a listener") : bind_name(fd, name, err);

        if (rc < 0)
            return NULL;
        if (rc == 0)
            return steal_ptr(&name);
    }
    (void)error_set(err, GRPC_STATUS_INTERNAL, "bind next to %s: no free temporary name", path);
    return NULL;
}

/* From a bound temporary name to a listening socket at `path`. */
static int publish(struct listener *listener, int fd, const char *temporary, mode_t mode, struct error **err)
{
    struct stat st;

    if (chmod(temporary, mode) == -1)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "chmod %s", temporary);
    if (lstat(temporary, &st) == -1)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "stat %s", temporary);
    if (listen(fd, BACKLOG) == -1)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "listen on %s", listener->path);
    if (rename(temporary, listener->path) == -1)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "rename %s to %s", temporary,
                               listener->path);
    listener->dev = st.st_dev;
    listener->ino = st.st_ino;
    return 0;
}

/* Makes a listening Unix socket for uv_pipe_open(): a path that libuv itself has bound it would also
 * unlink. */
static int open_unix(struct listener *listener, const char *path, mode_t mode, struct log *log, int *ret_fd,
                     struct error **err)
{
    cleanup_free char *temporary = NULL;
    cleanup_close int fd = -1;
    struct sockaddr_un address;

    if (address_unix(path, &address, err) < 0 || check_place(path, &address, log, err) < 0)
        return -1;
    listener->path = strdup(path);
    if (listener->path == NULL)
        return error_no_memory(err, "a listener");
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd == -1)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "socket");
    /* Linux takes the mode of the new file from the socket: it is never wider than wanted. */
    if (fchmod(fd, mode) == -1)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "set the mode of %s", path);
    temporary = bind_somewhere(fd, path, err);
    if (temporary == NULL)
        return -1;
    if (publish(listener, fd, temporary, mode, err) < 0) {
        (void)unlink(temporary); /* the error is reported already */
        return -1;
    }
    *ret_fd = steal_fd(&fd);
    return 0;
}

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
    struct listener *listener = container_of(handle, struct listener, uv.handle);

    free(listener->path);
    free(listener);
}

static void remove_own_file(const struct listener *listener)
{
    struct stat st;

    if (listener->path != NULL && lstat(listener->path, &st) == 0 && st.st_dev == listener->dev &&
        st.st_ino == listener->ino)
        (void)unlink(listener->path); /* a leftover is replaced by the next start */
}

void listener_destroy(struct listener *listener)
{
    remove_own_file(listener);
    uv_close(&listener->uv.handle, on_closed);
}

static struct listener *listener_new(listener_callback *incoming, void *arg, struct error **err)
{
    struct listener *listener = calloc(1, sizeof(*listener));

    if (listener == NULL) {
        (void)error_no_memory(err, "a listener");
        return NULL;
    }
    list_init(&listener->link);
    listener->incoming = incoming;
    listener->arg = arg;
    return listener;
}

struct listener *listener_create_unix(uv_loop_t *loop, const char *path, mode_t mode, struct log *log,
                                      listener_callback *incoming, void *arg, struct error **err)
{
    struct listener *listener = listener_new(incoming, arg, err);
    int fd = -1;
    int rc;

    if (listener == NULL)
        return NULL;
    if (open_unix(listener, path, mode, log, &fd, err) < 0) {
        free(listener->path);
        free(listener);
        return NULL;
    }
    listener->is_unix = true;
    (void)uv_pipe_init(loop, &listener->uv.pipe, /* ipc= */ 0); /* never fails */
    rc = uv_pipe_open(&listener->uv.pipe, fd);
    if (rc < 0)
        (void)close(fd); /* otherwise libuv owns it */
    else
        rc = uv_listen(&listener->uv.stream, BACKLOG, on_connection);
    if (rc < 0) {
        (void)error_set(err, GRPC_STATUS_INTERNAL, "listen on %s: %s", path, uv_strerror(rc));
        listener_destroy(listener);
        return NULL;
    }
    return listener;
}

struct listener *listener_create_tcp(uv_loop_t *loop, const char *text, listener_callback *incoming,
                                     void *arg, struct error **err)
{
    struct sockaddr_storage address;
    struct listener *listener;
    int rc;

    if (address_tcp(text, &address, err) < 0)
        return NULL;
    listener = listener_new(incoming, arg, err);
    if (listener == NULL)
        return NULL;
    (void)uv_tcp_init(loop, &listener->uv.tcp); /* never fails */
    rc = uv_tcp_bind(&listener->uv.tcp, (const struct sockaddr *)&address, 0);
    if (rc == 0)
        rc = uv_listen(&listener->uv.stream, BACKLOG, on_connection);
    if (rc < 0) {
        (void)error_set(err, GRPC_STATUS_INTERNAL, "listen on %s: %s", text, uv_strerror(rc));
        listener_destroy(listener);
        return NULL;
    }
    return listener;
}

void listener_init_peer(const struct listener *listener, uv_loop_t *loop, uv_handle_t *peer)
{
    if (listener->is_unix)
        (void)uv_pipe_init(loop, (uv_pipe_t *)peer, /* ipc= */ 0); /* never fails */
    else
        (void)uv_tcp_init(loop, (uv_tcp_t *)peer); /* never fails: no socket is made yet */
}
