/*
 * byte_budget.c - bytes in flight, and the queue of those that wait.
 */
#include "common/process/byte_budget.h"

#include <assert.h>
#include <stdlib.h>

#include "common/process/lifecycle.h"
#include "common/process/loop_timer.h"

struct byte_budget {
    uint64_t max;
    uint64_t patience_ns;
    uint64_t bytes;           /* reserved */
    struct list line;         /* of reservations that wait, in the order of their coming */
    size_t waiting;           /* in the line */
    uint64_t waited_ns;       /* of those that do not wait any more */
    struct loop_timer *grant; /* runs when bytes have come back and somebody waits */
};

static struct byte_reservation *of(struct list *link)
{
    return container_of(link, struct byte_reservation, link);
}

static bool is_impatient(const struct byte_reservation *reservation, uint64_t now_ns)
{
    return now_ns - reservation->since_ns >= reservation->budget->patience_ns;
}

/* Somebody must wait. */
static struct byte_reservation *next_in_line(struct byte_budget *budget, uint64_t now_ns)
{
    struct byte_reservation *next = of(budget->line.next);

    if (is_impatient(next, now_ns))
        return next;
    for (struct list *link = next->link.next; link != &budget->line; link = link->next)
        if (of(link)->bytes < next->bytes)
            next = of(link);
    return next;
}

/* May somebody who comes now go before those that wait? */
static bool goes_first(struct byte_budget *budget, uint64_t bytes, uint64_t now_ns)
{
    if (budget->waiting == 0)
        return true;
    const struct byte_reservation *next = next_in_line(budget, now_ns);
    return bytes < next->bytes && !is_impatient(next, now_ns);
}

static bool fits(const struct byte_budget *budget, uint64_t bytes)
{
    return budget->bytes == 0 || (bytes <= budget->max && budget->bytes <= budget->max - bytes);
}

static void hold(struct byte_reservation *reservation)
{
    reservation->budget->bytes += reservation->bytes;
}

static void leave_line(struct byte_reservation *reservation)
{
    struct byte_budget *budget = reservation->budget;

    list_remove(&reservation->link);
    reservation->waiting = false;
    budget->waiting--;
    budget->waited_ns += clock_monotonic_ns() - reservation->since_ns;
}

/* One in each turn of the loop: its callback may change everything. */
static void on_grant(void *arg)
{
    struct byte_budget *budget = arg;

    if (budget->waiting == 0)
        return;
    struct byte_reservation *next = next_in_line(budget, clock_monotonic_ns());
    if (!fits(budget, next->bytes))
        return;
    leave_line(next);
    hold(next);
    if (budget->waiting > 0)
        loop_timer_start(budget->grant, 0);
    next->granted(next->arg);
}

struct byte_budget *byte_budget_create(uv_loop_t *loop, uint64_t max, uint64_t patience_ms,
                                       struct error **err)
{
    struct byte_budget *budget = calloc(1, sizeof(*budget));

    if (budget == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    budget->max = max;
    budget->patience_ns = patience_ms * 1000000;
    list_init(&budget->line);
    budget->grant = loop_timer_create(loop, on_grant, budget, err);
    if (budget->grant == NULL) {
        free(budget);
        return NULL;
    }
    return budget;
}

void byte_budget_set_max(struct byte_budget *budget, uint64_t max)
{
    bool grows = max > budget->max;

    budget->max = max;
    if (grows && budget->waiting > 0)
        loop_timer_start(budget->grant, 0);
}

void byte_budget_destroy(struct byte_budget *budget)
{
    if (budget == NULL)
        return;
    assert(budget->bytes == 0 && budget->waiting == 0);
    loop_timer_destroy(budget->grant);
    free(budget);
}

void byte_reservation_init(struct byte_reservation *reservation)
{
    *reservation = (struct byte_reservation){0};
    list_init(&reservation->link);
}

bool byte_reservation_request(struct byte_reservation *reservation, struct byte_budget *budget,
                              uint64_t bytes, byte_budget_callback *granted, void *arg)
{
    uint64_t now_ns = clock_monotonic_ns();

    assert(reservation->budget == NULL);
    reservation->budget = budget;
    reservation->bytes = bytes;
    if (fits(budget, bytes) && goes_first(budget, bytes, now_ns)) {
        hold(reservation);
        return true;
    }
    reservation->granted = granted;
    reservation->arg = arg;
    reservation->since_ns = now_ns;
    reservation->waiting = true;
    list_insert_before(&budget->line, &reservation->link);
    budget->waiting++;
    return false;
}

/* Bytes have come back. */
static void give_back(struct byte_budget *budget, uint64_t bytes)
{
    budget->bytes -= bytes;
    if (budget->waiting > 0)
        loop_timer_start(budget->grant, 0);
}

void byte_reservation_resize(struct byte_reservation *reservation, uint64_t bytes)
{
    if (!byte_reservation_is_granted(reservation))
        return;
    uint64_t before = reservation->bytes;
    reservation->bytes = bytes;
    if (bytes >= before)
        reservation->budget->bytes += bytes - before;
    else
        give_back(reservation->budget, before - bytes);
}

void byte_reservation_release(struct byte_reservation *reservation)
{
    struct byte_budget *budget = reservation->budget;

    if (budget == NULL)
        return;
    if (reservation->waiting) {
        leave_line(reservation);
        give_back(budget, 0); /* the next one may be smaller */
    } else {
        give_back(budget, reservation->bytes);
    }
    byte_reservation_init(reservation);
}

bool byte_reservation_is_granted(const struct byte_reservation *reservation)
{
    return reservation->budget != NULL && !reservation->waiting;
}

struct byte_budget_state byte_budget_state(const struct byte_budget *budget)
{
    uint64_t now_ns = clock_monotonic_ns(), waited_ns = budget->waited_ns;

    for (struct list *link = budget->line.next; link != &budget->line; link = link->next)
        waited_ns += now_ns - of(link)->since_ns;
    return (struct byte_budget_state){
        .bytes = budget->bytes, .waiting = budget->waiting, .waited_seconds = (double)waited_ns / 1e9};
}
