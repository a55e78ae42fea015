/*
 * secret_state.c - what this node knows of the Secrets it keeps.
 */
#include "driver/sync/secret_state.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/list.h"
#include "common/kube/kube_meta.h"

/* What a class has in a Secret. */
struct state_key {
    const char *ns;
    const char *class_name;
    const char *name;
};

static uint32_t hash_key(const struct state_key *key)
{
    return hash_text(hash_text(hash_text(HASH_START, key->ns), key->class_name), key->name);
}

static uint32_t hash_of(const struct hash_link *link)
{
    const struct secret_state *state = const_container_of(link, struct secret_state, link);

    return hash_key(
        &(const struct state_key){.ns = state->ns, .class_name = state->class_name, .name = state->name});
}

static bool matches(const struct hash_link *link, const void *searched)
{
    const struct secret_state *state = const_container_of(link, struct secret_state, link);
    const struct state_key *key = searched;

    return strcmp(state->ns, key->ns) == 0 && strcmp(state->class_name, key->class_name) == 0 &&
           strcmp(state->name, key->name) == 0;
}

void secret_states_init(struct secret_states *states)
{
    hash_table_init(&states->table, hash_of);
}

void secret_states_finish(struct secret_states *states)
{
    hash_table_finish(&states->table);
}

/* --- one state --- */

static void state_free(struct secret_state *state)
{
    if (state == NULL)
        return;
    free(state->ns);
    free(state->class_name);
    free(state->name);
    owner_references_finish(&state->owners);
    refused_fields_finish(&state->refused);
    free(state->written_version);
    free(state);
}

static struct secret_state *state_create(struct secret_states *states, const struct state_key *key,
                                         struct error **err)
{
    struct secret_state *state = calloc(1, sizeof(*state));

    if (state != NULL)
        *state = (struct secret_state){.states = states,
                                       .ns = strdup(key->ns),
                                       .class_name = strdup(key->class_name),
                                       .name = strdup(key->name)};
    if (state == NULL || state->ns == NULL || state->class_name == NULL || state->name == NULL ||
        hash_table_add(&states->table, &state->link) < 0) {
        state_free(state);
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    return state;
}

/* The last user takes the state along. */
static void state_release(struct secret_state *state)
{
    if (--state->users > 0)
        return;
    hash_table_remove(&state->states->table, &state->link);
    state_free(state);
}

bool secret_state_matches(const struct secret_state *state, const struct desired_secret *desired,
                          uint64_t now_ms, uint64_t max_age_ms)
{
    return state->known && now_ms - state->seen_ms <= max_age_ms &&
           (state->mode == SECRET_APPLY || desired->mode == SECRET_RESTORE) &&
           memcmp(state->digest, desired->content->digest, DIGEST_SHA256_LEN) == 0 &&
           owner_references_contain_all(&state->owners, desired->owners);
}

/* Owners that the API server refuses are not waited for. Without memory the Secret is read again next time.
 */
static void add_refused_owners(struct secret_state *state, const struct owner_references *desired)
{
    for (size_t i = 0; i < desired->n; i++) {
        const struct owner_reference *owner = &desired->items[i];

        if (refused_fields_has(&state->refused, REFUSED_OWNERS, owner->uid, ""))
            (void)owner_references_add(&state->owners, owner->api_version, owner->kind, owner->name,
                                       owner->uid,
                                       /* err= */ NULL);
    }
}

void secret_state_update(struct secret_state *state, const struct desired_secret *desired,
                         const cJSON *object, uint64_t now_ms)
{
    struct owner_references owners = {0};

    state->known = false;
    owner_references_finish(&state->owners);
    if (owner_references_from_object(object, &owners, /* err= */ NULL) < 0)
        return; /* the Secret is read again next time */
    state->owners = owners;
    add_refused_owners(state, desired->owners);
    state->mode = desired->mode;
    memcpy(state->digest, desired->content->digest, DIGEST_SHA256_LEN);
    state->seen_ms = now_ms;
    state->known = true;
}

void secret_state_written(struct secret_state *state, const struct desired_secret *desired,
                          const cJSON *object)
{
    if (memcmp(state->written_digest, desired->content->digest, DIGEST_SHA256_LEN) != 0)
        state->data_changed = false;
    free(state->written_version);
    state->written_version = object != NULL ? strdup(kube_metadata_string(object, "resourceVersion")) : NULL;
    memcpy(state->written_digest, desired->content->digest, DIGEST_SHA256_LEN);
}

bool secret_state_is_last_write(const struct secret_state *state, const struct desired_secret *desired,
                                const cJSON *current)
{
    return state->written_version != NULL &&
           strcmp(state->written_version, kube_metadata_string(current, "resourceVersion")) == 0 &&
           memcmp(state->written_digest, desired->content->digest, DIGEST_SHA256_LEN) == 0;
}

void secret_state_set_refused(struct secret_state *state, struct refused_fields *fields, uint64_t until_ms)
{
    refused_fields_finish(&state->refused);
    state->refused = *fields;
    *fields = (struct refused_fields){0};
    state->refused_until_ms = until_ms;
}

/* --- references --- */

struct secret_state *secret_state_refs_add(struct secret_state_refs *refs, struct secret_states *states,
                                           const char *ns, const char *class_name, const char *name,
                                           struct error **err)
{
    const struct state_key key = {.ns = ns, .class_name = class_name, .name = name};
    struct secret_state **grown = reallocarray(refs->items, refs->n + 1, sizeof(struct secret_state *));
    struct secret_state *state;
    struct hash_link *link;

    if (grown == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    refs->items = grown;
    link = hash_table_find(&states->table, hash_key(&key), matches, &key);
    state = link != NULL ? container_of(link, struct secret_state, link) : state_create(states, &key, err);
    if (state == NULL)
        return NULL;
    state->users++;
    refs->items[refs->n++] = state;
    return state;
}

void secret_state_refs_finish(struct secret_state_refs *refs)
{
    for (size_t i = 0; i < refs->n; i++)
        state_release(refs->items[i]);
    free(refs->items);
    *refs = (struct secret_state_refs){0};
}
