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

static struct throttle_permit *permit_of(struct list *link)
{
    return container_of(link, struct throttle_permit, link);
}

/* Nothing refers to the scope. */
static bool is_unused(const struct throttle_scope *scope)
{
    return scope->in_flight == 0 && scope->woken == 0 && list_empty(&scope->queue);
}

static bool has_room(const struct throttle_scope *scope)
{
    return scope->in_flight + scope->woken < scope->limit;
}

static void wake_first(struct throttle_scope *scope)
{
    struct throttle_permit *permit = permit_of(scope->queue.next);
    list_remove(&permit->link);
    permit->state = PERMIT_WOKEN;
    scope->woken++;
    permit->wake(permit->arg);
}

/* Wakes as many as may be in flight. A woken one may be queued again. */
static void wake_waiters(struct throttle_scope *scope)
{
    while (has_room(scope) && !list_empty(&scope->queue))
        wake_first(scope);
}

static bool goes_before(const struct throttle_permit *a, const struct throttle_permit *b)
{
    if (a->gives_way != b->gives_way)
        return b->gives_way;
    return a->since_ms != b->since_ms ? a->since_ms < b->since_ms : a->number < b->number;
}

static void enqueue(struct throttle_scope *scope, struct throttle_permit *permit)
{
    struct list *place = &scope->queue;

    if (permit->number == 0)
        permit->number = ++scope->number;
    while (place->prev != &scope->queue && goes_before(permit, permit_of(place->prev)))
        place = place->prev;
    list_insert_before(place, &permit->link);
    permit->state = PERMIT_QUEUED;
    permit->scope = scope;
}

uint64_t throttle_spread(uint64_t pause_ms, uint64_t left_ms, bool gives_way, uint32_t random)
{
    uint64_t half = (pause_ms / 4 < THROTTLE_MAX_SPREAD_MS ? pause_ms / 4 : THROTTLE_MAX_SPREAD_MS) / 2;
    uint64_t spread = (gives_way ? half : 0) + random % (half + 1);
    return spread < left_ms / 2 ? spread : left_ms / 2;
}

/* What is left of the pause for this permit. It does not depend on when it asks. */
static uint64_t pause_left(const struct throttle_scope *scope, const struct throttle_permit *permit,
                           uint64_t now_ms)
{
    if (!scope->paused)
        return 0;
    uint64_t left = permit->deadline_ms > scope->until_ms ? permit->deadline_ms - scope->until_ms : 0;
    uint64_t end = scope->until_ms + throttle_spread(scope->pause_ms, left, permit->gives_way, scope->random);
    return end > now_ms ? end - now_ms : 0;
}

uint64_t throttle_queue(struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN],
                        struct throttle_permit *permit, uint64_t now_ms)
{
    struct throttle_scope *scope = find(table, key);
    uint64_t left = scope != NULL ? pause_left(scope, permit, now_ms) : 0;

    if (left > 0)
        enqueue(scope, permit);
    return left;
}

void throttle_hurry(struct throttle_permit *permit, uint64_t since_ms)
{
    permit->gives_way = false;
    if (since_ms < permit->since_ms)
        permit->since_ms = since_ms;
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
    if (permit->state == PERMIT_WOKEN)
        scope->woken--;
    if (now_ms >= scope->until_ms + THROTTLE_CALM_MS)
        scope->doubles_below = THROTTLE_MAX_IN_FLIGHT + 1;
    if (permit->state != PERMIT_QUEUED)
        enqueue(scope, permit);
    uint64_t left = pause_left(scope, permit, now_ms);
    if (left > 0)
        return left;
    scope->paused = false;
    if (!has_room(scope))
        return THROTTLE_QUEUED;
    if (scope->queue.next != &permit->link) {
        wake_first(scope);
        return THROTTLE_QUEUED;
    }
    list_remove(&permit->link);
    permit->state = PERMIT_HELD;
    scope->in_flight++;
    return 0;
}

static void grow(struct throttle_scope *scope)
{
    if (scope->limit > THROTTLE_MAX_IN_FLIGHT)
        return;
    if (scope->limit < scope->doubles_below) {
        scope->limit *= 2;
    } else if (++scope->responses >= scope->limit) {
        scope->limit++;
        scope->responses = 0;
    }
}

void throttle_release(struct throttle_permit *permit, enum throttle_outcome outcome)
{
    struct throttle_scope *scope = permit->scope;

    if (scope == NULL)
        return;
    permit->scope = NULL;
    if (permit->state == PERMIT_QUEUED) {
        list_remove(&permit->link);
    } else if (permit->state == PERMIT_WOKEN) {
        scope->woken--;
    } else {
        scope->in_flight--;
        if (outcome == THROTTLE_RESPONSE) {
            scope->consecutive_429 = 0;
            grow(scope);
        }
    }
    permit->state = PERMIT_NONE;
    bool open = scope->limit > THROTTLE_MAX_IN_FLIGHT;
    if (open)
        scope->limit = UINT32_MAX; /* no limit any more */
    wake_waiters(scope);
    if (open && is_unused(scope))
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
        if (is_unused(scope) && (first == NULL || scope->until_ms < first->until_ms))
            first = scope;
    }
    return first;
}

void throttle_pause(struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN], uint64_t now_ms,
                    uint64_t until_ms, uint32_t random)
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
    unsigned former = scope->limit;
    scope->limit = 1;
    scope->responses = 0;
    if (scope->until_ms <= now_ms) { /* several 429 to requests that were in flight together count as one */
        scope->consecutive_429++;
        scope->random = random;
        if (former == 0 || former > THROTTLE_MAX_IN_FLIGHT)
            former = THROTTLE_MAX_IN_FLIGHT;
        scope->doubles_below = former / 2;
    }
    scope->paused = true;
    if (until_ms > scope->until_ms) {
        scope->until_ms = until_ms;
        scope->pause_ms = until_ms - now_ms;
    }
}

unsigned throttle_consecutive_429(const struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN])
{
    const struct throttle_scope *scope = find(table, key);
    return scope != NULL ? scope->consecutive_429 : 0;
}
