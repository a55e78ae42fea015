/*
 * connections.c - see connections.h.
 */
#include "test/emulator/connections.h"

#include <sys/socket.h>

#include "test/emulator/memory.h"

enum { MAX_KEPT = 10000 }; /* closed ones, for the report */

struct connections {
    struct connection *first;
    struct connection **end;
    uint64_t next_id;
    unsigned n_closed;
};

struct connections *connections_create(void)
{
    struct connections *connections = xcalloc(1, sizeof(*connections));
    connections->end = &connections->first;
    connections->next_id = 1;
    return connections;
}

/* Forgets closed connections until at most `limit` are kept. */
static void drop_closed(struct connections *connections, unsigned limit)
{
    struct connection **place = &connections->first;
    while (*place != NULL) {
        struct connection *connection = *place;
        if (connection->open || connections->n_closed <= limit) {
            place = &connection->next;
            continue;
        }
        *place = connection->next;
        connections->n_closed--;
        free(connection);
    }
    connections->end = place;
}

void connections_destroy(struct connections *connections)
{
    while (connections->first != NULL) {
        struct connection *connection = connections->first;
        connections->first = connection->next;
        free(connection);
    }
    free(connections);
}

struct connection *connections_add(struct connections *connections, const char *port, const char *protocol,
                                   int fd)
{
    struct connection *connection = xcalloc(1, sizeof(*connection));
    *connection = (struct connection){
        .id = connections->next_id++, .port = port, .protocol = protocol, .fd = fd, .open = true};
    *connections->end = connection;
    connections->end = &connection->next;
    return connection;
}

void connections_remove(struct connections *connections, struct connection *connection)
{
    connection->open = false;
    connection->fd = -1;
    connections->n_closed++;
    if (connections->n_closed > MAX_KEPT)
        drop_closed(connections, MAX_KEPT / 2); /* half of them, so that it is rare */
}

unsigned connections_silence(struct connections *connections, const char *port)
{
    unsigned n = 0;
    for (struct connection *connection = connections->first; connection != NULL;
         connection = connection->next) {
        if (connection->open && (port == NULL || strcmp(connection->port, port) == 0)) {
            connection->silent = true;
            n++;
        }
    }
    return n;
}

void connections_end_silence(struct connections *connections)
{
    for (struct connection *connection = connections->first; connection != NULL;
         connection = connection->next)
        if (connection->open && connection->silent)
            (void)shutdown(connection->fd, SHUT_RDWR);
}

cJSON *connections_report(const struct connections *connections)
{
    cJSON *list = cJSON_CreateArray();
    for (const struct connection *connection = connections->first; connection != NULL;
         connection = connection->next) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddNumberToObject(item, "id", (double)connection->id);
        cJSON_AddStringToObject(item, "port", connection->port);
        cJSON_AddStringToObject(item, "protocol", connection->protocol);
        cJSON_AddBoolToObject(item, "open", connection->open);
        cJSON_AddBoolToObject(item, "silent", connection->silent);
        cJSON_AddBoolToObject(item, "resumed", connection->resumed);
        cJSON_AddNumberToObject(item, "requests", (double)connection->requests);
        cJSON_AddNumberToObject(item, "peak_in_flight", connection->peak_in_flight);
        cJSON_AddItemToArray(list, item);
    }
    return list;
}

void connections_reset(struct connections *connections)
{
    drop_closed(connections, 0);
    for (struct connection *connection = connections->first; connection != NULL;
         connection = connection->next) {
        connection->requests = 0;
        connection->peak_in_flight = connection->in_flight;
    }
}
