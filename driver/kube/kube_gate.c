/*
 * kube_gate.c - when requests may go to the Kubernetes API. See the drawing in the header.
 */
#include "driver/kube/kube_gate.h"

#include <stdlib.h>
#include <sys/random.h>

#define NEVER UINT64_MAX

enum gate_state { GATE_OPEN, GATE_IN_DOUBT, GATE_SHUT };

struct kube_gate {
    struct kube_gate_config config;
    enum gate_state state;
    struct list pausing; /* turns */
    struct list line;
    struct list under_way; /* called ones included */
    unsigned n_under_way;
    struct list listeners;
    uv_timer_t timer; /* embedded: whatever comes next; the struct lives until it is closed */

    uint64_t asked_ms; /* since then nobody has got an answer; NEVER = nobody has asked since the last one */
    uint64_t pause_until_ms;

    /* in doubt or shut */
    uint64_t silent_since_ms;
    struct error *cause; /* of the last failure; NULL without memory */
    bool probing;
    unsigned probes; /* that have failed */
    uint64_t probe_ms;
};

static uint64_t now_of(const struct kube_gate *gate)
{
    return uv_now(gate->config.loop);
}

/* One of the times in the header. */
static uint64_t own_time(const struct kube_gate *gate, uint64_t ms)
{
    return gate->config.hurry != 0 ? ms / gate->config.hurry : ms;
}

/* `ms` plus up to a quarter. */
static uint64_t spread(uint64_t ms)
{
    uint32_t random = 0;

    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != (ssize_t)sizeof(random))
        random = 0; /* only the spreading is lost */
    return ms + random % (ms / 4 + 1);
}

/* --- turns --- */

static void unlink_turn(struct kube_turn *turn)
{
    if (turn->state == KUBE_TURN_CALLED || turn->state == KUBE_TURN_UNDER_WAY)
        turn->gate->n_under_way--;
    list_remove(&turn->link);
    (void)uv_timer_stop(&turn->timer);
    turn->state = KUBE_TURN_IDLE;
}

static void put(struct kube_turn *turn, struct list *list, enum kube_turn_state state)
{
    unlink_turn(turn);
    turn->state = state;
    if (list != NULL)
        list_insert_before(list, &turn->link);
}

static void turn_fired(uv_timer_t *timer);

static void refuse(struct kube_turn *turn, enum kube_turn_refusal refusal)
{
    put(turn, NULL, KUBE_TURN_REFUSED);
    turn->refusal = refusal;
    (void)uv_timer_start(&turn->timer, turn_fired, 0, 0);
}

static uint64_t time_left(const struct kube_turn *turn)
{
    uint64_t now = now_of(turn->gate);

    return now < turn->deadline_ms ? turn->deadline_ms - now : 0;
}

static uint64_t pause_left(const struct kube_gate *gate)
{
    uint64_t now = now_of(gate);

    return now < gate->pause_until_ms ? gate->pause_until_ms - now : 0;
}

/* Calls those who may go; in the next turn, so that nobody's callback runs inside somebody else's call. */
static void call_next(struct kube_gate *gate)
{
    while (gate->state == GATE_OPEN && pause_left(gate) == 0 && gate->n_under_way < KUBE_IN_FLIGHT_MAX &&
           !list_empty(&gate->line)) {
        struct kube_turn *turn = container_of(gate->line.next, struct kube_turn, link);

        put(turn, &gate->under_way, KUBE_TURN_CALLED);
        gate->n_under_way++;
        if (gate->asked_ms == NEVER)
            gate->asked_ms = now_of(gate);
        (void)uv_timer_start(&turn->timer, turn_fired, 0, 0);
    }
}

static void set_timer(struct kube_gate *gate);

static void get_in_line(struct kube_turn *turn)
{
    struct kube_gate *gate = turn->gate;

    if (gate->state == GATE_SHUT) {
        refuse(turn, KUBE_TURN_SHUT);
        return;
    }
    if (pause_left(gate) > 0 && pause_left(gate) >= time_left(turn)) {
        refuse(turn, KUBE_TURN_PAUSE);
        return;
    }
    put(turn, &gate->line, KUBE_TURN_IN_LINE);
    (void)uv_timer_start(&turn->timer, turn_fired, time_left(turn), 0);
    call_next(gate);
    set_timer(gate);
}

static struct error *refusal_error(const struct kube_turn *turn)
{
    const struct kube_gate *gate = turn->gate;
    struct error *error = NULL;

    switch (turn->refusal) {
    case KUBE_TURN_SHUT:
        (void)error_set(&error, GRPC_STATUS_UNAVAILABLE,
                        "the API server has not answered for %llu s, it is probed every few seconds: %s",
                        (unsigned long long)(now_of(gate) - gate->silent_since_ms) / 1000,
                        error_message(gate->cause));
        break;
    case KUBE_TURN_PAUSE:
        (void)error_set(
            &error, GRPC_STATUS_UNAVAILABLE,
            "the API server wants no requests for %llu s (Retry-After), there is no time for that",
            (unsigned long long)(pause_left(gate) + 999) / 1000);
        break;
    case KUBE_TURN_LATE:
        (void)error_set(&error, GRPC_STATUS_DEADLINE_EXCEEDED,
                        "%d other requests did not come to an end in time", KUBE_IN_FLIGHT_MAX);
        break;
    }
    return error;
}

