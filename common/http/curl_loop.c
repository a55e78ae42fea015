/*
 * curl_loop.c - libcurl's sockets and timer on libuv.
 */
#include "common/http/curl_loop.h"

#include <assert.h>

#include "common/base/secret_cache.h"
#include "common/http/call.h"

struct curl_loop {
    uv_loop_t *loop;
    struct curl_loop_config config;
    CURLM *multi;             /* NULL while idle */
    struct loop_timer *timer; /* curl's own timeouts */
    struct loop_timer *idle;  /* drops the multi handle; does not keep the loop alive */
    struct list kept;         /* socket_watch.kept */
    unsigned n_easy;          /* handles added */
    bool inside;
};

/* One per socket that curl wants watched, or wanted to until its last request ended. */
struct socket_watch {
    struct list kept; /* in the loop's `kept` while curl does not want it watched, otherwise in none */
    uv_poll_t poll;
    int events; /* that libuv waits for */
    curl_socket_t fd;
    struct curl_loop *cl;
};

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* Lets curl work on a socket (or on its timeouts), then lets the owner, which may destroy the loop. */
static void run(struct curl_loop *cl, curl_socket_t fd, int events)
{
    if (cl->multi == NULL)
        return;
    int running = 0;
    cl->inside = true;
    /* failures show up as results of transfers */
    (void)curl_multi_socket_action(cl->multi, fd, events, &running);
    cl->inside = false;
    cl->config.after(cl->config.arg);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct socket_watch *watch = poll->data;
    int flags = 0;
    if (status < 0) { /* libuv hides the reason; the read or write that curl then tries finds it */
        watch->events = 0;
        flags = CURL_CSELECT_ERR | CURL_CSELECT_IN | CURL_CSELECT_OUT;
    }
    if (!list_empty(&watch->kept)) { /* curl finds out before it uses the connection again */
        (void)uv_poll_stop(poll);
        watch->events = 0;
        return;
    }
    if (events & UV_READABLE) {
        flags |= CURL_CSELECT_IN;
        if (watch->cl->config.heard != NULL)
            watch->cl->config.heard(watch->cl->config.arg, watch->fd);
    }
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    run(watch->cl, watch->fd, flags);
}

/* Also with the same events, uv_poll_start() takes the socket out of epoll and adds it again. */
static int watch_for(struct socket_watch *watch, int events)
{
    if (watch->events == events)
        return 0;
    int ret = uv_poll_start(&watch->poll, events, on_poll);
    watch->events = ret == 0 ? events : 0;
    return ret;
}

static void watch_close(struct socket_watch *watch)
{
    list_remove(&watch->kept);
    (void)uv_poll_stop(&watch->poll);
    uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

/* For the next request on the connection. Until then it does not keep the loop alive. */
static void watch_keep(struct socket_watch *watch)
{
    list_insert_before(watch->cl->kept.next, &watch->kept);
    uv_unref((uv_handle_t *)&watch->poll);
}

static struct socket_watch *find_kept(const struct curl_loop *cl, curl_socket_t fd)
{
    for (struct list *link = cl->kept.next; link != &cl->kept; link = link->next) {
        struct socket_watch *watch = container_of(link, struct socket_watch, kept);
        if (watch->fd == fd)
            return watch;
    }
    return NULL;
}

static struct socket_watch *take_kept(struct curl_loop *cl, curl_socket_t fd)
{
    struct socket_watch *watch = find_kept(cl, fd);
    if (watch == NULL)
        return NULL;
    list_remove(&watch->kept);
    uv_ref((uv_handle_t *)&watch->poll);
    (void)curl_multi_assign(cl->multi, fd, watch);
    return watch;
}

void curl_loop_forget(struct curl_loop *cl, curl_socket_t fd)
{
    struct socket_watch *watch = find_kept(cl, fd);
    if (watch != NULL)
        watch_close(watch);
}

static struct socket_watch *watch_create(struct curl_loop *cl, curl_socket_t fd)
{
    struct socket_watch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL)
        return NULL;
    list_init(&watch->kept);
    watch->fd = fd;
    watch->cl = cl;
    if (uv_poll_init_socket(cl->loop, &watch->poll, fd) != 0) {
        free(watch);
        return NULL;
    }
    watch->poll.data = watch;
    (void)curl_multi_assign(cl->multi, fd, watch);
    return watch;
}

/* While TCP connects, curl waits for writability alone; once it waits for bytes, TCP is connected. Its own
 * figures come too late to distinguish a silent TLS peer from a silent host: the connect time with the end of
 * the handshakes, and from curl 8 on the local port too. */
static void note_connected(CURL *easy)
{
    struct http_call *call = NULL;
    if (curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&call) == CURLE_OK && call != NULL)
        call->tcp_connected = true;
}

/* curl wants a socket watched, or no longer. It may close the socket right after CURL_POLL_REMOVE, and the
 * number may come back at once as another socket: the watch is closed here and now and never used again, but
 * for a socket of which the owner learns when it is closed. */
