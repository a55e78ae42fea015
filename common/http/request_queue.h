/*
 * request_queue.h - requests that wait for one host, fair between those that send them. Private to
 * common/http.
 *
 * Requests of one flow (a mount) leave in the order in which they came. Flows take turns: after each request
 * the next flow is served, so that a mount of five hundred objects does not hold up one of two. Entries are
 * embedded in the requests; nothing is allocated, and leaving the queue early costs nothing.
 *
 *     turns ─▶ first of flow A ─▶ first of flow B ─▶ first of flow C
 *                    │                                     │
 *                 behind it                             behind it
 */
#ifndef COMMON_HTTP_REQUEST_QUEUE_H
#define COMMON_HTTP_REQUEST_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"

struct request_queue {
    struct list turns; /* the first entry of each flow, the next to be served in front */
    size_t n;          /* entries */
};

struct queue_entry {
    struct list link;   /* in `turns`, or behind the first of its flow */
    struct list behind; /* of the first of a flow: the others, in order */
    uint64_t flow;
    bool queued;
    bool first; /* of its flow */
};

void request_queue_init(struct request_queue *queue);

/* An entry of `flow`; 0: a flow of its own. It is not queued yet. */
void queue_entry_init(struct queue_entry *entry, uint64_t flow);

/* Behind all of its flow. */
void request_queue_add(struct request_queue *queue, struct queue_entry *entry);

/* In front of everything: it had its turn before. */
void request_queue_add_again(struct request_queue *queue, struct queue_entry *entry);

/* Takes out the entry whose turn it is; NULL when none is left. */
struct queue_entry *request_queue_next(struct request_queue *queue);

/* Takes the entry out. Harmless when it is not queued. */
void request_queue_remove(struct request_queue *queue, struct queue_entry *entry);

#endif
