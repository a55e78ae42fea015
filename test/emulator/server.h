/*
 * server.h - the three ports: TLS for the emulated services, plain HTTP for control and for the services of a
 * node.
 */
#ifndef EMULATOR_SERVER_H
#define EMULATOR_SERVER_H

#include "test/emulator/emulator.h"
#include "test/emulator/tls.h"

struct server;

/* A listening socket on that IPv4 address; port 0 picks a free one. The port goes to *ret_port. -1 with a
 * message on stderr. */
int server_listen(const char *address_text, unsigned short port, unsigned short *ret_port);

enum { SERVER_PORTS = 3 };

/* Starts serving on the sockets (TLS, control, node), which it takes. NULL with a message on stderr. */
struct server *server_start(struct emulator *emulator, const int fds[static SERVER_PORTS],
                            const struct tls_identity *identity);

/* Ends the requests that wait without a time, without a response. Any thread. */
void server_wake_held(struct server *server);

/* Ends all connections; call after parking_close(). */
void server_stop(struct server *server);

#endif
