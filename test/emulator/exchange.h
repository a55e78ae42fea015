/*
 * exchange.h - one request's way through the emulator, whichever HTTP version brought it.
 *
 *   exchange_begin() ──> exchange_body()* ──> exchange_complete() ──┬─ NOW ───────────> exchange_respond()
 *                                                                  ├─ LATER, waits ─> exchange_respond()
 *                                                                  └─ NEVER, waits ─> exchange_give_up()
 *
 * and exchange_end() in every case. The caller waits, sends, and does those faults that are about sending.
 */
#ifndef EMULATOR_EXCHANGE_H
#define EMULATOR_EXCHANGE_H

#include "test/emulator/emulator.h"

/* The request line and the headers are known: `target` is copied; the caller has set emulator, transport,
 * connection, service (SERVICE_NONE: the host decides) and method. */
void exchange_begin(struct request *request, const char *target);
void exchange_body(struct request *request, const void *bytes, size_t len);

enum exchange_wait {
    EXCHANGE_NOW,
    EXCHANGE_LATER, /* at *ret_deadline_ns (CLOCK_MONOTONIC) */
    EXCHANGE_NEVER, /* until the emulator's operator ends it */
};

/* The whole request is there: decides about faults. */
enum exchange_wait exchange_complete(struct request *request, uint64_t *ret_deadline_ns);

/* Fills `response` (all zero) in; status 0 = none is to be sent. False: the connection has gone silent
 * meanwhile, wait as for EXCHANGE_NEVER. */
bool exchange_respond(struct request *request, struct response *response);

/* There was no response. */
void exchange_give_up(struct request *request);
void exchange_end(struct request *request);

#endif
