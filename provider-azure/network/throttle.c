/*
 * throttle.c - places that asked to be left alone.
 */
#include "provider-azure/network/throttle.h"

#include <stdbool.h>
#include <string.h>

static struct throttle_place *find(const struct throttle_table *table, const uint8_t key[DIGEST_LEN])
{
    for (size_t i = 0; i < THROTTLE_MAX_PLACES; i++) {
        const struct throttle_place *place = &table->places[i];
        if (place->width != 0 && memcmp(place->key, key, DIGEST_LEN) == 0)
            return (struct throttle_place *)(uintptr_t)place;
    }
    return NULL;
}

/* Lets as many try as may. Who is woken asks again by throttle_enter(), where a pause or a full width may
 * send it back. */
static void pump(struct throttle_place *place)
{
    unsigned room = place->width > place->inside ? place->width - place->inside : 0;
    struct throttle_pass *pass = NULL;

    while (room > 0 && (pass = TAILQ_FIRST(&place->queue)) != NULL) {
        TAILQ_REMOVE(&place->queue, pass, link);
        pass->state = PASS_OUT;
        pass->place = NULL;
        room--;
        pass->wake(pass->arg);
    }
}

uint64_t throttle_enter(struct throttle_table *table, const uint8_t key[DIGEST_LEN],
                        struct throttle_pass *pass, uint64_t now_ms)
{
    struct throttle_place *place = find(table, key);

    if (place == NULL)
        return 0;
    if (place->until_ms > now_ms)
        return place->until_ms - now_ms;
    pass->place = place;
    if (place->inside >= place->width) {
        pass->state = PASS_QUEUED;
        TAILQ_INSERT_TAIL(&place->queue, pass, link);
        return THROTTLE_QUEUED;
    }
    pass->state = PASS_INSIDE;
    place->inside++;
    return 0;
}

void throttle_leave(struct throttle_table *table, struct throttle_pass *pass, enum throttle_outcome outcome)
{
    struct throttle_place *place = pass->place;
    (void)table;

    if (place == NULL)
        return;
    pass->place = NULL;
    if (pass->state == PASS_QUEUED) {
        TAILQ_REMOVE(&place->queue, pass, link);
    } else {
        place->inside--;
        if (outcome == THROTTLE_ANSWERED) {
            place->strikes = 0;
            place->width *= 2;
        }
    }
    pass->state = PASS_OUT;
    bool open = place->width > THROTTLE_MAX_WIDTH;
    if (open)
        place->width = UINT32_MAX; /* everybody may go */
    pump(place);
    if (open && place->inside == 0)
        place->width = 0;
}

void throttle_note(struct throttle_table *table, const uint8_t key[DIGEST_LEN], uint64_t now_ms,
                   uint64_t until_ms)
{
    struct throttle_place *place = find(table, key);

    for (size_t i = 0; place == NULL && i < THROTTLE_MAX_PLACES; i++) {
        if (table->places[i].width == 0)
            place = &table->places[i];
    }
    if (place == NULL) {
        for (size_t i = 0; i < THROTTLE_MAX_PLACES; i++) {
            struct throttle_place *other = &table->places[i];
            if (other->inside == 0 && TAILQ_EMPTY(&other->queue) &&
                (place == NULL || other->until_ms < place->until_ms))
                place = other;
        }
        if (place == NULL)
            return;
        place->width = 0;
    }
    if (place->width == 0) {
        *place = (struct throttle_place){.until_ms = 0};
        memcpy(place->key, key, DIGEST_LEN);
        TAILQ_INIT(&place->queue);
    }
    place->width = 1;
    if (place->until_ms <= now_ms) /* the answers to those that went out together count as one */
        place->strikes++;
    if (until_ms > place->until_ms)
        place->until_ms = until_ms;
}

unsigned throttle_strikes(const struct throttle_table *table, const uint8_t key[DIGEST_LEN])
{
    const struct throttle_place *place = find(table, key);
    return place != NULL ? place->strikes : 0;
}

void throttle_pump(struct throttle_table *table, const uint8_t key[DIGEST_LEN])
{
    struct throttle_place *place = find(table, key);
    if (place != NULL)
        pump(place);
}
