/*
 * aggregate_error.h - the errors of several objects as one: each cause once, with the objects it concerns.
 *
 * The code is that of the first error. At most AGGREGATE_ERROR_MAX causes are quoted in full, the other
 * objects are counted.
 */
#ifndef PROVIDER_AZURE_OBJECTS_AGGREGATE_ERROR_H
#define PROVIDER_AZURE_OBJECTS_AGGREGATE_ERROR_H

#include "common/base/buffer.h"
#include "provider-azure/objects/object_item.h"

enum { AGGREGATE_ERROR_MAX = 8 };

struct aggregate_error {
    struct error *first;
    struct buffer text;
    size_t quoted;
    size_t omitted;
    char *last_cause;
    size_t repeated; /* more objects with the last cause */
};

/* No error yet. */
void aggregate_error_init(struct aggregate_error *aggregate);

/* Adds the error of one object; `cause` is copied. */
void aggregate_error_add(struct aggregate_error *aggregate, const struct object_item *item,
                         const struct error *cause);

/* Was anything added? */
bool aggregate_error_any(const struct aggregate_error *aggregate);

/* The error, NULL when nothing was added. Empties the aggregate. */
struct error *aggregate_error_finish(struct aggregate_error *aggregate);

#endif
