/*
 * cached_responses.c - two lists, each in the order in which its responses go.
 */
#include "provider-azure/vault/cached_responses.h"

void cached_responses_init(struct cached_responses *responses, const struct transport *transport,
                           uint64_t ttl_ms, void (*on_expired)(struct cached_response *place))
{
    *responses =
        (struct cached_responses){.transport = transport, .ttl_ms = ttl_ms, .on_expired = on_expired};
    list_init(&responses->unheld);
    list_init(&responses->held);
}

static struct cached_response *place_of(struct list *link)
{
    return container_of(link, struct cached_response, link);
}

/* NULL for an empty list. */
static struct cached_response *first_of(const struct list *list)
{
    return list_empty(list) ? NULL : place_of(list->next);
}

/* Whether the hold is longer than the time to live. */
static bool is_held(const struct cached_response *place)
{
    return place->held_until_ms > place->expires_ms;
}

static uint64_t end_of(const struct cached_response *place)
{
    return is_held(place) ? place->held_until_ms : place->expires_ms;
}

/* Into the list of its kind; nearly always at the end. */
static void insert(struct cached_responses *responses, struct cached_response *place)
{
    struct list *list = is_held(place) ? &responses->held : &responses->unheld;
    struct list *next = list;

    while (next->prev != list && end_of(place_of(next->prev)) > end_of(place))
        next = next->prev;
    list_insert_before(next, &place->link);
}

void cached_responses_drop(struct cached_responses *responses, struct cached_response *place)
{
    if (place->response == NULL)
        return;
    list_remove(&place->link);
    responses->n--;
    responses->bytes -= vault_response_size(place->response);
    vault_response_unref(steal_ptr(&place->response));
}

static void expire(struct cached_responses *responses, struct cached_response *place)
{
    cached_responses_drop(responses, place);
    responses->on_expired(place);
}

/* False: nothing is cached. */
static bool expire_oldest(struct cached_responses *responses)
{
    struct cached_response *unheld = first_of(&responses->unheld);
    struct cached_response *oldest = unheld != NULL ? unheld : first_of(&responses->held);

    if (oldest != NULL)
        expire(responses, oldest);
    return oldest != NULL;
}

/* When the next response goes; UINT64_MAX: none is there. */
static uint64_t next_end_ms(const struct cached_responses *responses)
{
    const struct cached_response *unheld = first_of(&responses->unheld);
    const struct cached_response *held = first_of(&responses->held);
    uint64_t next = unheld != NULL ? end_of(unheld) : UINT64_MAX;
    return held != NULL && end_of(held) < next ? end_of(held) : next;
}

static void on_sweep(void *arg);

/* Sets the timer for the next one that goes: secrets do not stay in memory until the next read. False: there
 * is no memory for a timer. */
static bool arm_sweep(struct cached_responses *responses)
{
    uint64_t next = next_end_ms(responses);
    struct error *failure = NULL;

    if (next == UINT64_MAX || (responses->sweep != NULL && responses->sweep_ms <= next))
        return true;
    transport_stop(responses->transport, &responses->sweep);
    uint64_t now = transport_now_ms(responses->transport);
    responses->sweep =
        transport_after(responses->transport, next > now ? next - now : 0, on_sweep, responses, &failure);
    responses->sweep_ms = next;
    error_free(failure);
    return responses->sweep != NULL;
}

static void expire_all(struct cached_responses *responses)
{
    while (expire_oldest(responses))
        ;
}

static void sweep_list(struct cached_responses *responses, const struct list *list, uint64_t now_ms)
{
    struct cached_response *first = NULL;
    while ((first = first_of(list)) != NULL && end_of(first) <= now_ms)
        expire(responses, first);
}

static void on_sweep(void *arg)
{
    struct cached_responses *responses = arg;
    uint64_t now = transport_now_ms(responses->transport);

    responses->sweep = NULL;
    sweep_list(responses, &responses->unheld, now);
    sweep_list(responses, &responses->held, now);
    if (!arm_sweep(responses)) /* nothing is cached rather than for ever */
        expire_all(responses);
}

void cached_responses_put(struct cached_responses *responses, struct cached_response *place,
                          struct vault_response *response)
{
    size_t size = vault_response_size(response);

    cached_responses_drop(responses, place);
    if (responses->ttl_ms == 0 || size > CACHED_RESPONSES_MAX_BYTES)
        return;
    while ((responses->n >= CACHED_RESPONSES_MAX || responses->bytes + size > CACHED_RESPONSES_MAX_BYTES) &&
           expire_oldest(responses))
        ;
    place->response = vault_response_ref(response);
    place->expires_ms = response->read_ms + responses->ttl_ms;
    insert(responses, place);
    responses->n++;
    responses->bytes += size;
    if (arm_sweep(responses))
        return;
    cached_responses_drop(responses, place);
    expire_all(responses);
}

void cached_responses_hold(struct cached_responses *responses, struct cached_response *place,
                           uint64_t until_ms)
{
    if (until_ms <= place->held_until_ms)
        return;
    place->held_until_ms = until_ms;
    if (place->response == NULL)
        return;
    list_remove(&place->link);
    insert(responses, place);
}

void cached_responses_finish(struct cached_responses *responses)
{
    expire_all(responses);
    transport_stop(responses->transport, &responses->sweep);
}
