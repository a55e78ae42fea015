/*
 * fetch.c - reads the objects of one mount.
 */
#include "provider-azure/vault/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "provider-azure/vault/vault_failure.h"

/* One read: an object or a list. */
struct read {
    struct fetch *fetch;
    enum object_type type;
    enum vault_operation operation;
    const char *name;    /* of an item that lives as long as the fetch */
    const char *version; /* the item's, or of a version in a list that lives as long as the fetch */
    struct vault_list_filter *filter; /* of a list: what the items need of it */
    struct vault_waiter *waiter;
    struct transport_timer *patience; /* of a read that could be served from what is kept */
    struct vault_response *response;
    struct error *error;
    bool stale; /* the response had been kept */
    uint64_t stale_age_ms;
};

/* One object that a list led to. */
struct target {
    struct object_item item; /* selection: made for it; history: unused */
    struct read *read;
};

/* The reads for one item of the parameters. */
struct plan {
    const struct object_item *item;
    struct read *first;     /* the object, or a list */
    struct target *targets; /* chosen from the list: versions, newest first, or objects by name */
    size_t n_targets;
    struct error *error; /* nothing could be chosen from the list */
    bool not_found;      /* because there is nothing */
};

struct fetch {
    struct fetch_input input;
    struct plan *plans;
    struct read **reads;
    size_t n_reads;
    size_t started;
    size_t running;
    size_t running_lists; /* of these */
    size_t files;
    struct transport_timer *timer; /* the start, in the next turn of the loop */
    struct transport_timer *lapse; /* nothing more is expected then */
    uint64_t expected;             /* bytes, before they arrive */
    uint64_t arrived;
    fetch_callback *callback;
    void *arg;
};

/* The read that does this, shared with equal ones. */
static struct read *need(struct fetch *fetch, enum object_type type, enum vault_operation operation,
                         const char *name, const char *version, struct error **err)
{
    for (size_t i = 0; i < fetch->n_reads; i++) {
        struct read *read = fetch->reads[i];
        if (read->type == type && read->operation == operation && strcmp(read->name, name) == 0 &&
            strcmp(read->version, version) == 0)
            return read;
    }
    struct read **grown = reallocarray(fetch->reads, fetch->n_reads + 1, sizeof(struct read *));
    if (grown == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    fetch->reads = grown;
    struct read *read = calloc(1, sizeof(*read));
    if (read == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *read =
        (struct read){.fetch = fetch, .type = type, .operation = operation, .name = name, .version = version};
    fetch->reads[fetch->n_reads++] = read;
    return read;
}

/* A list, shared by the items that need entries of it. */
static struct read *need_list(struct fetch *fetch, const struct object_item *item, struct error **err)
{
    struct read *read = item->select != NULL
                            ? need(fetch, item->type, VAULT_LIST_OBJECTS, "", "", err)
                            : need(fetch, item->type, VAULT_LIST_VERSIONS, item->name, item->version, err);
    if (read == NULL)
        return NULL;
    if (read->filter == NULL)
        read->filter = vault_list_filter_create(read->version, err);
    if (read->filter == NULL ||
        (item->select != NULL && vault_list_filter_add_select(read->filter, item->select, err) < 0))
        return NULL;
    if (item->select == NULL) /* one more than may be, so that the limit is reported */
        vault_list_filter_add_count(read->filter,
                                    item->versions < FETCH_MAX_FILES ? item->versions : FETCH_MAX_FILES + 1);
    return read;
}

/* The first read of an item. */
static struct read *need_first(struct fetch *fetch, const struct object_item *item, struct error **err)
{
    if (item->select != NULL || item->history > 1)
        return need_list(fetch, item, err);
    fetch->files++;
    return need(fetch, item->type, VAULT_GET_OBJECT, item->name, item->version, err);
}

/* --- reads that a list leads to --- */

static int make_targets(struct fetch *fetch, struct plan *plan, size_t n, struct error **err)
{
    fetch->files += n;
    if (fetch->files > FETCH_MAX_FILES)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "more than %d files in one volume",
                         FETCH_MAX_FILES);
    plan->targets = calloc(n + 1, sizeof(*plan->targets));
    return plan->targets == NULL ? error_no_memory(err, NULL) : 0;
}

/* The version list of an item with a history: chooses versions and plans their reads. */
static int plan_versions(struct fetch *fetch, struct plan *plan, struct error **err)
{
    const struct object_item *item = plan->item;
    const struct vault_list *list = &plan->first->response->list;
    size_t count = item->versions;
    if (count > list->n)
        count = list->n;

    cleanup_free const struct vault_entry **chosen = calloc(count + 1, sizeof(*chosen));
    if (chosen == NULL)
        return error_no_memory(err, NULL);
    int n = vault_list_select(list, item->version, count, chosen, err);
    plan->not_found = n < 0 && error_code(*err) == GRPC_STATUS_NOT_FOUND;
    if (n < 0 || make_targets(fetch, plan, (size_t)n, err) < 0)
        return -1;
    for (int i = 0; i < n; i++) {
        struct read *read = need(fetch, item->type, VAULT_GET_OBJECT, item->name, chosen[i]->version, err);
        if (read == NULL)
            return -1;
        plan->targets[plan->n_targets++].read = read;
    }
    return 0;
}

static int by_name(const void *left, const void *right)
{
    const struct vault_entry *a = *(const struct vault_entry *const *)left;
    const struct vault_entry *b = *(const struct vault_entry *const *)right;
    return strcmp(a->name, b->name);
}

/* Puts the enabled objects that the item selects into `ret_chosen`, by name, each once. */
static size_t choose_objects(const struct vault_list *list, const struct object_item *item,
                             const struct vault_entry **ret_chosen)
{
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < list->n; i++) {
        const struct vault_entry *entry = &list->entries[i];
        if (*entry->name != '\0' && object_select_matches(item->select, entry->name, &entry->tags))
            ret_chosen[n++] = entry;
    }
    qsort(ret_chosen, n, sizeof(*ret_chosen), by_name);
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || strcmp(ret_chosen[kept - 1]->name, ret_chosen[i]->name) != 0)
            ret_chosen[kept++] = ret_chosen[i];
    }
    return kept;
}

