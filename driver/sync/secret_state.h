/*
 * secret_state.h - what this node knows of the Secrets it keeps: how each was last written or found, and
 * when. No content, only a digest. A steady state costs no request: while the state of a Secret is fresh, the
 * Secret counts as unchanged. Dropping a state is harmless.
 */
#ifndef DRIVER_SYNC_SECRET_STATE_H
#define DRIVER_SYNC_SECRET_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/list.h"
#include "driver/sync/secret_patch.h"

struct secret_state {
    struct list link;
    char *ns;
    char *class_name; /* two classes may desire different things of one Secret */
    char *name;
    unsigned users;        /* volumes of that class */
    bool known;            /* the rest is set */
    enum secret_mode mode; /* of the last comparison */
    uint8_t digest[DIGEST_SHA256_LEN];
    uint64_t seen_ms; /* on uv_now()'s clock */
    struct owner_references owners;
};

struct secret_states {
    struct list all; /* a node keeps some hundred Secrets at most, a walk is cheap */
};

void secret_states_init(struct secret_states *states);

/* True when the desired state is known to be reached since `max_age_ms` ago at most. */
bool secret_state_matches(const struct secret_state *state, const struct desired_secret *desired,
                          uint64_t now_ms, uint64_t max_age_ms);

/* After the desired state has been reached. `object` is the Secret as the API server has it; borrowed. */
void secret_state_update(struct secret_state *state, const struct desired_secret *desired,
                         const cJSON *object, uint64_t now_ms);

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
