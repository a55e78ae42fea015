/*
 * curl_loop.h - libcurl's multi-socket interface driven by a libuv loop. Private to
 * common/http.
 *
 * It moves bytes and knows nothing of requests: easy handles are added and removed, and `after` is called
 * each time curl has run, so that its owner can collect finished handles. curl must not be re-entered from
 * its own callbacks: while curl_loop_inside() is true, handles can be neither added nor removed; `after` is
 * the place to catch up.
 *
 * The multi handle (and with it every idle connection, with tens of KiB of TLS buffers each) is dropped when
 * nothing has been in flight for CURL_LOOP_IDLE_MS, and created again by the next request.
 */
#ifndef COMMON_HTTP_CURL_LOOP_H
#define COMMON_HTTP_CURL_LOOP_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/error.h"

struct curl_loop;

/* Load balancers forget idle connections after about 4 minutes; Go keeps them 90 s. */
enum { CURL_LOOP_IDLE_MS = 90 * 1000 };

struct curl_loop_config {
    unsigned max_connections; /* kept in all; how many are used at a time is the owner's business */
    uint64_t idle_ms;         /* 0 = CURL_LOOP_IDLE_MS */
    void (*after)(void *arg);
    void (*heard)(void *arg, curl_socket_t fd); /* bytes have come, and are about to be read; may be NULL */
    /* Whether curl_loop_forget() will be called before this socket, on which no request is any more, is
     * closed. Its next request then needs no system calls to wait for it. May be NULL: no. */
    bool (*keeps)(void *arg, curl_socket_t fd);
    void *arg;
};

struct curl_loop *curl_loop_create(uv_loop_t *loop, const struct curl_loop_config *config,
                                   struct error **err);

/* Starts a transfer. Not while curl_loop_inside(). */
int curl_loop_add(struct curl_loop *cl, CURL *easy, struct error **err);

/* Takes a handle out, finished or not. Returns at once. Not while curl_loop_inside(). */
void curl_loop_remove(struct curl_loop *cl, CURL *easy);

/* The next finished handle (still added), or NULL. */
CURL *curl_loop_next_done(struct curl_loop *cl, CURLcode *ret_result);

/* A socket is about to be closed, or is another one than before. */
void curl_loop_forget(struct curl_loop *cl, curl_socket_t fd);

/* True while one of curl's callbacks is on the stack. */
bool curl_loop_inside(const struct curl_loop *cl);

/* Closes all connections; every handle must have been removed. Not while curl_loop_inside(). Accepts NULL. */
void curl_loop_destroy(struct curl_loop *cl);

#endif