static void turn_fired(uv_timer_t *timer)
{
    struct kube_turn *turn = timer->data;
    cleanup_error struct error *error = NULL;

    switch (turn->state) {
    case KUBE_TURN_PAUSING:
        get_in_line(turn);
        break;
    case KUBE_TURN_IN_LINE: /* its time is over */
        refuse(turn, turn->gate->state == GATE_OPEN ? KUBE_TURN_LATE : KUBE_TURN_SHUT);
        break;
    case KUBE_TURN_CALLED:
        turn->state = KUBE_TURN_UNDER_WAY;
        turn->go(turn);
        break;
    case KUBE_TURN_REFUSED:
        error = refusal_error(turn);
        turn->state = KUBE_TURN_IDLE;
        turn->refused(turn, error);
        break;
    case KUBE_TURN_IDLE:
    case KUBE_TURN_UNDER_WAY:
        break;
    }
}

void kube_turn_init(struct kube_turn *turn, struct kube_gate *gate, uint64_t deadline_ms)
{
    turn->gate = gate;
    turn->deadline_ms = deadline_ms;
    turn->state = KUBE_TURN_IDLE;
    list_init(&turn->link);
    (void)uv_timer_init(gate->config.loop, &turn->timer); /* can not fail */
    turn->timer.data = turn;
}

void kube_turn_leave(struct kube_turn *turn)
{
    unlink_turn(turn);
    call_next(turn->gate);
    set_timer(turn->gate);
}

void kube_turn_wait(struct kube_turn *turn, uint64_t pause_ms)
{
    kube_turn_leave(turn);
    if (pause_ms == 0 || turn->gate->state == GATE_SHUT) {
        get_in_line(turn);
        return;
    }
    put(turn, &turn->gate->pausing, KUBE_TURN_PAUSING);
    (void)uv_timer_start(&turn->timer, turn_fired, pause_ms, 0);
}

void kube_turn_close(struct kube_turn *turn, uv_close_cb closed)
{
    kube_turn_leave(turn);
    uv_close((uv_handle_t *)&turn->timer, closed);
}

/* --- probes --- */

static void probe_failed(struct kube_gate *gate, const struct error *error);

static void probe(struct kube_gate *gate)
{
    cleanup_error struct error *error = NULL;

    gate->probing = true;
    if (gate->config.probe(gate->config.arg, &error) < 0)
        probe_failed(gate, error);
}

static void keep_cause(struct kube_gate *gate, const struct error *error)
{
    error_free(gate->cause);
    gate->cause = error_copy(error);
}

static void doubt(struct kube_gate *gate, uint64_t since_ms, const struct error *error)
{
    gate->state = GATE_IN_DOUBT;
    gate->silent_since_ms = since_ms;
    gate->probes = 0;
    keep_cause(gate, error);
    log_warning(gate->config.log, "the Kubernetes API does not answer",
                LOG_STR("server", gate->config.server), LOG_ERR(error));
    if (!gate->probing)
        probe(gate);
}

static void refuse_all(struct list *turns)
{
    while (!list_empty(turns))
        refuse(container_of(turns->next, struct kube_turn, link), KUBE_TURN_SHUT);
}

static void shut(struct kube_gate *gate)
{
    gate->state = GATE_SHUT;
    log_warning(gate->config.log, "requests to the Kubernetes API are refused until it answers",
                LOG_STR("server", gate->config.server), LOG_ERR(gate->cause));
    refuse_all(&gate->under_way);
    refuse_all(&gate->pausing);
    refuse_all(&gate->line);
}

static void open_again(struct kube_gate *gate)
{
    bool was_shut = gate->state == GATE_SHUT;

    gate->state = GATE_OPEN;
    log_info(gate->config.log, "the Kubernetes API answers again", LOG_STR("server", gate->config.server));
    for (struct list *link = gate->listeners.next; was_shut && link != &gate->listeners; link = link->next) {
        const struct kube_return *listener = container_of(link, struct kube_return, link);

        listener->back(listener->arg);
    }
}

static void heard(struct kube_gate *gate)
{
    gate->asked_ms = list_empty(&gate->under_way) ? NEVER : now_of(gate);
    if (gate->state != GATE_OPEN)
        open_again(gate);
    call_next(gate);
    set_timer(gate);
}

