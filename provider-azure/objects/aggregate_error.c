/*
 * aggregate_error.c - the errors of several objects as one.
 */
#include "provider-azure/objects/aggregate_error.h"

#include <stdlib.h>
#include <string.h>

/* The error itself is cut at ERROR_MESSAGE_MAX. */
enum { TEXT_MAX = 16 * 1024 };

void aggregate_error_init(struct aggregate_error *aggregate)
{
    *aggregate = (struct aggregate_error){0};
    buffer_init(&aggregate->text, TEXT_MAX);
}

/* Says how often the last cause was repeated. */
static void close_cause(struct aggregate_error *aggregate)
{
    if (aggregate->repeated > 0)
        (void)buffer_printf(&aggregate->text, NULL, " (the same for %zu more object%s)", aggregate->repeated,
                            aggregate->repeated == 1 ? "" : "s");
    aggregate->repeated = 0;
}

void aggregate_error_add(struct aggregate_error *aggregate, const struct object_item *item,
                         const struct error *cause)
{
    if (aggregate->last_cause != NULL && strcmp(aggregate->last_cause, error_message(cause)) == 0) {
        aggregate->repeated++;
        return;
    }
    close_cause(aggregate);
    if (aggregate->quoted == AGGREGATE_ERROR_MAX) {
        aggregate->omitted++;
        return;
    }
    struct error *error = error_copy(cause);
    object_item_wrap_error(item, &error);
    (void)buffer_printf(&aggregate->text, NULL, "%s%s", aggregate->quoted > 0 ? "; " : "",
                        error_message(error));
    aggregate->quoted++;
    free(aggregate->last_cause);
    aggregate->last_cause = strdup(error_message(cause));
    if (aggregate->first == NULL)
        aggregate->first = error;
    else
        error_free(error);
}

bool aggregate_error_any(const struct aggregate_error *aggregate)
{
    return aggregate->first != NULL;
}

struct error *aggregate_error_finish(struct aggregate_error *aggregate)
{
    struct error *error = NULL;
    close_cause(aggregate);
    if (aggregate->omitted > 0)
        (void)buffer_printf(&aggregate->text, NULL, "; and %zu more objects failed", aggregate->omitted);
    if (aggregate->first != NULL)
        error_set(&error, error_code(aggregate->first), "%s", buffer_str(&aggregate->text));
    error_free(aggregate->first);
    free(aggregate->last_cause);
    buffer_finish(&aggregate->text);
    *aggregate = (struct aggregate_error){0};
    return error;
}
