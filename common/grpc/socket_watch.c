/*
 * socket_watch.c - keeps a listening Unix socket reachable at its path.
 */
#include "common/grpc/socket_watch.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/cleanup.h"
#include "common/grpc/socket_file.h"
#include "common/process/loop_timer.h"

/* A living foreign socket is not connected to at each examination, but after so many: its owner sees every
 * connection. */
enum { CHECKS_PER_CONNECT = 4 };

struct socket_watch {
    struct list link;
    struct listener_config config;
    struct log *log;
    grpc_socket_observer *observer;
    void *observer_arg;
    struct loop_timer *timer;
    struct socket_file file;
    struct listener *current;
    struct listener *replaced; /* until its last client is accepted; NULL when there is none */
    enum socket_file_state state;
    struct socket_holder holder; /* when the path is taken */
    bool superseded;             /* another process has had the path since this one */
    uint64_t gone_since_ms;      /* loop time; when the state is SOCKET_FILE_GONE */
    bool failed;                 /* to bind again; logged once */
    unsigned skipped;            /* examinations without a connect() */
};

struct list *socket_watch_link(struct socket_watch *watch)
{
    return &watch->link;
}

struct socket_watch *socket_watch_of(struct list *link)
{
    return container_of(link, struct socket_watch, link);
}

static void report(const struct socket_watch *watch, enum grpc_socket_event event)
{
    if (watch->observer != NULL)
        watch->observer(event, watch->observer_arg);
}

/* --- a new socket --- */

/* The clients in the queue of the old socket are accepted by the way. */
static void retire(struct socket_watch *watch, struct listener *listener)
{
    listener_destroy(watch->replaced);
    watch->replaced = listener;
}

static void retire_idle(struct socket_watch *watch)
{
    if (watch->replaced != NULL && listener_is_idle(watch->replaced))
        listener_destroy(steal_ptr(&watch->replaced));
}

static int bind_socket(struct socket_watch *watch, enum socket_file_replace replace, struct error **err)
{
    int fd = socket_file_listen(&watch->file, replace, err);
    struct listener *listener = fd < 0 ? NULL : listener_create_unix(&watch->config, fd, err);

    if (listener == NULL) {
        if (fd >= 0)
            socket_file_remove(&watch->file);
        return -1;
    }
    if (watch->current != NULL)
        retire(watch, watch->current);
    watch->current = listener;
    watch->state = SOCKET_FILE_OWN;
    watch->superseded = false;
    return 0;
}

static void bind_again(struct socket_watch *watch, enum socket_file_replace replace)
{
    cleanup_error struct error *error = NULL;

    if (bind_socket(watch, replace, &error) == 0) {
        watch->failed = false;
        if (replace == SOCKET_FILE_REPLACE)
            log_warning(watch->log, "another process has left its socket file at the path, replaced it",
                        LOG_STR("path", watch->file.path));
        else
            log_warning(watch->log, "another process has removed the socket file, created it again",
                        LOG_STR("path", watch->file.path));
        report(watch, GRPC_SOCKET_CREATED_AGAIN);
        return;
    }
    if (!watch->failed && error_code(error) != GRPC_STATUS_ALREADY_EXISTS) {
        watch->failed = true;
        log_error(watch->log, "the socket file was removed and cannot be created again, retrying",
                  LOG_STR("path", watch->file.path), LOG_ERR(error));
    }
}

/* --- examination --- */

static enum socket_file_state examine(struct socket_watch *watch, bool connects)
{
    if (watch->state == SOCKET_FILE_TAKEN && !connects && ++watch->skipped < CHECKS_PER_CONNECT)
        return SOCKET_FILE_TAKEN;
    watch->skipped = 0;
    return socket_file_inspect(&watch->file, &watch->holder);
}

static void on_taken(struct socket_watch *watch)
{
    watch->superseded = true;
    log_error(watch->log, "the path of the socket leads to another process, waiting until it ends",
              LOG_STR("path", watch->file.path), LOG_STR("holder", watch->holder.text));
    report(watch, GRPC_SOCKET_LOST);
}

static void on_gone(struct socket_watch *watch)
{
    watch->gone_since_ms = uv_now(watch->config.loop);
    if (!watch->superseded)
        report(watch, GRPC_SOCKET_LOST);
}

