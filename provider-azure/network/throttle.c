/*
 * throttle.c - scopes that are paused or ramp up.
 */
#include "provider-azure/network/throttle.h"

#include <string.h>

static struct throttle_scope *find(const struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN])
{
    for (size_t i = 0; i < THROTTLE_MAX_SCOPES; i++) {
        const struct throttle_scope *scope = &table->scopes[i];
        if (scope->limit != 0 && memcmp(scope->key, key, DIGEST_SHA256_LEN) == 0)
            return (struct throttle_scope *)(uintptr_t)scope;
    }
    return NULL;
}

/* Wakes as many as may be in flight. A woken request calls throttle_acquire() again, and may be queued
 * again. */
static void wake_waiters(struct throttle_scope *scope)
{
    unsigned available = scope->limit > scope->in_flight ? scope->limit - scope->in_flight : 0;

    while (available > 0 && !list_empty(&scope->queue)) {
        struct throttle_permit *permit = container_of(scope->queue.next, struct throttle_permit, link);
        list_remove(&permit->link);
        permit->state = PERMIT_NONE;
        permit->scope = NULL;
        available--;
        permit->wake(permit->arg);
    }
}

static void enqueue(struct throttle_scope *scope, struct throttle_permit *permit)
{
    struct list *place = &scope->queue;

    if (!permit->gives_way) /* those that do are at the end */
        while (place->prev != &scope->queue &&
               container_of(place->prev, struct throttle_permit, link)->gives_way)
            place = place->prev;
    list_insert_before(place, &permit->link);
}

void throttle_hurry(struct throttle_permit *permit)
{
    permit->gives_way = false;
    if (permit->state != PERMIT_QUEUED)
        return;
    list_remove(&permit->link);
    enqueue(permit->scope, permit);
}

uint64_t throttle_acquire(struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN],
                          struct throttle_permit *permit, uint64_t now_ms)
{
    struct throttle_scope *scope = find(table, key);

    if (scope == NULL)
        return 0;
    if (scope->until_ms > now_ms)
        return scope->until_ms - now_ms;
    permit->scope = scope;
    if (scope->in_flight >= scope->limit) {
        permit->state = PERMIT_QUEUED;
        enqueue(scope, permit);
        return THROTTLE_QUEUED;
    }
    permit->state = PERMIT_HELD;
    scope->in_flight++;
    return 0;
}

void throttle_release(struct throttle_permit *permit, enum throttle_outcome outcome)
{
    struct throttle_scope *scope = permit->scope;

    if (scope == NULL)
        return;
    permit->scope = NULL;
    if (permit->state == PERMIT_QUEUED) {
        list_remove(&permit->link);
    } else {
        scope->in_flight--;
        if (outcome == THROTTLE_RESPONSE) {
            scope->consecutive_429 = 0;
            scope->limit *= 2;
        }
    }
    permit->state = PERMIT_NONE;
    bool open = scope->limit > THROTTLE_MAX_IN_FLIGHT;
    if (open)
        scope->limit = UINT32_MAX; /* no limit any more */
    wake_waiters(scope);
    if (open && scope->in_flight == 0)
        scope->limit = 0;
}

/* A free slot, or that of the scope without requests whose pause ends first; NULL if all have requests. */
static struct throttle_scope *free_slot(struct throttle_table *table)
{
    struct throttle_scope *first = NULL;

    for (size_t i = 0; i < THROTTLE_MAX_SCOPES; i++) {
        struct throttle_scope *scope = &table->scopes[i];
        if (scope->limit == 0)
            return scope;
        if (scope->in_flight == 0 && list_empty(&scope->queue) &&
            (first == NULL || scope->until_ms < first->until_ms))
            first = scope;
    }
    return first;
}

void throttle_pause(struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN], uint64_t now_ms,
                    uint64_t until_ms)
{
    struct throttle_scope *scope = find(table, key);

    if (scope == NULL) {
        scope = free_slot(table);
        if (scope == NULL)
            return;
        *scope = (struct throttle_scope){.until_ms = 0};
        memcpy(scope->key, key, DIGEST_SHA256_LEN);
        list_init(&scope->queue);
    }
    scope->limit = 1;
    if (scope->until_ms <= now_ms) /* several 429 to requests that were in flight together count as one */
        scope->consecutive_429++;
    if (until_ms > scope->until_ms)
        scope->until_ms = until_ms;
}

unsigned throttle_consecutive_429(const struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN])
{
    const struct throttle_scope *scope = find(table, key);
    return scope != NULL ? scope->consecutive_429 : 0;
}

void throttle_wake_next(struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN])
{
    struct throttle_scope *scope = find(table, key);
    if (scope != NULL)
        wake_waiters(scope);
}
