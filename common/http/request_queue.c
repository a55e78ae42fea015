/*
 * request_queue.c - flows that take turns.
 */
#include "common/http/request_queue.h"

#include <assert.h>

void request_queue_init(struct request_queue *queue)
{
    *queue = (struct request_queue){0};
    list_init(&queue->turns);
}

void queue_entry_init(struct queue_entry *entry, uint64_t flow)
{
    *entry = (struct queue_entry){.flow = flow};
    list_init(&entry->link);
    list_init(&entry->behind);
}

/* A mount adds its requests one after the other, so its flow is the last or close to it. */
static struct queue_entry *find_flow(const struct request_queue *queue, uint64_t flow)
{
    for (struct list *link = queue->turns.prev; flow != 0 && link != &queue->turns; link = link->prev) {
        struct queue_entry *first = container_of(link, struct queue_entry, link);
        if (first->flow == flow)
            return first;
    }
    return NULL;
}

void request_queue_add(struct request_queue *queue, struct queue_entry *entry)
{
    assert(!entry->queued);
    struct queue_entry *flow = find_flow(queue, entry->flow);
    list_insert_before(flow != NULL ? &flow->behind : &queue->turns, &entry->link);
    entry->queued = true;
    entry->first = flow == NULL;
    queue->n++;
}

/* It becomes a turn of its own, beside one that its flow may have: the flow had this turn before. */
void request_queue_add_again(struct request_queue *queue, struct queue_entry *entry)
{
    assert(!entry->queued);
    list_insert_before(queue->turns.next, &entry->link);
    entry->queued = true;
    entry->first = true;
    queue->n++;
}

/* The next of the flow takes the place in front of `before`. */
static void promote(struct queue_entry *first, struct list *before)
{
    if (list_empty(&first->behind))
        return;
    struct queue_entry *next = container_of(first->behind.next, struct queue_entry, link);
    list_remove(&next->link);
    list_move_all(&next->behind, &first->behind);
    next->first = true;
    list_insert_before(before, &next->link);
}

/* `before`: where the rest of its flow goes, if it is the first. */
static void take_out(struct request_queue *queue, struct queue_entry *entry, struct list *before)
{
    list_remove(&entry->link);
    if (entry->first)
        promote(entry, before);
    entry->queued = entry->first = false;
    queue->n--;
}

struct queue_entry *request_queue_next(struct request_queue *queue)
{
    if (list_empty(&queue->turns))
        return NULL;
    struct queue_entry *entry = container_of(queue->turns.next, struct queue_entry, link);
    take_out(queue, entry, &queue->turns);
    return entry;
}

void request_queue_remove(struct request_queue *queue, struct queue_entry *entry)
{
    if (entry->queued)
        take_out(queue, entry, entry->first ? entry->link.next : &queue->turns);
}
