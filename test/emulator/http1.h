/*
 * http1.h - HTTP/1.1 by libmicrohttpd: over TLS for the emulated services, plain for control and for the
 * services of a node.
 */
#ifndef EMULATOR_HTTP1_H
#define EMULATOR_HTTP1_H

#include "test/emulator/emulator.h"
#include "test/emulator/tls_server.h"

struct http1;

/* Starts serving on the two sockets, which it takes, and on what http1_add_tls() brings. Borrows the rest.
 * NULL with a message on stderr. */
struct http1 *http1_start(struct emulator *emulator, int control_fd, int node_fd,
                          const struct tls_identity *identity, struct tls_server *tls_server);

/* Takes a connection on which nothing was read yet; any thread. */
void http1_add_tls(struct http1 *http1, int fd);

/* Ends all connections; call after parking_close(). */
void http1_stop(struct http1 *http1);

#endif
