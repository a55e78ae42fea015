/*
 * byte_budget.h - how many bytes of mounts a process holds at once, and who waits for its turn.
 *
 * A mount reserves its bytes before it takes them on, and gives them back when its memory is free again.
 * What does not fit waits:
 *  - Of the mounts that wait, the one with the fewest bytes goes first.
 *  - One that has waited for two seconds (`patience_ms`) goes before all others, and nothing is granted until
 *    its bytes are there; of several, the one that has waited longest. So nobody starves.
 *  - A mount that is larger than the whole budget is granted when nothing else is in flight.
 * Who holds bytes never waits for more, so that the budget cannot lock up: what becomes known only later is
 * counted by byte_reservation_resize(), even beyond the budget. Deadlines are the owner's: a mount that gives
 * up releases its reservation.
 *
 * All functions run on the loop's thread.
 */
#ifndef COMMON_PROCESS_BYTE_BUDGET_H
#define COMMON_PROCESS_BYTE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/base/list.h"

/* Default of --max-bytes-in-flight: eight responses of the largest size that drivers accept by default. */
#define BYTE_BUDGET_DEFAULT "33554432"
#define BYTE_BUDGET_MIN     1048576
enum { BYTE_BUDGET_PATIENCE_MS = 2000 };

struct byte_budget;

/* From the loop, never inside another function of this module. */
typedef void byte_budget_callback(void *arg);

/* One mount's part; embedded in its owner. */
struct byte_reservation {
    struct list link; /* in the line while it waits */
    struct byte_budget *budget;
    uint64_t bytes;
    uint64_t since_ns; /* waits since then */
    bool waiting;
    byte_budget_callback *granted;
    void *arg;
};

/* An empty budget of `max` bytes; `loop` is borrowed. `patience_ms`: BYTE_BUDGET_PATIENCE_MS. NULL with err
 * set on lack of memory. */
struct byte_budget *byte_budget_create(uv_loop_t *loop, uint64_t max, uint64_t patience_ms,
                                       struct error **err);

/* Changes the size; what is granted stays granted. */
void byte_budget_set_max(struct byte_budget *budget, uint64_t max);

/* Must hold no reservation any more, and nobody may wait. Accepts NULL. */
void byte_budget_destroy(struct byte_budget *budget);

/* Holds nothing. */
void byte_reservation_init(struct byte_reservation *reservation);

/* Reserves `bytes` for a reservation that holds nothing. True: granted. False: it waits, and `granted` runs
 * once it has its bytes, unless it is released before. */
bool byte_reservation_request(struct byte_reservation *reservation, struct byte_budget *budget,
                              uint64_t bytes, byte_budget_callback *granted, void *arg);

/* Counts `bytes` from now on instead of those that were granted; more than the budget has, if need be.
 * Nothing happens to a reservation that holds nothing. */
void byte_reservation_resize(struct byte_reservation *reservation, uint64_t bytes);

/* Gives the bytes back, or leaves the line. Harmless when it holds nothing. */
void byte_reservation_release(struct byte_reservation *reservation);

/* It has its bytes. */
bool byte_reservation_is_granted(const struct byte_reservation *reservation);

/* For metrics. */
struct byte_budget_state {
    uint64_t bytes;        /* in flight */
    size_t waiting;        /* mounts */
    double waited_seconds; /* of all mounts so far, those that wait now included */
};
struct byte_budget_state byte_budget_state(const struct byte_budget *budget);

#endif
