/*
 * kube_queue.c - when a request may go to the Kubernetes API. See the drawing in the header.
 */
#include "common/kube/kube_queue.h"

#include <stdlib.h>

#include "common/base/backoff.h"
#include "common/process/loop_timer.h"

struct kube_queue {
    uv_loop_t *loop;
    struct kube_health *health;
    struct kube_health_listener listener;
    struct list delayed; /* entries */
    struct list queued;
    struct list in_flight; /* those that are ADMITTED included */
    unsigned n_in_flight;
    uint64_t paused_until_ms;
    struct loop_timer *timer; /* the end of that pause */
};

enum entry_state { IDLE, DELAYED, QUEUED, ADMITTED, IN_FLIGHT, REJECTED };

enum rejection {
    REJECTED_UNREACHABLE, /* the API server does not respond */
    REJECTED_RETRY_AFTER, /* it has asked for a pause that is longer than the request has time */
    REJECTED_TIMEOUT,     /* no slot became free in time */
};

struct kube_queue_entry {
    struct kube_queue *queue;
    struct list link;
    struct loop_timer *timer; /* by state: the delay, the deadline, or the next turn */
    enum entry_state state;
    enum rejection rejection;
    uint64_t deadline_ms;
    const struct kube_queue_callbacks *callbacks;
    void *arg;
};

static uint64_t pause_left(const struct kube_queue *queue)
{
    uint64_t now = uv_now(queue->loop);

    return now < queue->paused_until_ms ? queue->paused_until_ms - now : 0;
}

static uint64_t time_left(const struct kube_queue_entry *entry)
{
    uint64_t now = uv_now(entry->queue->loop);

    return now < entry->deadline_ms ? entry->deadline_ms - now : 0;
}

static bool has_slot(const struct kube_queue_entry *entry)
{
    return entry->state == ADMITTED || entry->state == IN_FLIGHT;
}

/* Moves an entry to another list (NULL: to none) and state; the slot it has is free then. */
static void move_to(struct kube_queue_entry *entry, struct list *list, enum entry_state state)
{
    if (has_slot(entry))
        entry->queue->n_in_flight--;
    list_remove(&entry->link);
    loop_timer_stop(entry->timer);
    entry->state = state;
    if (list != NULL)
        list_insert_before(list, &entry->link);
}

/* --- admission --- */

/* The callback runs in the next turn, never inside somebody else's call. */
static void admit(struct kube_queue_entry *entry)
{
    struct kube_queue *queue = entry->queue;

    move_to(entry, &queue->in_flight, ADMITTED);
    queue->n_in_flight++;
    loop_timer_start(entry->timer, 0);
    kube_health_sent(queue->health);
}

static void admit_queued(struct kube_queue *queue)
{
    while (kube_health_state(queue->health) == KUBE_REACHABLE && pause_left(queue) == 0 &&
           queue->n_in_flight < KUBE_IN_FLIGHT_MAX && !list_empty(&queue->queued))
        admit(container_of(queue->queued.next, struct kube_queue_entry, link));
    if (!list_empty(&queue->queued) && pause_left(queue) > 0)
        loop_timer_start(queue->timer, pause_left(queue));
    else
        loop_timer_stop(queue->timer);
}

static void pause_over(void *arg)
{
    admit_queued(arg);
}

/* The request is not in flight any more; its outcome is unknown. */
static void abandon(struct kube_queue_entry *entry, enum entry_state state)
{
    bool had_slot = has_slot(entry);

    move_to(entry, NULL, state);
    if (had_slot)
        kube_health_abandoned(entry->queue->health);
}

static void leave(struct kube_queue_entry *entry)
{
    abandon(entry, IDLE);
    admit_queued(entry->queue);
}

/* --- rejection --- */

static void reject(struct kube_queue_entry *entry, enum rejection rejection)
{
    abandon(entry, REJECTED);
    entry->rejection = rejection;
    loop_timer_start(entry->timer, 0);
}

static void reject_all(struct list *entries)
{
    while (!list_empty(entries))
        reject(container_of(entries->next, struct kube_queue_entry, link), REJECTED_UNREACHABLE);
}

static struct error *rejection_error(const struct kube_queue_entry *entry)
{
    struct error *error = NULL;

    switch (entry->rejection) {
    case REJECTED_UNREACHABLE:
        (void)kube_health_error(entry->queue->health, &error);
        break;
    case REJECTED_RETRY_AFTER:
        (void)error_set(
            &error, GRPC_STATUS_UNAVAILABLE,
            "the API server asks for a pause of %llu s (Retry-After), which is longer than the request has time",
            (unsigned long long)(pause_left(entry->queue) + 999) / 1000);
        break;
    case REJECTED_TIMEOUT:
        (void)error_set(&error, GRPC_STATUS_DEADLINE_EXCEEDED,
                        "%d other requests to the API server did not end in time", KUBE_IN_FLIGHT_MAX);
        break;
    }
    return error;
}

