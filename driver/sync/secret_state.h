/*
 * secret_state.h - what this node knows of the Secrets it keeps: how each was last written or found, and
 * when. No content, only a digest. A steady state costs no request: while the state of a Secret is fresh, the
 * Secret counts as unchanged. Dropping a state is harmless.
 */
#ifndef DRIVER_SYNC_SECRET_STATE_H
#define DRIVER_SYNC_SECRET_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/hash_table.h"
#include "driver/sync/secret_patch.h"

struct secret_state {
    struct hash_link link;
    struct secret_states *states; /* that it is in */
    char *ns;
    char *class_name; /* two classes may desire different things of one Secret */
    char *name;
    unsigned users;        /* volumes of that class */
    bool known;            /* the rest is set */
    enum secret_mode mode; /* of the last comparison */
    uint8_t digest[DIGEST_SHA256_LEN];
    uint64_t seen_ms;               /* on uv_now()'s clock */
    struct owner_references owners; /* those that the API server refuses among them */

    struct refused_fields refused;
    uint64_t refused_until_ms; /* then they are tried again */
    char *written_version;     /* the resourceVersion after this node's last write; NULL = none */
    uint8_t written_digest[DIGEST_SHA256_LEN]; /* of the content that it wrote */
    bool data_changed;                         /* the API server has changed that data on the way */
};

struct secret_states {
    struct hash_table table; /* struct secret_state */
};

void secret_states_init(struct secret_states *states);

/* No state is in use any more. */
void secret_states_finish(struct secret_states *states);

/* True when the desired state is known to be reached since `max_age_ms` ago at most. */
bool secret_state_matches(const struct secret_state *state, const struct desired_secret *desired,
                          uint64_t now_ms, uint64_t max_age_ms);

/* After the desired state has been reached. `object` is the Secret as the API server has it; borrowed. */
void secret_state_update(struct secret_state *state, const struct desired_secret *desired,
                         const cJSON *object, uint64_t now_ms);

/* After a write that has left the desired data. `object` is the Secret as the API server has it now,
 * borrowed; NULL when some of the data is not as desired. */
void secret_state_written(struct secret_state *state, const struct desired_secret *desired,
                          const cJSON *object);

/* Is `current` as this node's last write of this content has left it? */
bool secret_state_is_last_write(const struct secret_state *state, const struct desired_secret *desired,
                                const cJSON *current);

/* Replaces the refused fields by `fields`, which is taken over; they count until `until_ms`. */
void secret_state_set_refused(struct secret_state *state, struct refused_fields *fields, uint64_t until_ms);

/* The states that one volume uses. {0} is none. A state lives as long as it is in use. */
struct secret_state_refs {
    struct secret_state **items;
    size_t n;
};

/* The state of what a class has in a Secret, created if need be, and one more of `refs`. NULL with err set on
 * lack of memory. */
struct secret_state *secret_state_refs_add(struct secret_state_refs *refs, struct secret_states *states,
                                           const char *ns, const char *class_name, const char *name,
                                           struct error **err);

/* Releases all; empty afterwards. */
void secret_state_refs_finish(struct secret_state_refs *refs);

#endif
