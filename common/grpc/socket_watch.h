/*
 * socket_watch.h - keeps a listening Unix socket reachable at its path.
 *
 * Other programs remove socket files by name: a predecessor in Go and node-driver-registrar when they end,
 * an operator's rm. Twice a second the watch compares the inode at the path with its own. That is one lstat()
 * a time; inotify would need an instance, of which a node has few, would wake up for every neighbour in the
 * directory, and sees neither a directory that is replaced nor a mount on top of it.
 *
 *   the file is gone      a new socket is bound there
 *   a dead socket         is replaced by a new socket
 *   a living one          stays: the watch waits until its process has ended
 *
 * Connections that exist stay open, and clients that had connected before are still accepted. Two watches
 * (drivers of a rolling update) do not fight: a new socket replaces no file that has appeared meanwhile, and
 * one that has lost its path to another process lets the other one go first.
 */
#ifndef COMMON_GRPC_SOCKET_WATCH_H
#define COMMON_GRPC_SOCKET_WATCH_H

#include "common/grpc/listener.h"
#include "common/grpc/server.h"

enum { SOCKET_WATCH_INTERVAL_MS = 500 };

struct socket_watch;

struct socket_watch_config {
    struct listener_config listener;
    struct log *log; /* borrowed, may be NULL */
    const char *path;
    mode_t mode;
    grpc_socket_observer *observer; /* may be NULL; never called during creation */
    void *observer_arg;
};

/* Listens at the path, whatever socket is there. NULL with err set: see grpc_server_listen_unix(). */
struct socket_watch *socket_watch_create(const struct socket_watch_config *config, struct error **err);

/* Examines the path now and does what has to be done. 0: the path leads to the own socket. UNAVAILABLE:
 * another process listens there, or the socket cannot be bound again. */
int socket_watch_check(struct socket_watch *watch, struct error **err);

/* Replaces the socket by a new one, atomically; one that is about to be created again is not replaced.
 * FAILED_PRECONDITION: another process listens there. */
int socket_watch_renew(struct socket_watch *watch, struct error **err);

/* Stops listening, and removes the file if it is the own one. Accepts NULL. */
void socket_watch_destroy(struct socket_watch *watch);

/* For a list of the owner. */
struct list *socket_watch_link(struct socket_watch *watch);
struct socket_watch *socket_watch_of(struct list *link);

#endif
