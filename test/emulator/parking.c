/*
 * parking.c - see parking.h. Deadlines are a binary heap behind one timerfd; hang-ups come from epoll.
 */
#include "test/emulator/parking.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "test/emulator/memory.h"
#include "test/emulator/stamp.h"

struct parking {
    pthread_mutex_t lock;
    pthread_t thread;
    struct parked *first;
    struct parked **heap; /* heap[1] has the earliest deadline */
    size_t heap_len;
    size_t heap_capacity;
    int epoll_fd;
    int timer_fd;
    int stop_fd;
    bool closing;
};

static void heap_place(struct parking *parking, size_t index, struct parked *parked)
{
    parking->heap[index] = parked;
    parked->heap_index = index;
}

/* Moves the entry at `index` up or down to where it belongs. */
static void heap_settle(struct parking *parking, size_t index)
{
    struct parked *moving = parking->heap[index];
    while (index > 1 && parking->heap[index / 2]->deadline_ns > moving->deadline_ns) {
        heap_place(parking, index, parking->heap[index / 2]);
        index /= 2;
    }
    for (size_t child; (child = index * 2) <= parking->heap_len; index = child) {
        if (child < parking->heap_len &&
            parking->heap[child + 1]->deadline_ns < parking->heap[child]->deadline_ns)
            child++;
        if (parking->heap[child]->deadline_ns >= moving->deadline_ns)
            break;
        heap_place(parking, index, parking->heap[child]);
    }
    heap_place(parking, index, moving);
}

static void heap_add(struct parking *parking, struct parked *parked)
{
    if (parking->heap_len + 2 > parking->heap_capacity) {
        parking->heap_capacity = parking->heap_capacity == 0 ? 64 : parking->heap_capacity * 2;
        parking->heap = xrealloc(parking->heap, parking->heap_capacity * sizeof(struct parked *));
    }
    heap_place(parking, ++parking->heap_len, parked);
    heap_settle(parking, parking->heap_len);
}

static void heap_remove(struct parking *parking, struct parked *parked)
{
    size_t index = parked->heap_index;
    struct parked *last = parking->heap[parking->heap_len--];
    parked->heap_index = 0;
    if (last == parked)
        return;
    heap_place(parking, index, last);
    heap_settle(parking, index);
}

static void set_timer(const struct parking *parking)
{
    struct itimerspec when = {0};
    if (parking->heap_len > 0) {
        uint64_t ns = parking->heap[1]->deadline_ns;
        when.it_value.tv_sec = (time_t)(ns / 1000000000U);
        when.it_value.tv_nsec = (long)(ns % 1000000000U);
    }
    (void)timerfd_settime(parking->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void wake_locked(struct parking *parking, struct parked *parked)
{
    if (!parked->is_parked)
        return;
    if (parked->heap_index != 0)
        heap_remove(parking, parked);
    if (parked->fd >= 0)
        (void)epoll_ctl(parking->epoll_fd, EPOLL_CTL_DEL, parked->fd, NULL);
    *(parked->previous != NULL ? &parked->previous->next : &parking->first) = parked->next;
    if (parked->next != NULL)
        parked->next->previous = parked->previous;
    parked->is_parked = false;
    MHD_resume_connection(parked->connection);
}

bool parking_park(struct parking *parking, struct parked *parked, struct MHD_Connection *connection,
                  uint64_t deadline_ns, bool watch_client)
{
    (void)pthread_mutex_lock(&parking->lock);
    if (parking->closing) {
        (void)pthread_mutex_unlock(&parking->lock);
        return false;
    }
    *parked = (struct parked){.connection = connection,
                              .deadline_ns = deadline_ns,
                              .fd = -1,
                              .is_parked = true,
                              .next = parking->first};
    if (parking->first != NULL)
        parking->first->previous = parked;
    parking->first = parked;
    if (deadline_ns != 0) {
        heap_add(parking, parked);
        if (parked->heap_index == 1)
            set_timer(parking);
    }
    /* Before the fd is watched: a hang-up seen at once must find the connection suspended. (The lock is held
     * anyway.) */
    MHD_suspend_connection(connection);
    if (watch_client || deadline_ns == 0) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = parked};
        if (info != NULL && epoll_ctl(parking->epoll_fd, EPOLL_CTL_ADD, info->connect_fd, &event) == 0)
            parked->fd = info->connect_fd;
    }
    (void)pthread_mutex_unlock(&parking->lock);
    return true;
}

