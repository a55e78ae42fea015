/*
 * log_sink.c - lines to a descriptor, without ever waiting for the reader.
 */
#include "common/base/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    STACK_BYTES = 256 * 1024,
    JOIN_MS = 200, /* for a thread in a write(2) that nothing interrupts */
};

struct log_sink {
    enum {
        SINK_FILE,     /* never waits for a reader */
        SINK_SOCKET,   /* MSG_DONTWAIT */
        SINK_REOPENED, /* O_NONBLOCK on an open file of its own */
        SINK_BLOCKING, /* only the thread may write */
    } kind;
    int fd;       /* borrowed */
    int reopened; /* owned; -1 = none */
    int wake;     /* eventfd: ends the thread's poll(); -1 until there is a thread */
    log_sink_note *note;
    void *note_arg;
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t changed;
    char *buffer;        /* NULL until a line has to wait */
    size_t start, end;   /* what waits */
    uint64_t dropped;    /* since the start */
    uint64_t unreported; /* since the last note */
    bool has_thread;
    bool ending;
    pthread_t thread;
};

static bool is_empty(const struct log_sink *sink)
{
    return sink->start == sink->end;
}

/* --- writing --- */

/* Writes without waiting. Returns the bytes that were taken, 0 = none now, -1 = none ever. */
static ssize_t write_now(struct log_sink *sink, const char *bytes, size_t len)
{
    struct pollfd writable = {.fd = sink->fd, .events = POLLOUT};
    ssize_t n;

    do {
        if (sink->kind == SINK_SOCKET) {
            n = send(sink->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        } else if (sink->kind == SINK_BLOCKING) {
            if (poll(&writable, 1, 0) <= 0)
                return 0;
            n = write(sink->fd, bytes, len < PIPE_BUF ? len : PIPE_BUF);
        } else {
            n = write(sink->kind == SINK_FILE ? sink->fd : sink->reopened, bytes, len);
        }
    } while (n == -1 && errno == EINTR);
    if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    return n;
}

/* For the thread: waits until the descriptor takes bytes or the thread has to end. */
static ssize_t write_patiently(struct log_sink *sink, const char *bytes, size_t len)
{
    ssize_t n = write_now(sink, bytes, len);

    if (n == 0) {
        struct pollfd events[] = {
            {.fd = sink->kind == SINK_REOPENED ? sink->reopened : sink->fd, .events = POLLOUT},
            {.fd = sink->wake, .events = POLLIN}};

        (void)poll(events, 2, -1); /* a failure: the next round tries again */
    }
    return n;
}

/* --- the buffer --- */

static void append(struct log_sink *sink, const char *bytes, size_t len)
{
    if (len > LOG_SINK_BUFFER_BYTES - sink->end) {
        memmove(sink->buffer, sink->buffer + sink->start, sink->end - sink->start);
        sink->end -= sink->start;
        sink->start = 0;
    }
    memcpy(sink->buffer + sink->end, bytes, len);
    sink->end += len;
}

static void drop(struct log_sink *sink)
{
    sink->dropped++;
    sink->unreported++;
}

static void append_note(struct log_sink *sink)
{
    char line[LOG_SINK_NOTE_MAX];
    size_t len = sink->note(sink->unreported, line, sink->note_arg);

    append(sink, line, len);
    sink->unreported = 0;
}

/* Lines that were dropped before this one are reported before it. */
static void enqueue(struct log_sink *sink, const char *line, size_t len, bool important)
{
    size_t limit = important ? LOG_SINK_BUFFER_BYTES : LOG_SINK_ORDINARY_BYTES;
    size_t note_len = sink->unreported > 0 ? LOG_SINK_NOTE_MAX : 0;

    if (sink->buffer == NULL)
        sink->buffer = malloc(LOG_SINK_BUFFER_BYTES);
    if (sink->buffer == NULL || sink->end - sink->start + note_len + len > limit) {
        drop(sink);
        return;
    }
    if (note_len > 0)
        append_note(sink);
    append(sink, line, len);
}

/* Whole lines, as many as a pipe takes in one piece, or one longer line. */
static size_t next_chunk(const struct log_sink *sink)
{
    const char *begin = sink->buffer + sink->start;
    size_t waiting = sink->end - sink->start;
    size_t limit = waiting < PIPE_BUF ? waiting : PIPE_BUF;
    const char *last = memrchr(begin, '\n', limit);

    if (last == NULL)
        last = memchr(begin, '\n', waiting);
    return last == NULL ? waiting : (size_t)(last - begin) + 1;
}

/* --- the thread --- */

static unsigned count_lines(const char *bytes, size_t len)
{
    unsigned n = 0;

    for (const char *at = bytes; (at = memchr(at, '\n', len - (size_t)(at - bytes))) != NULL; at++)
        n++;
    return n;
}

static void write_chunk(struct log_sink *sink, char chunk[LOG_SINK_BUFFER_BYTES / 4])
{
    size_t len = next_chunk(sink);
    ssize_t n;

    if (len > LOG_SINK_BUFFER_BYTES / 4)
        len = LOG_SINK_BUFFER_BYTES / 4;
    memcpy(chunk, sink->buffer + sink->start, len);
    (void)pthread_mutex_unlock(&sink->mutex);
    n = write_patiently(sink, chunk, len);
    (void)pthread_mutex_lock(&sink->mutex);
    if (n < 0) {
        sink->dropped += count_lines(chunk, len);
        n = (ssize_t)len;
    }
    sink->start += (size_t)n;
}

static void *run_thread(void *arg)
{
    struct log_sink *sink = arg;
    char chunk[LOG_SINK_BUFFER_BYTES / 4];

    (void)pthread_mutex_lock(&sink->mutex);
    while (!sink->ending) {
        if (!is_empty(sink)) {
            write_chunk(sink, chunk);
        } else if (sink->unreported > 0) {
            append_note(sink);
        } else {
            (void)pthread_cond_broadcast(&sink->changed);
            (void)pthread_cond_wait(&sink->changed, &sink->mutex);
        }
    }
    (void)pthread_mutex_unlock(&sink->mutex);
    return NULL;
}

/* Signals belong to the loop, except for SIGSYS: the kernel ends a process that blocks the signal of a
 * refused system call. */
static int create_thread(struct log_sink *sink)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    int rc;

    if (pthread_attr_init(&attributes) != 0)
        return -1;
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGSYS);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&sink->thread, &attributes, run_thread, sink);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return rc == 0 ? 0 : -1;
}

