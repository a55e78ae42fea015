/*
 * verdict.h - all failures of a mount as one error: each cause once, with the objects it concerns.
 *
 * The code is that of the first failure. At most VERDICT_MAX_TOLD objects are told in full, the others are
 * counted.
 */
#ifndef PROVIDER_AZURE_AGGREGATE_ERROR_H
#define PROVIDER_AZURE_AGGREGATE_ERROR_H

#include "common/base/buffer.h"
#include "provider-azure/objects/objects.h"

enum { VERDICT_MAX_TOLD = 8 };

struct verdict {
    struct error *first;
    struct buffer text;
    size_t told;
    size_t untold;
    char *last_cause;
    size_t same;
};

void verdict_init(struct verdict *verdict);
void verdict_add(struct verdict *verdict, const struct object_item *item, const struct error *cause);

/* The error, NULL when nothing failed. Empties the verdict. */
struct error *verdict_finish(struct verdict *verdict);

#endif