static void health_changed(void *arg)
{
    struct kube_queue *queue = arg;

    if (kube_health_state(queue->health) == KUBE_UNREACHABLE) {
        reject_all(&queue->in_flight);
        reject_all(&queue->delayed);
        reject_all(&queue->queued);
    }
    admit_queued(queue);
}

/* --- entries --- */

static void enter_now(struct kube_queue_entry *entry)
{
    struct kube_queue *queue = entry->queue;

    if (kube_health_state(queue->health) == KUBE_UNREACHABLE) {
        reject(entry, REJECTED_UNREACHABLE);
    } else if (pause_left(queue) > 0 && pause_left(queue) >= time_left(entry)) {
        reject(entry, REJECTED_RETRY_AFTER);
    } else {
        move_to(entry, &queue->queued, QUEUED);
        loop_timer_start(entry->timer, time_left(entry));
        admit_queued(queue);
    }
}

static void timer_fired(void *arg)
{
    struct kube_queue_entry *entry = arg;
    cleanup_error struct error *error = NULL;

    switch (entry->state) {
    case DELAYED:
        enter_now(entry);
        break;
    case QUEUED: /* its deadline */
        reject(entry, kube_health_state(entry->queue->health) == KUBE_REACHABLE ? REJECTED_TIMEOUT
                                                                                : REJECTED_UNREACHABLE);
        break;
    case ADMITTED:
        entry->state = IN_FLIGHT;
        entry->callbacks->on_admitted(entry->arg);
        break;
    case REJECTED:
        error = rejection_error(entry);
        entry->state = IDLE;
        entry->callbacks->on_rejected(error, entry->arg);
        break;
    case IDLE:
    case IN_FLIGHT:
        break;
    }
}

struct kube_queue_entry *kube_queue_entry_create(struct kube_queue *queue, uint64_t deadline_ms,
                                                 const struct kube_queue_callbacks *callbacks, void *arg,
                                                 struct error **err)
{
    struct kube_queue_entry *entry = calloc(1, sizeof(*entry));

    if (entry == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *entry = (struct kube_queue_entry){
        .queue = queue, .deadline_ms = deadline_ms, .callbacks = callbacks, .arg = arg};
    list_init(&entry->link);
    entry->timer = loop_timer_create(queue->loop, timer_fired, entry, err);
    if (entry->timer == NULL) {
        free(entry);
        return NULL;
    }
    return entry;
}

void kube_queue_entry_destroy(struct kube_queue_entry *entry)
{
    if (entry == NULL)
        return;
    leave(entry);
    loop_timer_destroy(entry->timer);
    free(entry);
}

void kube_queue_enter(struct kube_queue_entry *entry, uint64_t delay_ms)
{
    leave(entry);
    if (delay_ms == 0 || kube_health_state(entry->queue->health) == KUBE_UNREACHABLE) {
        enter_now(entry);
        return;
    }
    move_to(entry, &entry->queue->delayed, DELAYED);
    loop_timer_start(entry->timer, delay_ms);
}

void kube_queue_responded(struct kube_queue_entry *entry)
{
    move_to(entry, NULL, IDLE);
    kube_health_responded(entry->queue->health);
    admit_queued(entry->queue);
}

void kube_queue_no_response(struct kube_queue_entry *entry, const struct error *error)
{
    move_to(entry, NULL, IDLE);
    kube_health_no_response(entry->queue->health, error);
}

/* --- the queue --- */

void kube_queue_pause(struct kube_queue *queue, uint64_t ms)
{
    uint64_t pause = ms < KUBE_RETRY_AFTER_MAX_MS ? ms : (uint64_t)KUBE_RETRY_AFTER_MAX_MS;
    uint64_t until = uv_now(queue->loop) + backoff_spread(pause, 100, 125, backoff_random());

    if (ms == 0 || until <= queue->paused_until_ms)
        return;
    queue->paused_until_ms = until;
    for (struct list *link = queue->queued.next; link != &queue->queued;) {
        struct kube_queue_entry *entry = container_of(link, struct kube_queue_entry, link);

        link = link->next;
        if (pause_left(queue) >= time_left(entry))
            reject(entry, REJECTED_RETRY_AFTER);
    }
    admit_queued(queue);
}

struct kube_queue *kube_queue_create(uv_loop_t *loop, struct kube_health *health, struct error **err)
{
    struct kube_queue *queue = calloc(1, sizeof(*queue));

    if (queue == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *queue = (struct kube_queue){.loop = loop, .health = health};
    queue->timer = loop_timer_create(loop, pause_over, queue, err);
    if (queue->timer == NULL) {
        free(queue);
        return NULL;
    }
    list_init(&queue->delayed);
    list_init(&queue->queued);
    list_init(&queue->in_flight);
    queue->listener = (struct kube_health_listener){.on_change = health_changed, .arg = queue};
    kube_health_listen(health, &queue->listener);
    return queue;
}

void kube_queue_destroy(struct kube_queue *queue)
{
    if (queue == NULL)
        return;
    kube_health_unlisten(&queue->listener);
    loop_timer_destroy(queue->timer);
    free(queue);
}
