/*
 * origins.c - which servers multiplex requests on one connection (HTTP/2).
 *
 * It decides CURLOPT_PIPEWAIT. A burst of calls to an HTTP/2 server should wait for the first connection and
 * share it: one handshake instead of dozens. To an HTTP/1.1 server each call needs a connection of its own,
 * and waiting would cost every burst the round trips of one handshake. At a server that is not known yet one
 * call goes first and the others wait until its connection stands (client.c): once per server and process,
 * two or three round trips against up to 32 handshakes on the only thread. curl cannot do this waiting: it
 * takes a server for one of HTTP/1.1 only with the first response, a round trip later.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/http/call.h"

enum { ORIGINS_MAX = 64 }; /* vaults and authorities one node talks to; beyond that the oldest is relearned */

struct origin {
    char *host;
    unsigned port;
    bool multiplexes;
};

struct origin_book {
    struct origin origins[ORIGINS_MAX];
    unsigned next; /* slot to fill next */
};

struct origin_book *origin_book_create(void)
{
    return calloc(1, sizeof(struct origin_book));
}

void origin_book_destroy(struct origin_book *book)
{
    if (book == NULL)
        return;
    for (size_t i = 0; i < ORIGINS_MAX; i++)
        free(book->origins[i].host);
    free(book);
}

static const struct origin *find(const struct origin_book *book, const char *host, unsigned port)
{
    for (size_t i = 0; i < ORIGINS_MAX; i++) {
        const struct origin *origin = &book->origins[i];
        if (origin->host != NULL && origin->port == port && strcasecmp(origin->host, host) == 0)
            return origin;
    }
    return NULL;
}

void origin_book_learn(struct origin_book *book, const char *host, unsigned port, bool multiplexes)
{
    const struct origin *known = find(book, host, port);
    if (known != NULL) {
        book->origins[known - book->origins].multiplexes = multiplexes;
        return;
    }
    char *copy = strdup(host);
    if (copy == NULL)
        return; /* merely an optimisation */
    struct origin *slot = &book->origins[book->next];
    book->next = (book->next + 1) % ORIGINS_MAX;
    free(slot->host);
    *slot = (struct origin){.host = copy, .port = port, .multiplexes = multiplexes};
}

int origin_book_lookup(const struct origin_book *book, const char *host, unsigned port)
{
    const struct origin *origin = find(book, host, port);
    return origin == NULL ? -1 : origin->multiplexes;
}
