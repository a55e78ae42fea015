/*
 * throttle.c - places that asked to be left alone.
 */
#include "provider-azure/network/throttle.h"

#include <stdbool.h>
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

/* Lets as many try as may. Who is woken asks again by throttle_acquire(), where a pause or a full width may
 * send it back. */
static void wake_waiters(struct throttle_scope *scope)
{
    unsigned room = scope->limit > scope->in_flight ? scope->limit - scope->in_flight : 0;
    struct throttle_permit *permit = NULL;

    while (room > 0 && (permit = TAILQ_FIRST(&scope->queue)) != NULL) {
        TAILQ_REMOVE(&scope->queue, permit, link);
        permit->state = PERMIT_NONE;
        permit->scope = NULL;
        room--;
        permit->wake(permit->arg);
    }
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
        TAILQ_INSERT_TAIL(&scope->queue, permit, link);
        return THROTTLE_QUEUED;
    }
    permit->state = PERMIT_HELD;
    scope->in_flight++;
    return 0;
}

void throttle_release(struct throttle_table *table, struct throttle_permit *permit,
                      enum throttle_outcome outcome)
{
    struct throttle_scope *scope = permit->scope;
    (void)table;

    if (scope == NULL)
        return;
    permit->scope = NULL;
    if (permit->state == PERMIT_QUEUED) {
        TAILQ_REMOVE(&scope->queue, permit, link);
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
        scope->limit = UINT32_MAX; /* everybody may go */
    wake_waiters(scope);
    if (open && scope->in_flight == 0)
        scope->limit = 0;
}

void throttle_pause(struct throttle_table *table, const uint8_t key[DIGEST_SHA256_LEN], uint64_t now_ms,
                    uint64_t until_ms)
{
    struct throttle_scope *scope = find(table, key);

    for (size_t i = 0; scope == NULL && i < THROTTLE_MAX_SCOPES; i++) {
        if (table->scopes[i].limit == 0)
            scope = &table->scopes[i];
    }
    if (scope == NULL) {
        for (size_t i = 0; i < THROTTLE_MAX_SCOPES; i++) {
            struct throttle_scope *other = &table->scopes[i];
            if (other->in_flight == 0 && TAILQ_EMPTY(&other->queue) &&
                (scope == NULL || other->until_ms < scope->until_ms))
                scope = other;
        }
        if (scope == NULL)
            return;
        scope->limit = 0;
    }
    if (scope->limit == 0) {
        *scope = (struct throttle_scope){.until_ms = 0};
        memcpy(scope->key, key, DIGEST_SHA256_LEN);
        TAILQ_INIT(&scope->queue);
    }
    scope->limit = 1;
    if (scope->until_ms <= now_ms) /* the answers to those that went out together count as one */
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