/* Without a thread (no memory, no descriptor) the next line tries again. */
static void start_thread(struct log_sink *sink)
{
    if (sink->has_thread || is_empty(sink))
        return;
    if (sink->wake < 0)
        sink->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sink->has_thread = sink->wake >= 0 && create_thread(sink) == 0;
}

/* --- lines --- */

/* Returns what is left of the line: all of it when earlier lines wait. */
static size_t write_directly(struct log_sink *sink, const char *line, size_t len)
{
    ssize_t n;

    if (sink->kind == SINK_BLOCKING || !is_empty(sink))
        return len;
    n = write_now(sink, line, len);
    if (n < 0) {
        sink->dropped++;
        return 0;
    }
    /* The rest of a file's line will not fit later either. */
    return sink->kind == SINK_FILE ? 0 : len - (size_t)n;
}

void log_sink_write(struct log_sink *sink, const char *line, size_t len, bool important)
{
    size_t rest;

    (void)pthread_mutex_lock(&sink->mutex);
    rest = write_directly(sink, line, len);
    if (rest > 0) {
        enqueue(sink, line + (len - rest), rest, important);
        start_thread(sink);
        (void)pthread_cond_broadcast(&sink->changed);
    }
    (void)pthread_mutex_unlock(&sink->mutex);
}

uint64_t log_sink_dropped(struct log_sink *sink)
{
    uint64_t dropped;

    (void)pthread_mutex_lock(&sink->mutex);
    dropped = sink->dropped;
    (void)pthread_mutex_unlock(&sink->mutex);
    return dropped;
}

/* --- life --- */

static struct timespec after(clockid_t clock, unsigned ms)
{
    struct timespec time = {0};

    (void)clock_gettime(clock, &time);
    time.tv_sec += (time_t)(ms / 1000);
    time.tv_nsec += (long)(ms % 1000) * 1000000L;
    if (time.tv_nsec >= 1000000000L) {
        time.tv_sec++;
        time.tv_nsec -= 1000000000L;
    }
    return time;
}

void log_sink_flush(struct log_sink *sink, unsigned timeout_ms)
{
    struct timespec until = after(CLOCK_MONOTONIC, timeout_ms);
    int rc = 0;

    (void)pthread_mutex_lock(&sink->mutex);
    while (sink->has_thread && (!is_empty(sink) || sink->unreported > 0) && rc == 0)
        rc = pthread_cond_timedwait(&sink->changed, &sink->mutex, &until);
    (void)pthread_mutex_unlock(&sink->mutex);
}

/* A second open file of the same pipe or terminal; -1 when there is none, as for a pipe without a reader. */
static int reopen(int fd)
{
    char path[32];

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

static void choose_kind(struct log_sink *sink)
{
    struct stat st;

    if (fstat(sink->fd, &st) == -1 || S_ISREG(st.st_mode)) {
        sink->kind = SINK_FILE;
    } else if (S_ISSOCK(st.st_mode)) {
        sink->kind = SINK_SOCKET;
    } else {
        sink->reopened = reopen(sink->fd);
        sink->kind = sink->reopened >= 0 ? SINK_REOPENED : SINK_BLOCKING;
    }
}

struct log_sink *log_sink_create(int fd, log_sink_note *note, void *arg)
{
    struct log_sink *sink = malloc(sizeof(*sink));
    pthread_condattr_t attributes;

    if (sink == NULL || pthread_condattr_init(&attributes) != 0)
        abort(); /* at start, a few dozen bytes */
    *sink = (struct log_sink){.fd = fd, .reopened = -1, .wake = -1, .note = note, .note_arg = arg};
    choose_kind(sink);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (pthread_mutex_init(&sink->mutex, NULL) != 0 || pthread_cond_init(&sink->changed, &attributes) != 0)
        abort();
    (void)pthread_condattr_destroy(&attributes);
    return sink;
}

/* False when the thread hangs in the kernel. */
static bool end_thread(struct log_sink *sink)
{
    const struct timespec until = after(CLOCK_REALTIME, JOIN_MS);

    (void)pthread_mutex_lock(&sink->mutex);
    sink->ending = true;
    (void)pthread_cond_broadcast(&sink->changed);
    (void)pthread_mutex_unlock(&sink->mutex);
    if (!sink->has_thread)
        return true;
    (void)eventfd_write(sink->wake, 1); /* it takes its first number */
    return pthread_timedjoin_np(sink->thread, NULL, &until) == 0;
}

void log_sink_destroy(struct log_sink *sink)
{
    if (sink == NULL)
        return;
    if (!end_thread(sink))
        return; /* it still uses the sink; the process ends */
    if (sink->reopened >= 0)
        (void)close(sink->reopened);
    if (sink->wake >= 0)
        (void)close(sink->wake);
    (void)pthread_cond_destroy(&sink->changed);
    (void)pthread_mutex_destroy(&sink->mutex);
    free(sink->buffer);
    free(sink);
}
