/*
 * fetch.c - reads the objects of one mount.
 */
#include "provider-azure/vault/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "provider-azure/vault/vault_failure.h"

/* One read, shared by the items that need it. Its texts are those of an item, or of a version in a list:
 * they live as long as the fetch. */
struct read {
    struct fetch *fetch;
    struct object_read base;
};

/* One object that a list led to. */
struct target {
    struct object_item item; /* selection: made for it; history: unused */
    struct read *read;
};

/* The reads for one item of the parameters. */
struct plan {
    const struct object_item *item;
    const struct vault_order *order;
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
    struct object_read_context context;
    fetch_callback *callback;
    void *arg;
};

/* The read that does this, shared with equal ones. */
static struct read *need(struct fetch *fetch, const struct vault_order *order, enum object_type type,
                         enum vault_operation operation, const char *name, const char *version,
                         struct error **err)
{
    for (size_t i = 0; i < fetch->n_reads; i++) {
        const struct object_read *read = &fetch->reads[i]->base;
        if (read->type == type && read->operation == operation && strcmp(read->name, name) == 0 &&
            strcmp(read->version, version) == 0 && memcmp(&read->order, order, sizeof(*order)) == 0)
            return fetch->reads[i];
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
    *read = (struct read){
        .fetch = fetch,
        .base = {.type = type, .operation = operation, .name = name, .version = version, .order = *order}};
    fetch->reads[fetch->n_reads++] = read;
    return read;
}

/* A list, shared by the items that need entries of it. */
static struct read *need_list(struct fetch *fetch, const struct plan *plan, struct error **err)
{
    const struct object_item *item = plan->item;
    struct read *read =
        item->select != NULL
            ? need(fetch, plan->order, item->type, VAULT_LIST_OBJECTS, "", "", err)
            : need(fetch, plan->order, item->type, VAULT_LIST_VERSIONS, item->name, item->version, err);
    if (read == NULL)
        return NULL;
    if (read->base.filter == NULL)
        read->base.filter = vault_list_filter_create(read->base.version, err);
    if (read->base.filter == NULL ||
        (item->select != NULL && vault_list_filter_add_select(read->base.filter, item->select, err) < 0))
        return NULL;
    if (item->select == NULL) /* one more than may be, so that the limit is reported */
        vault_list_filter_add_count(read->base.filter,
                                    item->versions < FETCH_MAX_FILES ? item->versions : FETCH_MAX_FILES + 1);
    return read;
}

/* The first read of an item. */
static struct read *need_first(struct fetch *fetch, const struct plan *plan, struct error **err)
{
    const struct object_item *item = plan->item;
    if (item->select != NULL || item->history > 1)
        return need_list(fetch, plan, err);
    fetch->files++;
    return need(fetch, plan->order, item->type, VAULT_GET_OBJECT, item->name, item->version, err);
}

/* --- reads that a list leads to --- */

/* The vault that has served the list: other vaults may have other versions. */
static struct vault_order order_of_versions(const struct read *list)
{
    return (struct vault_order){.at = {(uint8_t)list->base.served}, .n = 1};
}

/* The vault that has served the list, and the fallback vaults behind it. */
static struct vault_order order_of_objects(const struct read *list)
{
    struct vault_order order = {.n = 0};
    size_t i = 0;
    while (list->base.order.at[i] != list->base.served)
        i++;
    for (; i < list->base.order.n; i++)
        order.at[order.n++] = list->base.order.at[i];
    return order;
}

/* That nothing is there is only taken from the object's own vault. */
static bool is_own(const struct plan *plan)
{
    return plan->first->base.served == plan->order->at[0];
}

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
    const struct vault_list *list = &plan->first->base.response->list;
    size_t count = item->versions;
    if (count > list->n)
        count = list->n;

