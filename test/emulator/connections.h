/*
 * connections.h - the connections of the TLS port and of the node port: what came over each, and whether it
 * has gone silent. All functions are called with the emulator's lock held.
 */
#ifndef EMULATOR_CONNECTIONS_H
#define EMULATOR_CONNECTIONS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

struct connection {
    struct connection *next;
    uint64_t id;
    const char *port;     /* "tls" or "node" */
    const char *protocol; /* "http/1.1" or "h2" */
    int fd;               /* borrowed; valid while open */
    bool open;
    bool silent;  /* swallows what it receives and sends nothing */
    bool resumed; /* its TLS session continued an earlier one */
    uint64_t requests;
    unsigned in_flight;
    unsigned peak_in_flight;
};

struct connections;
struct connections *connections_create(void);
void connections_destroy(struct connections *connections);

/* The texts are static. The result stays valid until connections_destroy() at least while it is open. */
struct connection *connections_add(struct connections *connections, const char *port, const char *protocol,
                                   int fd);
/* Call before the socket is closed. */
void connections_remove(struct connections *connections, struct connection *connection);

/* All open connections become silent, of both ports or of one (NULL = both); returns how many. */
unsigned connections_silence(struct connections *connections, const char *port);
/* Shuts the silent ones down, so that their owners close them. */
void connections_end_silence(struct connections *connections);

/* A new array, oldest first; the caller deletes it. Closed ones are kept until connections_reset(), at most
 * 10,000. */
cJSON *connections_report(const struct connections *connections);
/* Forgets the closed ones, and what the open ones have counted. */
void connections_reset(struct connections *connections);

#endif
