/*
 * verdict.c - all failures of a mount as one error.
 */
#include "provider-azure/aggregate_error.h"

#include <stdlib.h>
#include <string.h>

enum { VERDICT_TEXT_MAX = 16 * 1024 };

void verdict_init(struct verdict *verdict)
{
    *verdict = (struct verdict){0};
    buffer_init(&verdict->text, VERDICT_TEXT_MAX);
}

static void verdict_close_cause(struct verdict *verdict)
{
    if (verdict->same > 0)
        (void)buffer_printf(&verdict->text, NULL, " (the same for %zu more object%s)", verdict->same,
                            verdict->same == 1 ? "" : "s");
    verdict->same = 0;
}

void verdict_add(struct verdict *verdict, const struct object_item *item, const struct error *cause)
{
    if (verdict->last_cause != NULL && strcmp(verdict->last_cause, error_message(cause)) == 0) {
        verdict->same++;
        return;
    }
    verdict_close_cause(verdict);
    if (verdict->told == VERDICT_MAX_TOLD) {
        verdict->untold++;
        return;
    }
    struct error *error = error_copy(cause);
    object_wrap_error(item, &error);
    (void)buffer_printf(&verdict->text, NULL, "%s%s", verdict->told > 0 ? "; " : "", error_message(error));
    verdict->told++;
    free(verdict->last_cause);
    verdict->last_cause = strdup(error_message(cause));
    if (verdict->first == NULL)
        verdict->first = error;
    else
        error_free(error);
}

struct error *verdict_finish(struct verdict *verdict)
{
    struct error *error = NULL;
    verdict_close_cause(verdict);
    if (verdict->untold > 0)
        (void)buffer_printf(&verdict->text, NULL, "; and %zu more objects failed", verdict->untold);
    if (verdict->first != NULL)
        error_set(&error, error_code(verdict->first), "%s", buffer_str(&verdict->text));
    error_free(verdict->first);
    free(verdict->last_cause);
    buffer_finish(&verdict->text);
    *verdict = (struct verdict){0};
    return error;
}