    cleanup_free const struct vault_entry **chosen = calloc(count + 1, sizeof(*chosen));
    if (chosen == NULL)
        return error_no_memory(err, NULL);
    int n = vault_list_select(list, item->version, count, chosen, err);
    plan->not_found = n < 0 && error_code(*err) == GRPC_STATUS_NOT_FOUND && is_own(plan);
    if (n < 0 || make_targets(fetch, plan, (size_t)n, err) < 0)
        return -1;
    const struct vault_order order = order_of_versions(plan->first);
    for (int i = 0; i < n; i++) {
        struct read *read =
            need(fetch, &order, item->type, VAULT_GET_OBJECT, item->name, chosen[i]->version, err);
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
    const struct vault_list *list = &plan->first->base.response->list;
    cleanup_free const struct vault_entry **chosen = calloc(list->n + 1, sizeof(*chosen));
    if (chosen == NULL)
        return error_no_memory(err, NULL);
    size_t n = choose_objects(list, item, chosen);
    if (n == 0) {
        plan->not_found = is_own(plan);
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
    const struct vault_order order = order_of_objects(plan->first);
    for (size_t i = 0; i < n; i++) {
        struct target *target = &plan->targets[plan->n_targets];
        if (object_item_select(item, chosen[i]->name, &target->item, err) < 0)
            return -1;
        plan->n_targets++;
        target->read = need(fetch, &order, item->type, VAULT_GET_OBJECT, target->item.name, "", err);
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
    return read->base.operation != VAULT_GET_OBJECT;
}

static void on_read(void *arg)
{
    struct read *read = arg;
    struct fetch *fetch = read->fetch;
    const struct vault_response *response = read->base.response;

    fetch->running--;
    fetch->running_lists -= is_list(read);
    fetch->arrived += response != NULL ? vault_response_size(response) : 0;
    count_bytes(fetch);
    if (is_list(read) && response != NULL && response->not_found == NULL)
        plan_list(fetch, read);
    pump(fetch);
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
        if (object_read_start(&read->base, &fetch->context, on_read, read) < 0)
            continue;
        fetch->running++;
        fetch->running_lists += is_list(read);
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
    fetch->context = (struct object_read_context){
        .transport = input->transport,
        .metrics = input->metrics,
        .cache = input->cache,
        .vaults = input->vaults,
        .tokens = input->tokens,
        .freshness = input->freshness,
        .deadline_ms = input->deadline_ms,
        .flow = (uint64_t)(uintptr_t)fetch,
    };
    fetch->plans = calloc(input->objects->n + 1, sizeof(*fetch->plans));
    if (fetch->plans == NULL) {
        (void)error_no_memory(err, NULL);
        fetch_destroy(fetch);
        return NULL;
    }
    for (size_t i = 0; i < input->objects->n; i++) {
        fetch->plans[i].item = &input->objects->items[i];
        fetch->plans[i].order = &input->orders[i];
        fetch->plans[i].first = need_first(fetch, &fetch->plans[i], err);
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
    if (!read->base.stale || output->stale)
        return;
    output->stale = true;
    output->stale_age_ms = read->base.stale_age_ms;
    output->stale_read_unix_s =
        transport_unix_s(read->fetch->input.transport) - (int64_t)(read->base.stale_age_ms / 1000);
}

/* The outcome of a read, for an item. */
static struct fetch_output output_of(const struct plan *plan, const struct object_item *item, int index,
                                     const struct object_read *read)
{
    const struct vault_set *vaults = plan->first->fetch->input.vaults;
    const struct vault_response *response = read->response;
    const struct vault *own = &vaults->at[plan->order->at[0]];
    struct fetch_output output = {
        .item = item, .index = index, .error = read->error, .vault = own, .served = own};

    if (response != NULL && response->not_found != NULL) {
        output.error = response->not_found;
        output.not_found = true;
    } else if (response != NULL && read->operation == VAULT_GET_OBJECT) { /* a list is no content */
        output.object = &response->object;
        output.served = &vaults->at[read->served];
        output.cause = read->cause != NULL ? read->cause : plan->first->base.cause;
        output.principal =
            vault_tokens_access(plan->first->fetch->input.tokens, read->served)->token->principal;
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
            outputs[n] = output_of(plan, item, -1, &plan->first->base);
            outputs[n].error = plan->error;
            outputs[n++].not_found = plan->not_found;
        } else if (plan->n_targets == 0) {
            outputs[n] = output_of(plan, item, -1, &plan->first->base);
            add_stale(plan->first, &outputs[n++]);
        }
        for (size_t k = 0; k < plan->n_targets && plan->error == NULL; k++) {
            const struct target *target = &plan->targets[k];
            outputs[n] = item->select != NULL ? output_of(plan, &target->item, -1, &target->read->base)
                                              : output_of(plan, item, (int)k, &target->read->base);
            add_stale(target->read, &outputs[n]);
            add_stale(plan->first, &outputs[n++]);
        }
    }
    *ret_n = n;
    return outputs;
}

void fetch_give_up(struct fetch *fetch)
{
    transport_stop(fetch->input.transport, &fetch->timer);
    for (size_t i = 0; i < fetch->n_reads; i++)
        object_read_give_up(&fetch->reads[i]->base);
}

/* Lists and responses that are too large have the same code, without the mark of a vault that cannot
 * answer. */
static bool is_throttled(const struct error *error)
{
    return error_code(error) == GRPC_STATUS_RESOURCE_EXHAUSTED &&
           vault_failure_of(error) == VAULT_FAILURE_UNAVAILABLE;
}

bool fetch_is_throttled(const struct fetch *fetch)
{
    for (size_t i = 0; i < fetch->n_reads; i++) {
        if (is_throttled(fetch->reads[i]->base.error))
            return true;
    }
    return false;
}

void fetch_hold(const struct fetch *fetch, uint64_t until_ms)
{
    for (size_t i = 0; i < fetch->n_reads; i++)
        object_read_hold(&fetch->reads[i]->base, until_ms);
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
        object_read_finish(&fetch->reads[i]->base);
        free(fetch->reads[i]);
    }
    free(fetch->reads);
    free(fetch);
}