/* The list of objects for a selection. */
static int plan_objects(struct fetch *fetch, struct plan *plan, struct error **err)
{
    const struct object_item *item = plan->item;
    const struct vault_list *list = &plan->first->response->list;
    cleanup_free const struct vault_entry **chosen = calloc(list->n + 1, sizeof(*chosen));
    if (chosen == NULL)
        return error_no_memory(err, NULL);
    size_t n = choose_objects(list, item, chosen);
    if (n == 0) {
        plan->not_found = true;
        return error_set(
            err, GRPC_STATUS_NOT_FOUND,
            "none of the %zu objects of the vault has this name pattern and these tags and is enabled",
            list->read);
    }
    if (n > OBJECT_SELECT_MAX)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "%zu objects are selected, at most %d are allowed", n, OBJECT_SELECT_MAX);
    if (make_targets(fetch, plan, n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        struct target *target = &plan->targets[plan->n_targets];
        if (object_item_select(item, chosen[i]->name, &target->item, err) < 0)
            return -1;
        plan->n_targets++;
        target->read = need(fetch, item->type, VAULT_GET_OBJECT, target->item.name, "", err);
        if (target->read == NULL)
            return -1;
    }
    return 0;
}

static void plan_list(struct fetch *fetch, const struct read *list)
{
    for (size_t i = 0; i < fetch->input.objects->n; i++) {
        struct plan *plan = &fetch->plans[i];
        if (plan->first != list)
            continue;
        if (plan->item->select != NULL)
            (void)plan_objects(fetch, plan, &plan->error);
        else
            (void)plan_versions(fetch, plan, &plan->error);
    }
}

/* --- bytes --- */

uint64_t fetch_expected_bytes(const struct object_list *objects)
{
    uint64_t reads = 0;
    for (size_t i = 0; i < objects->n; i++)
        reads += objects->items[i].history > 1 ? 1 + objects->items[i].versions : 1;
    return reads < FETCH_EXPECTED_MAX / FETCH_READ_EXPECTED ? reads * FETCH_READ_EXPECTED
                                                            : FETCH_EXPECTED_MAX;
}

static void count_bytes(const struct fetch *fetch)
{
    if (fetch->input.bytes != NULL)
        byte_reservation_resize(fetch->input.bytes,
                                fetch->arrived > fetch->expected ? fetch->arrived : fetch->expected);
}

static void expect_nothing(struct fetch *fetch)
{
    fetch->expected = 0;
    count_bytes(fetch);
}

static void on_lapse(void *arg)
{
    struct fetch *fetch = arg;
    fetch->lapse = NULL;
    expect_nothing(fetch);
}

static void pump(struct fetch *fetch);

static bool is_list(const struct read *read)
{
    return read->operation != VAULT_GET_OBJECT;
}

static struct vault_query query_of(const struct read *read)
{
    const struct fetch *fetch = read->fetch;
    return (struct vault_query){
        .vault_url = fetch->input.vault->url,
        .vault_host = fetch->input.vault->host,
        .type = read->type,
        .operation = read->operation,
        .name = read->name,
        .version = read->version,
        .filter = read->filter,
        .flow = (uint64_t)(uintptr_t)fetch,
    };
}

