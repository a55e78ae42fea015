/*
 * secret_record.h - what this node remembers of the Secrets it keeps: what was last written or found, and
 * when. No content, only a digest. A steady state costs no request: as long as a record is fresh, its Secret
 * is taken to be as it was. Forgetting is harmless.
 */
#ifndef DRIVER_SECRET_STATE_H
#define DRIVER_SECRET_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/list.h"
#include "driver/sync/secret_patch.h"

struct secret_record {
    struct list link;
    char *ns;
    char *class_name; /* two classes may want different things of one Secret */
    char *name;
    unsigned users;                  /* volumes of that class */
    bool known;                      /* the rest is set */
    enum secret_authority authority; /* with which it was compared */
    uint8_t digest[DIGEST_SHA256_LEN];
    uint64_t seen_ms; /* on uv_now()'s clock */
    struct owners owners;
};

struct secret_records {
    struct list all; /* a node keeps some hundred Secrets at most, a walk is cheap */
};

void secret_records_init(struct secret_records *records);

/* The record of what a class has in a Secret, made if need be, with one more user. NULL with err set on lack
 * of memory. */
struct secret_record *secret_records_use(struct secret_records *records, const char *ns,
                                         const char *class_name, const char *name, struct error **err);

/* One user less; the last one takes the record along. */
void secret_record_release(struct secret_record *record);

/* True when the wish is known to be fulfilled since `max_age_ms` ago at most. */
bool secret_record_fulfils(const struct secret_record *record, const struct secret_wish *wish,
                           uint64_t now_ms, uint64_t max_age_ms);

/* After a wish has been fulfilled. `object` is the Secret as the API server has it; borrowed. */
void secret_record_update(struct secret_record *record, const struct secret_wish *wish, const cJSON *object,
                          uint64_t now_ms);

/* The records that one volume uses. {0} is none. */
struct secret_uses {
    struct secret_record **items;
    size_t n;
};

/* Takes over one use of `record`, also on failure. -1 only on lack of memory. */
int secret_uses_add(struct secret_uses *uses, struct secret_record *record, struct error **err);

/* Releases all; empty afterwards. */
void secret_uses_finish(struct secret_uses *uses);

#endif
