/*
 * unknown_parameters.c - findings and hints about misspelled parameters.
 */
#include "provider-azure/unknown_parameters.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/buffer.h"
#include "common/base/utf8.h"
#include "common/lint/similar_name.h"
#include "provider-azure/objects/object_item.h"

/* Of the hint: a class may have thousands of parameters. */
enum { NAMED_MAX = 10, TEXT_MAX = 4096 };

static const struct lint_rule rule = {"unknown-parameter", FINDING_WARNING};

/* What is meant. A class that says only "identity" is not to begin with usePodIdentity, the nearest name, which
 * is deprecated. */
static const char *suggest(const char *name, const struct field_names *known)
{
    if (strcasecmp(name, "identity") == 0)
        return "clientID (workload identity) or userAssignedIdentityID (with useVMManagedIdentity)";
    return similar_field(name, known->names, known->n);
}

/* Adds a name that is nearly known to the hint. */
static int add_hint(const char *name, const struct field_names *known, struct buffer *hint,
                    struct error **err)
{
    char quoted[SIMILAR_NAME_MAX + 1];
    const char *similar = suggest(name, known);

    if (similar == NULL)
        return 0;
    utf8_quote_visibly(quoted, sizeof(quoted), name);
    return buffer_printf(hint, err, "%sparameter %s is not known, %s is", hint->len > 0 ? "; " : "", quoted,
                         similar);
}

int unknown_parameters_check(const struct string_map *attributes, const struct field_names *known,
                             struct findings *findings, char **ret_hint, struct error **err)
{
    const struct known_fields fields = {.where = "spec.parameters",
                                        .here = *known,
                                        .elsewhere = "an item of objects",
                                        .others = object_item_fields,
                                        .rule = &rule,
                                        .suggest = suggest};
    cleanup_buffer struct buffer hint = {0};
    size_t n = 0;

    buffer_init(&hint, TEXT_MAX);
    *ret_hint = NULL;
    for (size_t i = 0; i < attributes->n; i++) {
        const char *name = attributes->entries[i].key;
        if (strchr(name, '/') != NULL || field_names_has(known, name))
            continue;
        findings_enter(findings, name, TEXT_FRAME_WHOLE);
        field_names_unknown(name, &fields, (struct text_place){0}, findings);
        if (n++ < NAMED_MAX && add_hint(name, known, &hint, err) < 0)
            return -1;
    }
    if (hint.len == 0)
        return 0;
    *ret_hint = strdup(buffer_str(&hint));
    return *ret_hint == NULL ? error_no_memory(err, NULL) : 0;
}

int unknown_parameters_append(struct error **err, const char *hint)
{
    return hint != NULL && err != NULL && *err != NULL ? error_hint(err, "%s", hint) : -1;
}