/* The read has a response or an error. */
static void conclude(struct read *read)
{
    struct fetch *fetch = read->fetch;
    const struct vault_response *response = read->response;

    transport_stop(fetch->input.transport, &read->patience);
    fetch->running--;
    fetch->running_lists -= is_list(read);
    fetch->arrived += response != NULL ? vault_response_size(response) : 0;
    count_bytes(fetch);
    if (is_list(read) && response != NULL && response->not_found == NULL)
        plan_list(fetch, read);
    pump(fetch);
}

/* --- what is kept for outages --- */

static bool may_be_stale(const struct read *read)
{
    const struct vault_freshness *freshness = &read->fetch->input.freshness;
    return freshness->stale_max_age_ms > 0 && !freshness->republish;
}

/* Takes what is kept in the place of the error `cause`, if all vaults of the object cannot answer. */
static bool take_stale(struct read *read, const struct error *cause)
{
    const struct fetch_input *input = &read->fetch->input;
    if (!may_be_stale(read) || vault_failure_of(cause) != VAULT_FAILURE_UNAVAILABLE)
        return false;
    const struct vault_query query = query_of(read);
    read->response = vault_cache_serve_stale(input->cache, &query, input->token,
                                             input->freshness.stale_max_age_ms, cause, &read->stale_age_ms);
    read->stale = read->response != NULL;
    return read->stale;
}

static void on_patience(void *arg)
{
    struct read *read = arg;
    cleanup_error struct error *error = NULL;

    read->patience = NULL;
    (void)vault_waiter_pending_error(read->waiter, &error);
    if (!take_stale(read, error))
        return; /* the vault has answered, or nothing is kept any more: the wait goes on */
    vault_waiter_cancel(&read->waiter);
    conclude(read);
}

/* Without memory for the timer the read waits as long as without outage mode. */
static void limit_wait(struct read *read, const struct vault_query *query)
{
    const struct fetch_input *input = &read->fetch->input;
    uint64_t now = transport_now_ms(input->transport);
    uint64_t half = input->deadline_ms > now ? (input->deadline_ms - now) / 2 : 0;

    if (may_be_stale(read) &&
        vault_cache_has_stale(input->cache, query, input->token, input->freshness.stale_max_age_ms))
        read->patience =
            transport_after(input->transport, half < FETCH_STALE_WAIT_MS ? half : FETCH_STALE_WAIT_MS,
                            on_patience, read, /* err= */ NULL);
}

/* --- reads --- */

static void on_response(struct vault_response *response, const struct error *error, void *arg)
{
    struct read *read = arg;

    read->waiter = NULL;
    read->response = response;
    if (response == NULL && !take_stale(read, error))
        read->error = error_copy(error);
    conclude(read);
}

static bool may_start(const struct fetch *fetch, const struct read *read)
{
    return fetch->running < FETCH_PARALLEL && (!is_list(read) || fetch->running_lists < FETCH_PARALLEL_LISTS);
}

/* Starts as many reads as may run; ends the fetch when none is left. */
static void pump(struct fetch *fetch)
{
    const struct fetch_input *input = &fetch->input;

    while (fetch->started < fetch->n_reads && may_start(fetch, fetch->reads[fetch->started])) {
        struct read *read = fetch->reads[fetch->started++];
        const struct vault_query query = query_of(read);
        read->waiter = vault_cache_get(input->cache, &query, input->identity, input->token, &input->freshness,
                                       input->deadline_ms, on_response, read, &read->error);
        if (read->waiter == NULL)
            continue;
        fetch->running++;
        fetch->running_lists += is_list(read);
        limit_wait(read, &query);
    }
    if (fetch->running > 0 || fetch->started < fetch->n_reads)
        return;
    transport_stop(input->transport, &fetch->lapse);
    expect_nothing(fetch);
    fetch->callback(fetch->arg);
}

static void on_first_turn(void *arg)
{
    struct fetch *fetch = arg;
    fetch->timer = NULL;
    pump(fetch);
}