static void probe_failed(struct kube_gate *gate, const struct error *error)
{
    uint64_t pause = (uint64_t)KUBE_GATE_PROBE_FIRST_MS << (gate->probes < 8 ? gate->probes : 8);

    if (pause > KUBE_GATE_PROBE_CAP_MS)
        pause = KUBE_GATE_PROBE_CAP_MS;
    gate->probing = false;
    if (gate->state == GATE_OPEN) /* a request was answered meanwhile */
        return;
    gate->probes++;
    gate->probe_ms = now_of(gate) + spread(own_time(gate, pause));
    keep_cause(gate, error);
    if (gate->state == GATE_IN_DOUBT &&
        now_of(gate) - gate->silent_since_ms >= own_time(gate, KUBE_GATE_PATIENCE_MS))
        shut(gate);
    set_timer(gate);
}

void kube_gate_probed(struct kube_gate *gate, const struct error *error)
{
    if (error != NULL) {
        probe_failed(gate, error);
        return;
    }
    gate->probing = false;
    heard(gate);
}

/* --- what happens to requests --- */

void kube_turn_answered(struct kube_turn *turn)
{
    unlink_turn(turn);
    heard(turn->gate);
}

void kube_turn_unanswered(struct kube_turn *turn, const struct error *error)
{
    struct kube_gate *gate = turn->gate;
    uint64_t now = now_of(gate);
    /* A time that is over has been silence from the beginning; a connection that broke has not. */
    bool silence = error_code(error) == GRPC_STATUS_DEADLINE_EXCEEDED && gate->asked_ms < now;

    unlink_turn(turn);
    if (gate->state == GATE_OPEN)
        doubt(gate, silence ? gate->asked_ms : now, error);
    set_timer(gate);
}

void kube_gate_pause(struct kube_gate *gate, uint64_t ms)
{
    uint64_t until =
        now_of(gate) + spread(ms < KUBE_GATE_PAUSE_MAX_MS ? ms : (uint64_t)KUBE_GATE_PAUSE_MAX_MS);

    if (ms == 0 || until <= gate->pause_until_ms)
        return;
    gate->pause_until_ms = until;
    for (struct list *link = gate->line.next; link != &gate->line;) {
        struct kube_turn *turn = container_of(link, struct kube_turn, link);

        link = link->next;
        if (pause_left(gate) >= time_left(turn))
            refuse(turn, KUBE_TURN_PAUSE);
    }
    set_timer(gate);
}

/* --- the gate --- */

static void timer_fired(uv_timer_t *timer)
{
    struct kube_gate *gate = timer->data;
    cleanup_error struct error *error = NULL;
    uint64_t now = now_of(gate);

    if (gate->state != GATE_OPEN) {
        if (!gate->probing && now >= gate->probe_ms)
            probe(gate);
    } else if (!list_empty(&gate->under_way) && gate->asked_ms <= now &&
               now - gate->asked_ms >= own_time(gate, KUBE_GATE_SILENCE_MS)) {
        (void)error_set(&error, GRPC_STATUS_DEADLINE_EXCEEDED, "no answer within %d ms",
                        KUBE_GATE_SILENCE_MS);
        doubt(gate, gate->asked_ms, error);
    }
    call_next(gate);
    set_timer(gate);
}

/* To what comes next: a probe, the end of a pause, or of our patience with a silence. */
static void set_timer(struct kube_gate *gate)
{
    uint64_t now = now_of(gate);
    uint64_t next = NEVER;

    if (gate->state != GATE_OPEN)
        next = gate->probing ? NEVER : gate->probe_ms;
    else if (!list_empty(&gate->under_way) && gate->asked_ms != NEVER)
        next = gate->asked_ms + own_time(gate, KUBE_GATE_SILENCE_MS);
    if (!list_empty(&gate->line) && pause_left(gate) > 0 && gate->pause_until_ms < next)
        next = gate->pause_until_ms;
    if (next == NEVER)
        (void)uv_timer_stop(&gate->timer);
    else
        (void)uv_timer_start(&gate->timer, timer_fired, next > now ? next - now : 0, 0);
}

bool kube_gate_is_open(const struct kube_gate *gate)
{
    return gate->state == GATE_OPEN;
}

void kube_gate_listen(struct kube_gate *gate, struct kube_return *listener)
{
    list_init(&listener->link);
    list_insert_before(&gate->listeners, &listener->link);
}

void kube_return_end(struct kube_return *listener)
{
    list_remove(&listener->link);
}

struct kube_gate *kube_gate_create(const struct kube_gate_config *config, struct error **err)
{
    struct kube_gate *gate = calloc(1, sizeof(*gate));

    if (gate == NULL) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    gate->config = *config;
    gate->asked_ms = NEVER;
    list_init(&gate->pausing);
    list_init(&gate->line);
    list_init(&gate->under_way);
    list_init(&gate->listeners);
    (void)uv_timer_init(config->loop, &gate->timer); /* can not fail */
    gate->timer.data = gate;
    return gate;
}

static void gate_closed(uv_handle_t *handle)
{
    struct kube_gate *gate = handle->data;

    error_free(gate->cause);
    free(gate);
}

void kube_gate_destroy(struct kube_gate *gate)
{
    if (gate != NULL)
        uv_close((uv_handle_t *)&gate->timer, gate_closed);
}