/* Moved away and back. */
static void on_own_again(struct socket_watch *watch)
{
    watch->superseded = false;
    watch->failed = false;
    report(watch, GRPC_SOCKET_CREATED_AGAIN);
}

static void enter(struct socket_watch *watch, enum socket_file_state state)
{
    enum socket_file_state before = watch->state;

    watch->state = state;
    if (state == before)
        return;
    if (state == SOCKET_FILE_TAKEN)
        on_taken(watch);
    else if (state == SOCKET_FILE_GONE)
        on_gone(watch);
    else if (state == SOCKET_FILE_OWN)
        on_own_again(watch);
}

/* The last owner of the path goes first when the path becomes free. */
static bool may_bind(const struct socket_watch *watch)
{
    return !watch->superseded || watch->state == SOCKET_FILE_DEAD ||
           uv_now(watch->config.loop) - watch->gone_since_ms >= SOCKET_WATCH_INTERVAL_MS;
}

static void check(struct socket_watch *watch, bool connects)
{
    retire_idle(watch);
    enter(watch, examine(watch, connects));
    if (watch->state == SOCKET_FILE_DEAD)
        bind_again(watch, SOCKET_FILE_REPLACE);
    else if (watch->state == SOCKET_FILE_GONE && may_bind(watch))
        bind_again(watch, SOCKET_FILE_REPLACE_NONE);
}

static void on_timer(void *arg)
{
    check(arg, /* connects= */ false);
}

int socket_watch_check(struct socket_watch *watch, struct error **err)
{
    check(watch, /* connects= */ true);
    if (watch->state == SOCKET_FILE_OWN)
        return 0;
    return error_set(err, GRPC_STATUS_UNAVAILABLE, "the socket %s does not lead to this process: %s",
                     watch->file.path,
                     watch->state == SOCKET_FILE_TAKEN ? watch->holder.text : "the file was removed");
}

int socket_watch_renew(struct socket_watch *watch, struct error **err)
{
    ino_t before = watch->file.ino;

    check(watch, /* connects= */ true);
    if (watch->state == SOCKET_FILE_TAKEN)
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "the socket %s does not lead to this process: %s", watch->file.path,
                         watch->holder.text);
    if (watch->state == SOCKET_FILE_OWN && watch->file.ino != before)
        return 0; /* it was removed: the check has created a new one */
    if (watch->state == SOCKET_FILE_GONE && !may_bind(watch))
        return 0; /* the timer is about to create a new one */
    return bind_socket(watch, SOCKET_FILE_REPLACE, err);
}

/* --- life --- */

static int listen_first(struct socket_watch *watch, struct error **err)
{
    /* During a rolling update with surge the predecessor still listens: it is replaced, as by the Go
     * driver. */
    if (socket_file_inspect(&watch->file, &watch->holder) == SOCKET_FILE_TAKEN)
        log_warning(watch->log, "taking over a socket that another process is listening on",
                    LOG_STR("path", watch->file.path), LOG_STR("holder", watch->holder.text));
    return bind_socket(watch, SOCKET_FILE_REPLACE, err);
}

struct socket_watch *socket_watch_create(const struct socket_watch_config *config, struct error **err)
{
    struct socket_watch *watch = alloc_zeroed(sizeof(*watch), err);

    if (watch == NULL)
        return NULL;
    *watch = (struct socket_watch){
        .config = config->listener,
        .log = config->log,
        .observer = config->observer,
        .observer_arg = config->observer_arg,
    };
    list_init(&watch->link);
    if (socket_file_init(&watch->file, config->path, config->mode, err) == 0)
        watch->timer = loop_timer_create(config->listener.loop, on_timer, watch, err);
    if (watch->timer == NULL || listen_first(watch, err) < 0) {
        socket_watch_destroy(watch);
        return NULL;
    }
    loop_timer_repeat(watch->timer, SOCKET_WATCH_INTERVAL_MS);
    loop_timer_unref(watch->timer);
    return watch;
}

void socket_watch_destroy(struct socket_watch *watch)
{
    if (watch == NULL)
        return;
    list_remove(&watch->link);
    loop_timer_destroy(watch->timer);
    socket_file_remove(&watch->file);
    listener_destroy(watch->current);
    listener_destroy(watch->replaced);
    socket_file_finish(&watch->file);
    free(watch);
}
