/*
 * parking.h - HTTP connections that wait without holding a thread.
 *
 * A parked connection is suspended in libmicrohttpd. One waiter thread resumes it when its time has come or
 * its client hangs up; any thread may resume it earlier. After that libmicrohttpd calls the access handler
 * (or the content reader) that parked it once more.
 *
 * Lock order: the emulator's lock, then the one in here, then libmicrohttpd's.
 */
#ifndef EMULATOR_PARKING_H
#define EMULATOR_PARKING_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct parking;

/* One place to wait in; embedded in whatever waits, all zero at first. Must stay in place while parked. */
struct parked {
    struct MHD_Connection *connection;
    struct parked *next; /* all parked ones */
    struct parked *previous;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0 = none */
    size_t heap_index;    /* 1-based place in the heap of deadlines; 0 = not in it */
    int fd;               /* watched for hang-up; -1 = not watched */
    bool is_parked;
    bool hung_up; /* the client went away while parked */
};

/* Starts the waiter thread; NULL with a message on stderr when it cannot. */
struct parking *parking_create(void);

/* Suspends `connection`; only from an access handler or content reader of that connection, which must return
 * right after without a response. `deadline_ns` 0 = no limit; then, and whenever `watch_client` is true, a
 * client that hangs up ends the wait. False: the emulator is closing, nothing was done, give the connection
 * up. */
bool parking_park(struct parking *parking, struct parked *parked, struct MHD_Connection *connection,
                  uint64_t deadline_ns, bool watch_client);

/* Resumes it if it is parked. */
void parking_wake(struct parking *parking, struct parked *parked);
/* Resumes those that wait without a deadline. */
void parking_wake_unlimited(struct parking *parking);

/* From now on nothing can be parked; wakes everything. Call before stopping the HTTP daemons. */
void parking_close(struct parking *parking);
void parking_destroy(struct parking *parking);

#endif