static int on_socket(CURL *easy, curl_socket_t fd, int action, void *arg, void *socket_arg)
{
    struct curl_loop *cl = arg;
    struct socket_watch *watch = socket_arg;

    if (action == CURL_POLL_REMOVE) {
        if (watch != NULL) {
            (void)curl_multi_assign(cl->multi, fd, NULL);
            if (cl->config.keeps != NULL && cl->config.keeps(cl->config.arg, fd))
                watch_keep(watch);
            else
                watch_close(watch);
        }
        return 0;
    }
    if (watch == NULL)
        watch = take_kept(cl, fd);
    if (watch == NULL)
        watch = watch_create(cl, fd);
    if (watch == NULL)
        return -1;
    if ((action & CURL_POLL_IN) != 0)
        note_connected(easy);
    int events = (action & CURL_POLL_IN ? UV_READABLE : 0) | (action & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return watch_for(watch, events) == 0 ? 0 : -1;
}

static void on_timer(void *arg)
{
    run(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timeout_change(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct curl_loop *cl = arg;
    uv_update_time(cl->loop); /* curl counts from now, the loop from the start of its turn */
    if (timeout_ms < 0)
        loop_timer_stop(cl->timer);
    else
        loop_timer_start(cl->timer, (uint64_t)timeout_ms);
    return 0;
}

static void drop_multi(struct curl_loop *cl)
{
    CURLM *multi = cl->multi;
    if (multi == NULL)
        return;
    (void)curl_multi_cleanup(multi); /* calls on_socket() for the sockets it closes */
    assert(list_empty(&cl->kept));
    cl->multi = NULL;
    loop_timer_stop(cl->timer);
    secret_cache_trim(); /* what transfers used */
}

static void on_idle(void *arg)
{
    struct curl_loop *cl = arg;
    if (cl->n_easy == 0)
        drop_multi(cl);
}

static int make_multi(struct curl_loop *cl, struct error **err)
{
    CURLM *multi = curl_multi_init();
    if (multi == NULL)
        return error_no_memory(err, "HTTP connections");
    bool ok = true;
    ok = ok && curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK;
    ok = ok && curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, cl) == CURLM_OK;
    ok = ok && curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timeout_change) == CURLM_OK;
    ok = ok && curl_multi_setopt(multi, CURLMOPT_TIMERDATA, cl) == CURLM_OK;
    ok = ok && curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX) == CURLM_OK;
    ok = ok && curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)cl->config.max_connections) == CURLM_OK;
    if (!ok) {
        (void)curl_multi_cleanup(multi);
        return error_set(err, GRPC_STATUS_INTERNAL, "this libcurl lacks a multi-socket option");
    }
    cl->multi = multi;
    return 0;
}

struct curl_loop *curl_loop_create(uv_loop_t *loop, const struct curl_loop_config *config, struct error **err)
{
    struct curl_loop *cl = calloc(1, sizeof(*cl));
    if (cl == NULL) {
        (void)error_no_memory(err, "the HTTP client");
        return NULL;
    }
    cl->loop = loop;
    cl->config = *config;
    list_init(&cl->kept);
    if (cl->config.idle_ms == 0)
        cl->config.idle_ms = CURL_LOOP_IDLE_MS;
    cl->timer = loop_timer_create(loop, on_timer, cl, err);
    cl->idle = cl->timer != NULL ? loop_timer_create(loop, on_idle, cl, err) : NULL;
    if (cl->idle == NULL) {
        curl_loop_destroy(cl);
        return NULL;
    }
    loop_timer_unref(cl->idle);
    return cl;
}

int curl_loop_add(struct curl_loop *cl, CURL *easy, struct error **err)
{
    assert(!cl->inside);
    if (cl->multi == NULL && make_multi(cl, err) < 0)
        return -1;
    CURLMcode code = curl_multi_add_handle(cl->multi, easy);
    if (code != CURLM_OK)
        return error_set(err, GRPC_STATUS_INTERNAL, "start a transfer: %s", curl_multi_strerror(code));
    if (cl->n_easy++ == 0)
        loop_timer_stop(cl->idle);
    return 0;
}

void curl_loop_remove(struct curl_loop *cl, CURL *easy)
{
    assert(!cl->inside && cl->n_easy > 0);
    (void)curl_multi_remove_handle(cl->multi, easy);
    if (--cl->n_easy == 0)
        loop_timer_start(cl->idle, cl->config.idle_ms);
}

CURL *curl_loop_next_done(struct curl_loop *cl, CURLcode *ret_result)
{
    int left = 0;
    const CURLMsg *message = NULL;
    while (cl->multi != NULL && (message = curl_multi_info_read(cl->multi, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE) {
            *ret_result = message->data.result;
            return message->easy_handle;
        }
    }
    return NULL;
}

bool curl_loop_inside(const struct curl_loop *cl)
{
    return cl->inside;
}

void curl_loop_destroy(struct curl_loop *cl)
{
    if (cl == NULL)
        return;
    assert(!cl->inside && cl->n_easy == 0);
    drop_multi(cl);
    loop_timer_destroy(cl->timer);
    loop_timer_destroy(cl->idle);
    free(cl);
}