void parking_wake(struct parking *parking, struct parked *parked)
{
    (void)pthread_mutex_lock(&parking->lock);
    wake_locked(parking, parked);
    (void)pthread_mutex_unlock(&parking->lock);
}

void parking_wake_unlimited(struct parking *parking)
{
    (void)pthread_mutex_lock(&parking->lock);
    for (struct parked *parked = parking->first; parked != NULL;) {
        struct parked *next = parked->next;
        if (parked->deadline_ns == 0)
            wake_locked(parking, parked);
        parked = next;
    }
    (void)pthread_mutex_unlock(&parking->lock);
}

static void *wait_for_events(void *arg)
{
    struct parking *parking = arg;
    for (;;) {
        /* One event a turn: handling one may release the memory that a second one of the same batch would
         * point to. */
        struct epoll_event event;
        int n = epoll_wait(parking->epoll_fd, &event, 1, -1);
        if (n == -1 && errno != EINTR)
            return NULL;
        if (n != 1)
            continue;
        if (event.data.ptr == &parking->stop_fd)
            return NULL;
        (void)pthread_mutex_lock(&parking->lock);
        if (event.data.ptr == &parking->timer_fd) {
            uint64_t ticks;
            ssize_t got = read(parking->timer_fd, &ticks, sizeof(ticks));
            (void)got; /* only drains it */
            uint64_t now = monotonic_ns();
            while (parking->heap_len > 0 && parking->heap[1]->deadline_ns <= now)
                wake_locked(parking, parking->heap[1]);
            set_timer(parking);
        } else {
            /* Woken by another thread since epoll_wait() returned? Then the pointer may be stale: look it up.
             */
            for (struct parked *parked = parking->first; parked != NULL; parked = parked->next) {
                if (parked == event.data.ptr && parked->fd >= 0) {
                    parked->hung_up = true;
                    wake_locked(parking, parked);
                    break;
                }
            }
        }
        (void)pthread_mutex_unlock(&parking->lock);
    }
}

static int watch_own(const struct parking *parking, int fd, void *tag)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = tag};
    return fd < 0 ? -1 : epoll_ctl(parking->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

struct parking *parking_create(void)
{
    struct parking *parking = xcalloc(1, sizeof(*parking));
    (void)pthread_mutex_init(&parking->lock, NULL);
    parking->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    parking->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    parking->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (parking->epoll_fd < 0 || watch_own(parking, parking->timer_fd, &parking->timer_fd) != 0 ||
        watch_own(parking, parking->stop_fd, &parking->stop_fd) != 0 ||
        pthread_create(&parking->thread, NULL, wait_for_events, parking) != 0) {
        perror("vault-emulator: cannot start the waiter thread");
        return NULL;
    }
    return parking;
}

void parking_close(struct parking *parking)
{
    (void)pthread_mutex_lock(&parking->lock);
    parking->closing = true;
    while (parking->first != NULL)
        wake_locked(parking, parking->first);
    (void)pthread_mutex_unlock(&parking->lock);
}

void parking_destroy(struct parking *parking)
{
    uint64_t one = 1;
    ssize_t put = write(parking->stop_fd, &one, sizeof(one));
    (void)put; /* an eventfd that was never written to takes it */
    (void)pthread_join(parking->thread, NULL);
    (void)close(parking->epoll_fd);
    (void)close(parking->timer_fd);
    (void)close(parking->stop_fd);
    (void)pthread_mutex_destroy(&parking->lock);
    free(parking->heap);
    free(parking);
}
