/*
 * fetch.c - reads the objects of one mount.
 */
#include "provider-azure/vault/fetch.h"

#include <stdlib.h>
#include <string.h>

/* One read: an object or a list. */
struct lookup {
    struct fetch *fetch;
    enum object_type type;
    enum vault_question question;
    const char *name;    /* of an item that lives as long as the fetch */
    const char *version; /* the item's, or of a version in an answer that lives as long as the fetch */
    struct store_wait *wait;
    struct vault_answer *answer;
    struct error *error;
};

/* One object that a list led to. */
struct target {
    struct object_item item; /* selection: made for it; history: unused */
    struct lookup *lookup;
};

/* What one item of the parameters became. */
struct plan {
    const struct object_item *item;
    struct lookup *first;   /* the object, or a list */
    struct target *targets; /* what the list led to: versions, newest first, or objects by name */
    size_t n_targets;
    struct error *error; /* nothing could be chosen from the list */
    bool absent;         /* because there is nothing */
};

struct fetch {
    struct fetch_input input;
    struct plan *plans;
    struct lookup **lookups;
    size_t n_lookups;
    size_t started;
    size_t running;
    size_t files;
    struct transport_timer *timer; /* the first turn */
    fetch_callback *callback;
    void *arg;
};

static int no_memory(struct error **err)
{
    return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
}

/* The lookup for this question, shared with equal ones. */
static struct lookup *need(struct fetch *fetch, enum object_type type, enum vault_question question,
                           const char *name, const char *version, struct error **err)
{
    for (size_t i = 0; i < fetch->n_lookups; i++) {
        struct lookup *lookup = fetch->lookups[i];
        if (lookup->type == type && lookup->question == question && strcmp(lookup->name, name) == 0 &&
            strcmp(lookup->version, version) == 0)
            return lookup;
    }
    struct lookup **grown = reallocarray(fetch->lookups, fetch->n_lookups + 1, sizeof(struct lookup *));
    if (grown == NULL) {
        no_memory(err);
        return NULL;
    }
    fetch->lookups = grown;
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (lookup == NULL) {
        no_memory(err);
        return NULL;
    }
    *lookup =
        (struct lookup){.fetch = fetch, .type = type, .question = question, .name = name, .version = version};
    fetch->lookups[fetch->n_lookups++] = lookup;
    return lookup;
}

/* The first read of an item. */
static struct lookup *need_first(struct fetch *fetch, const struct object_item *item, struct error **err)
{
    if (item->select != NULL)
        return need(fetch, item->type, VAULT_OBJECTS, "", "", err);
    if (item->history > 1)
        return need(fetch, item->type, VAULT_VERSIONS, item->name, "", err);
    fetch->files++;
    return need(fetch, item->type, VAULT_OBJECT, item->name, item->version, err);
}

/* --- what a list leads to
 * ------------------------------------------------------------------------------------------------ */

static int make_targets(struct fetch *fetch, struct plan *plan, size_t n, struct error **err)
{
    fetch->files += n;
    if (fetch->files > FETCH_MAX_FILES)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "more than %d files in one volume",
                         FETCH_MAX_FILES);
    plan->targets = calloc(n + 1, sizeof(*plan->targets));
    return plan->targets == NULL ? no_memory(err) : 0;
}

/* The version list of an item with a history: chooses versions and plans their reads. */
static int plan_versions(struct fetch *fetch, struct plan *plan, struct error **err)
{
    const struct object_item *item = plan->item;
    size_t count = item->versions;
    if (count > plan->first->answer->n_entries)
        count = plan->first->answer->n_entries;

    cleanup_free const struct vault_entry **chosen = calloc(count + 1, sizeof(*chosen));
    if (chosen == NULL)
        return no_memory(err);
    int n = vault_list_select(plan->first->answer, item->version, count, chosen, err);
    plan->absent = n < 0 && error_code(*err) == GRPC_STATUS_NOT_FOUND;
    if (n < 0 || make_targets(fetch, plan, (size_t)n, err) < 0)
        return -1;
    for (int i = 0; i < n; i++) {
        struct lookup *lookup = need(fetch, item->type, VAULT_OBJECT, item->name, chosen[i]->version, err);
        if (lookup == NULL)
            return -1;
        plan->targets[plan->n_targets++].lookup = lookup;
    }
    return 0;
}

static int by_name(const void *left, const void *right)
{
    const struct vault_entry *a = *(const struct vault_entry *const *)left;
    const struct vault_entry *b = *(const struct vault_entry *const *)right;
    return strcmp(a->name, b->name);
}

/* Puts the enabled objects that the item asks for into `ret_chosen`, by name, each once. */
static size_t choose_objects(const struct vault_answer *list, const struct object_item *item,
                             const struct vault_entry **ret_chosen)
{
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < list->n_entries; i++) {
        const struct vault_entry *entry = &list->entries[i];
        if (entry->enabled && *entry->name != '\0' &&
            object_select_matches(item->select, entry->name, &entry->tags))
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
    const struct vault_answer *list = plan->first->answer;
    cleanup_free const struct vault_entry **chosen = calloc(list->n_entries + 1, sizeof(*chosen));
    if (chosen == NULL)
        return no_memory(err);
    size_t n = choose_objects(list, item, chosen);
    if (n == 0) {
        plan->absent = true;
        return error_set(
            err, GRPC_STATUS_NOT_FOUND,
            "none of the %zu objects of the vault has this name pattern and these tags and is enabled",
            list->n_entries);
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
        target->lookup = need(fetch, item->type, VAULT_OBJECT, target->item.name, "", err);
        if (target->lookup == NULL)
            return -1;
    }
    return 0;
}

