/*
 * fetch.c - reads the objects of one mount.
 */
#include "provider-azure/fetch.h"

#include <stdlib.h>
#include <string.h>

/* One read: an object, or the version list of one. */
struct lookup {
    struct fetch *fetch;
    enum object_type type;
    bool list;
    const char *name;    /* the item's */
    const char *version; /* the item's, or of a version in an answer that lives as long as the fetch */
    struct store_wait *wait;
    struct vault_answer *answer;
    struct error *error;
};

/* What one item of the parameters became. */
struct plan {
    const struct object_item *item;
    struct lookup *first;     /* the object, or the version list */
    struct lookup **versions; /* history: one read per chosen version */
    size_t n_versions;
    struct error *error; /* history: no version could be chosen */
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

/* The lookup for this object, shared with equal ones. */
static struct lookup *need(struct fetch *fetch, const struct object_item *item, bool list,
                           const char *version, struct error **err)
{
    for (size_t i = 0; i < fetch->n_lookups; i++) {
        struct lookup *lookup = fetch->lookups[i];
        if (lookup->type == item->type && lookup->list == list && strcmp(lookup->name, item->name) == 0 &&
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
    *lookup = (struct lookup){
        .fetch = fetch, .type = item->type, .list = list, .name = item->name, .version = version};
    fetch->lookups[fetch->n_lookups++] = lookup;
    return lookup;
}

/* The list of an item with a history has come: choose versions and plan their reads. */
static int plan_versions(struct fetch *fetch, struct plan *plan, struct error **err)
{
    const struct object_item *item = plan->item;
    size_t count = (size_t)item->history;
    if (count > plan->first->answer->n_versions)
        count = plan->first->answer->n_versions;

    cleanup_free const struct vault_version **chosen = calloc(count + 1, sizeof(*chosen));
    plan->versions = calloc(count + 1, sizeof(*plan->versions));
    if (chosen == NULL || plan->versions == NULL)
        return no_memory(err);
    int n = vault_list_select(plan->first->answer, item->version, count, chosen, err);
    if (n < 0)
        return -1;
    fetch->files += (size_t)n;
    if (fetch->files > FETCH_MAX_FILES)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "more than %d files in one volume",
                         FETCH_MAX_FILES);
    for (int i = 0; i < n; i++) {
        struct lookup *lookup = need(fetch, item, /* list= */ false, chosen[i]->version, err);
        if (lookup == NULL)
            return -1;
        plan->versions[plan->n_versions++] = lookup;
    }
    return 0;
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
    if (lookup->list && answer != NULL) {
        for (size_t i = 0; i < fetch->input.objects->n; i++) {
            struct plan *plan = &fetch->plans[i];
            if (plan->first == lookup)
                (void)plan_versions(fetch, plan, &plan->error);
        }
    }
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
            .list = lookup->list,
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
        const struct object_item *item = &input->objects->items[i];
        bool list = item->history > 1;
        fetch->files += list ? 0 : 1;
        fetch->plans[i].item = item;
        fetch->plans[i].first = need(fetch, item, list, list ? "" : item->version, err);
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

struct fetch_output *fetch_outputs(const struct fetch *fetch, size_t *ret_n)
{
    size_t n_items = fetch->input.objects->n;
    size_t room = n_items;
    for (size_t i = 0; i < n_items; i++)
        room += fetch->plans[i].n_versions;
    struct fetch_output *outputs = calloc(room + 1, sizeof(*outputs));
    if (outputs == NULL)
        return NULL;

    size_t n = 0;
    for (size_t i = 0; i < n_items; i++) {
        const struct plan *plan = &fetch->plans[i];
        const struct lookup *first = plan->first;
        if (!first->list || first->answer == NULL || plan->error != NULL) {
            outputs[n++] = (struct fetch_output){.item = plan->item,
                                                 .index = -1,
                                                 .answer = first->list ? NULL : first->answer,
                                                 .error = plan->error != NULL ? plan->error : first->error};
            continue;
        }
        for (size_t k = 0; k < plan->n_versions; k++)
            outputs[n++] = (struct fetch_output){.item = plan->item,
                                                 .index = (int)k,
                                                 .answer = plan->versions[k]->answer,
                                                 .error = plan->versions[k]->error};
    }
    *ret_n = n;
    return outputs;
}

void fetch_destroy(struct fetch *fetch)
{
    if (fetch == NULL)
        return;
    transport_stop(fetch->input.transport, &fetch->timer);
    for (size_t i = 0; fetch->plans != NULL && i < fetch->input.objects->n; i++) {
        free(fetch->plans[i].versions);
        error_free(fetch->plans[i].error);
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
