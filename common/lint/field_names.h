/*
 * field_names.h - fields that are not known where they stand: misspelled, or in the wrong place.
 */
#ifndef COMMON_LINT_FIELD_NAMES_H
#define COMMON_LINT_FIELD_NAMES_H

#include <stdbool.h>

#include "common/base/yaml.h"
#include "common/lint/findings.h"

/* Names that belong together. All borrowed. */
struct field_names {
    const char *const *names;
    size_t n;
};

/* All borrowed. */
struct known_fields {
    const char *where;            /* for messages: "spec" */
    struct field_names here;      /* known in this place */
    const char *elsewhere;        /* the place of the others: "spec.parameters" */
    struct field_names others;    /* known there, and of no effect here */
    const struct lint_rule *rule; /* of a name that is not known at all; NULL: unknown-field */
    /* What is meant by a name that is not known; NULL if nothing is alike. NULL: similar_field(). */
    const char *(*suggest)(const char *name, const struct field_names *known);
};

/* Adds a finding for each key of the mapping (may be NULL) that is not known here. Merge keys are. */
void field_names_check(const struct yaml_node *mapping, const struct known_fields *known,
                       struct findings *findings);

/* Adds the finding for one name, at `place`. */
void field_names_unknown(const char *name, const struct known_fields *known, struct text_place place,
                         struct findings *findings);

bool field_names_has(const struct field_names *names, const char *name);

#endif
