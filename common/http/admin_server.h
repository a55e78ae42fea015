/*
 * admin_server.h - the small HTTP/1.1 server for GET /metrics, GET /healthz and the like.
 *
 * Routes are fixed before it listens. A route's handler replies with a status and a body, now or later (a
 * health check that makes a gRPC call). Only GET and HEAD; requests are parsed by a library (libmicrohttpd)
 * and bounded: 8 KiB of header, 32 connections, 10 s per request. A connection above that takes the place of
 * an idle one, so that idle or slow strangers keep nobody out.
 */
#ifndef COMMON_HTTP_ADMIN_SERVER_H
#define COMMON_HTTP_ADMIN_SERVER_H

#include <uv.h>

#include "common/base/buffer.h"
#include "common/base/error.h"
#include "common/base/log.h"

struct admin_server;
struct admin_request; /* one request, from its handler to its reply */

/* Must end the request exactly once with admin_request_reply(), now or later, on the loop's thread. */
typedef void admin_handler(struct admin_request *request, void *arg);

/* `loop` and `log` (may be NULL) are borrowed. NULL with err set on lack of memory. */
struct admin_server *admin_server_create(uv_loop_t *loop, struct log *log, struct error **err);

/* `path` ("/metrics") is copied. Before listening only. */
void admin_server_add_route(struct admin_server *server, const char *path, admin_handler *handler, void *arg);

/* Listens on "host:port" or ":port" (all interfaces). May be called several times; every address serves all
 * routes. INVALID_ARGUMENT for a bad address, UNAVAILABLE (with the address in the message) when it cannot
 * be bound. */
int admin_server_listen(struct admin_server *server, const char *address, struct error **err);

/* The TCP port of the first listener (for ":0"), 0 before listening. */
unsigned admin_server_port(const struct admin_server *server);

/* Ends a request. `content_type` e.g. "text/plain; charset=utf-8"; body bytes are copied. */
void admin_request_reply(struct admin_request *request, int status, const char *content_type,
                         const void *body, size_t len);

/* Closes everything; requests without a reply are dropped (their admin_request_reply() only frees them).
 * Accepts NULL. */
void admin_server_destroy(struct admin_server *server);

#endif