struct fetch *fetch_start(const struct fetch_input *input, fetch_callback *callback, void *arg,
                          struct error **err)
{
    struct fetch *fetch = calloc(1, sizeof(*fetch));
    if (fetch == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *fetch = (struct fetch){.input = *input, .callback = callback, .arg = arg};
    fetch->plans = calloc(input->objects->n + 1, sizeof(*fetch->plans));
    if (fetch->plans == NULL) {
        (void)error_no_memory(err, NULL);
        fetch_destroy(fetch);
        return NULL;
    }
    for (size_t i = 0; i < input->objects->n; i++) {
        fetch->plans[i].item = &input->objects->items[i];
        fetch->plans[i].first = need_first(fetch, fetch->plans[i].item, err);
        if (fetch->plans[i].first == NULL) {
            fetch_destroy(fetch);
            return NULL;
        }
    }
    fetch->timer = transport_after(input->transport, 0, on_first_turn, fetch, err);
    if (input->bytes != NULL && fetch->timer != NULL) {
        fetch->expected = fetch_expected_bytes(input->objects);
        fetch->lapse = transport_after(input->transport, FETCH_EXPECTED_MS, on_lapse, fetch, err);
    }
    if (fetch->timer == NULL || (input->bytes != NULL && fetch->lapse == NULL)) {
        fetch_destroy(fetch);
        return NULL;
    }
    return fetch;
}

static void add_stale(const struct read *read, struct fetch_output *output)
{
    if (!read->stale || output->stale)
        return;
    output->stale = true;
    output->stale_age_ms = read->stale_age_ms;
    output->stale_read_unix_s =
        transport_unix_s(read->fetch->input.transport) - (int64_t)(read->stale_age_ms / 1000);
}

/* The outcome of a read, for an item. */
static struct fetch_output output_of(const struct object_item *item, int index, const struct read *read)
{
    const struct vault_response *response = read->response;
    struct fetch_output output = {.item = item, .index = index, .error = read->error};

    if (response != NULL && response->not_found != NULL) {
        output.error = response->not_found;
        output.not_found = true;
    } else if (response != NULL && read->operation == VAULT_GET_OBJECT) { /* a list is no content */
        output.object = &response->object;
        add_stale(read, &output);
    }
    return output;
}

struct fetch_output *fetch_outputs(const struct fetch *fetch, size_t *ret_n)
{
    size_t n_items = fetch->input.objects->n;
    size_t capacity = n_items;
    for (size_t i = 0; i < n_items; i++)
        capacity += fetch->plans[i].n_targets;
    struct fetch_output *outputs = calloc(capacity + 1, sizeof(*outputs));
    if (outputs == NULL)
        return NULL;

    size_t n = 0;
    for (size_t i = 0; i < n_items; i++) {
        const struct plan *plan = &fetch->plans[i];
        const struct object_item *item = plan->item;
        if (plan->error != NULL) {
            outputs[n++] = (struct fetch_output){
                .item = item, .index = -1, .error = plan->error, .not_found = plan->not_found};
        } else if (plan->n_targets == 0) {
            outputs[n++] = output_of(item, -1, plan->first);
        }
        for (size_t k = 0; k < plan->n_targets && plan->error == NULL; k++) {
            const struct target *target = &plan->targets[k];
            outputs[n] = item->select != NULL ? output_of(&target->item, -1, target->read)
                                              : output_of(item, (int)k, target->read);
            add_stale(plan->first, &outputs[n++]);
        }
    }
    *ret_n = n;
    return outputs;
}

void fetch_give_up(struct fetch *fetch)
{
    transport_stop(fetch->input.transport, &fetch->timer);
    for (size_t i = 0; i < fetch->n_reads; i++) {
        struct read *read = fetch->reads[i];
        if (read->waiter == NULL)
            continue;
        transport_stop(fetch->input.transport, &read->patience);
        (void)vault_waiter_pending_error(read->waiter, &read->error);
        vault_waiter_cancel(&read->waiter);
        if (read->operation == VAULT_GET_OBJECT && take_stale(read, read->error))
            error_free(steal_ptr(&read->error));
    }
}

void fetch_destroy(struct fetch *fetch)
{
    if (fetch == NULL)
        return;
    transport_stop(fetch->input.transport, &fetch->timer);
    transport_stop(fetch->input.transport, &fetch->lapse);
    for (size_t i = 0; fetch->plans != NULL && i < fetch->input.objects->n; i++) {
        struct plan *plan = &fetch->plans[i];
        for (size_t k = 0; k < plan->n_targets; k++)
            object_item_finish(&plan->targets[k].item);
        free(plan->targets);
        error_free(plan->error);
    }
    free(fetch->plans);
    for (size_t i = 0; i < fetch->n_reads; i++) {
        transport_stop(fetch->input.transport, &fetch->reads[i]->patience);
        vault_waiter_cancel(&fetch->reads[i]->waiter);
        vault_response_unref(fetch->reads[i]->response);
        error_free(fetch->reads[i]->error);
        vault_list_filter_unref(fetch->reads[i]->filter);
        free(fetch->reads[i]);
    }
    free(fetch->reads);
    free(fetch);
}
