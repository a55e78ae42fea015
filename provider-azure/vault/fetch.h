/*
 * fetch.h - the fetch plan of one mount: every distinct object once, many at a time, all outcomes collected.
 *
 * Equal (vaults, type, name, version) of several items are read once. An object with a history is a version
 * list first, then one read per chosen version; a selection is a list of all objects of its type, then one
 * read per chosen object. Both come from the vault that served the list, or for a selection from the fallback
 * vaults behind that. One failing object does not stop the others: the user sees all that is wrong at once.
 */
#ifndef PROVIDER_AZURE_VAULT_FETCH_H
#define PROVIDER_AZURE_VAULT_FETCH_H

#include "common/process/byte_budget.h"
#include "provider-azure/objects/objects.h"
#include "provider-azure/vault/object_read.h"

/* Reads of one mount that are begun at once: as many as one HTTP/2 connection carries. What a host gets of
 * them, and in which order beside other mounts, is decided in common/http/host.h. */
enum { FETCH_PARALLEL = 100 };
/* Lists among them: a page of one is much larger than an object. */
enum { FETCH_PARALLEL_LISTS = 32 };
/* Files of one mount, histories counted. */
enum { FETCH_MAX_FILES = 4000 };
/* What a read is expected to bring: Key Vault's largest secret. All reads of a mount together: the largest
 * response that drivers accept by default. */
enum { FETCH_READ_EXPECTED = 25 * 1024, FETCH_EXPECTED_MAX = 4 * 1024 * 1024 };
/* A vault that is silent for so long does not fill memory soon: only what has arrived is reserved then, so
 * that others need not wait for it. */
enum { FETCH_EXPECTED_MS = 2000 };

struct fetch;

struct fetch_input {
    const struct transport *transport;
    struct azure_metrics *metrics; /* may be NULL */
    struct vault_cache *cache;
    const struct vault_set *vaults; /* borrowed until the end, as the next three */
    const struct vault_tokens *tokens;
    const struct object_list *objects;
    const struct vault_order *orders; /* of each object */
    struct vault_freshness freshness;
    uint64_t deadline_ms;
    struct byte_reservation *bytes; /* holds fetch_expected_bytes(); NULL: nothing is reserved */
};

/* One object that was read, in item order (those of a selection by name); pointers are the fetch's. Exactly
 * one of object and error is set. */
struct fetch_output {
    const struct object_item *item; /* of a selection: one made for the object */
    int index;                      /* position in a history, -1 for a single version */
    const struct vault_object *object;
    const struct error *error;
    bool not_found; /* the error is that the vault does not have it, or has it disabled */
    bool stale;     /* the vault could not answer: the object, or the list that led to it, had been kept */
    int64_t stale_read_unix_s; /* and was read at that time */
    uint64_t stale_age_ms;
    const struct vault *vault;  /* that it belongs to */
    const struct vault *served; /* that it was read from; with an error the same as `vault` */
    const struct error *cause;  /* why it was read from another one; NULL: it was not */
    const uint8_t *principal;   /* that has read it (struct token); NULL with an error */
};

/* All reads have ended. The callee destroys the fetch when it has used the outputs. */
typedef void fetch_callback(void *arg);

/* The bytes to reserve before the start. */
uint64_t fetch_expected_bytes(const struct object_list *objects);

/* Starts the first reads. NULL with err set on lack of memory. */
struct fetch *fetch_start(const struct fetch_input *input, fetch_callback *callback, void *arg,
                          struct error **err);

/* The outputs; before the callback only what is known (unfinished ones have neither object nor error). The
 * caller frees the array. NULL on lack of memory. */
struct fetch_output *fetch_outputs(const struct fetch *fetch, size_t *ret_n);

/* Cancels the reads that run; the error of each says what it waited for. No callback. */
void fetch_give_up(struct fetch *fetch);

/* Whether a read failed because its vault throttles, whatever else failed. */
bool fetch_is_throttled(const struct fetch *fetch);

/* What the reads have brought, or others still wait for, is held until `until_ms`: vault_cache_hold(). */
void fetch_hold(const struct fetch *fetch, uint64_t until_ms);

/* Cancels the reads that run and frees all outputs. No callback. Accepts NULL. */
void fetch_destroy(struct fetch *fetch);

#endif
