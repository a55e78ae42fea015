/*
 * listen_socket.h - a listening TCP socket from "host:port".
 */
#ifndef COMMON_HTTP_LISTEN_SOCKET_H
#define COMMON_HTTP_LISTEN_SOCKET_H

#include "common/base/error.h"

/* Listens on "host:port", "[IPv6]:port" or ":port", and returns the socket, which does not block. Without a
 * host on all interfaces: one IPv6 socket that takes IPv4 too, or IPv4 alone where the kernel has no IPv6.
 * Host names other than "localhost" are not looked up: start-up must not wait for DNS.
 *
 * -1 with err set: INVALID_ARGUMENT for a bad address, UNAVAILABLE (with the address in the message) when it
 * cannot be bound. */
int listen_socket_open(const char *address, struct error **err);

/* The port of the socket (for ":0"); 0 when it has none. */
unsigned listen_socket_port(int fd);

#endif
