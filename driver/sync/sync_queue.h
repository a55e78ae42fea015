/*
 * sync_queue.h - which of the queued runs starts next.
 *
 * First come, first served, but runs of one class take turns: pods of a class share its Secrets, so that
 * one writes and the others find it written, instead of all writing and all but one having a conflict. A
 * run whose class is busy waits with its class, out of the way of the others: however many they are, no
 * step goes through all of them. An urgent run (a pod is being mounted) does not wait for its class. Loop
 * thread only.
 */
#ifndef DRIVER_SYNC_SYNC_QUEUE_H
#define DRIVER_SYNC_SYNC_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/hash_table.h"
#include "common/base/list.h"

struct sync_class;

/* A run: idle, queued, or running. */
struct sync_queue_entry {
    struct list link;         /* in `ready`, or with its class; in neither when it is idle or running */
    struct sync_class *class; /* owned together with the other entries of the class */
    bool running;
};

typedef bool sync_queue_is_urgent(const struct sync_queue_entry *entry);

struct sync_queue {
    sync_queue_is_urgent *is_urgent;
    struct hash_table classes; /* struct sync_class, of all entries */
    struct list ready;         /* entries that have not been found waiting for their class */
    unsigned n_running;
    uint64_t visits; /* entries looked at so far: what tests count instead of time */
};

void sync_queue_init(struct sync_queue *queue, sync_queue_is_urgent *is_urgent);

/* All entries have left. */
void sync_queue_finish(struct sync_queue *queue);

/* Makes `entry` an idle one of this class. -1 only on lack of memory. */
int sync_queue_join(struct sync_queue *queue, struct sync_queue_entry *entry, const char *ns,
                    const char *class_name);

/* Whatever the entry does, it ends. */
void sync_queue_leave(struct sync_queue *queue, struct sync_queue_entry *entry);

enum sync_queue_place { SYNC_QUEUE_LAST, SYNC_QUEUE_FIRST };

/* Queues an idle entry. One that is queued keeps its place, unless the new one is the first. */
void sync_queue_add(struct sync_queue *queue, struct sync_queue_entry *entry, enum sync_queue_place place);

/* The next entry, which is running from now on; NULL when none may run. */
struct sync_queue_entry *sync_queue_start(struct sync_queue *queue);

/* A running entry is idle again. */
void sync_queue_end(struct sync_queue *queue, struct sync_queue_entry *entry);

#endif