static void plan_list(struct fetch *fetch, const struct lookup *list)
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

static void pump(struct fetch *fetch);

static void on_answer(struct vault_answer *answer, const struct error *error, void *arg)
{
    struct lookup *lookup = arg;
    struct fetch *fetch = lookup->fetch;

    lookup->wait = NULL;
    lookup->answer = answer;
    lookup->error = error_copy(error);
    fetch->running--;
    if (lookup->question != VAULT_OBJECT && answer != NULL && answer->absence == NULL)
        plan_list(fetch, lookup);
    pump(fetch);
}

/* Starts reads while there is room; ends the fetch when none is left. */
static void pump(struct fetch *fetch)
{
    const struct fetch_input *input = &fetch->input;

    while (fetch->running < FETCH_PARALLEL && fetch->started < fetch->n_lookups) {
        struct lookup *lookup = fetch->lookups[fetch->started++];
        const struct vault_query query = {
            .vault_url = input->vault->url,
            .vault_host = input->vault->host,
            .type = lookup->type,
            .question = lookup->question,
            .name = lookup->name,
            .version = lookup->version,
        };
        lookup->wait = store_get(input->store, &query, input->identity, input->token, &input->freshness,
                                 input->deadline_ms, on_answer, lookup, &lookup->error);
        if (lookup->wait != NULL)
            fetch->running++;
    }
    if (fetch->running == 0 && fetch->started == fetch->n_lookups)
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
        no_memory(err);
        return NULL;
    }
    *fetch = (struct fetch){.input = *input, .callback = callback, .arg = arg};
    fetch->plans = calloc(input->objects->n + 1, sizeof(*fetch->plans));
    if (fetch->plans == NULL) {
        no_memory(err);
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
    if (fetch->timer == NULL) {
        fetch_destroy(fetch);
        return NULL;
    }
    return fetch;
}

static struct fetch_output output_of(const struct object_item *item, int index, const struct lookup *lookup)
{
    struct fetch_output output = {
        .item = item, .index = index, .answer = lookup->answer, .error = lookup->error};
    if (output.answer != NULL && output.answer->absence != NULL) {
        output.error = output.answer->absence;
        output.answer = NULL;
        output.absent = true;
    }
    return output;
}

struct fetch_output *fetch_outputs(const struct fetch *fetch, size_t *ret_n)
{
    size_t n_items = fetch->input.objects->n;
    size_t room = n_items;
    for (size_t i = 0; i < n_items; i++)
        room += fetch->plans[i].n_targets;
    struct fetch_output *outputs = calloc(room + 1, sizeof(*outputs));
    if (outputs == NULL)
        return NULL;

    size_t n = 0;
    for (size_t i = 0; i < n_items; i++) {
        const struct plan *plan = &fetch->plans[i];
        const struct object_item *item = plan->item;
        if (plan->error != NULL) {
            outputs[n++] = (struct fetch_output){
                .item = item, .index = -1, .error = plan->error, .absent = plan->absent};
        } else if (plan->n_targets == 0) {
            struct fetch_output output = output_of(item, -1, plan->first);
            if (plan->first->question != VAULT_OBJECT)
                output.answer = NULL; /* a list is no content */
            outputs[n++] = output;
        }
        for (size_t k = 0; k < plan->n_targets && plan->error == NULL; k++) {
            const struct target *target = &plan->targets[k];
            outputs[n++] = item->select != NULL ? output_of(&target->item, -1, target->lookup)
                                                : output_of(item, (int)k, target->lookup);
        }
    }
    *ret_n = n;
    return outputs;
}

void fetch_give_up(struct fetch *fetch)
{
    transport_stop(fetch->input.transport, &fetch->timer);
    for (size_t i = 0; i < fetch->n_lookups; i++) {
        struct lookup *lookup = fetch->lookups[i];
        if (lookup->wait == NULL)
            continue;
        (void)store_wait_why_not_yet(lookup->wait, &lookup->error);
        store_wait_cancel(&lookup->wait);
    }
}

void fetch_destroy(struct fetch *fetch)
{
    if (fetch == NULL)
        return;
    transport_stop(fetch->input.transport, &fetch->timer);
    for (size_t i = 0; fetch->plans != NULL && i < fetch->input.objects->n; i++) {
        struct plan *plan = &fetch->plans[i];
        for (size_t k = 0; k < plan->n_targets; k++)
            object_item_finish(&plan->targets[k].item);
        free(plan->targets);
        error_free(plan->error);
    }
    free(fetch->plans);
    for (size_t i = 0; i < fetch->n_lookups; i++) {
        store_wait_cancel(&fetch->lookups[i]->wait);
        vault_answer_unref(fetch->lookups[i]->answer);
        error_free(fetch->lookups[i]->error);
        free(fetch->lookups[i]);
    }
    free(fetch->lookups);
    free(fetch);
}
