/*
 * field_names.c - names of fields and parameters that are not known.
 */
#include "common/lint/field_names.h"

#include <string.h>

#include "common/base/utf8.h"
#include "common/lint/similar_name.h"

static const struct lint_rule unknown_rule = {"unknown-field", FINDING_WARNING};
static const struct lint_rule misplaced_rule = {"misplaced-field", FINDING_WARNING};

bool field_names_has(const struct field_names *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++) {
        if (strcmp(names->names[i], name) == 0)
            return true;
    }
    return false;
}

void field_names_unknown(const char *name, const struct known_fields *known, struct text_place place,
                         struct findings *findings)
{
    char quoted[SIMILAR_NAME_MAX + 1];
    const char *similar = known->suggest != NULL ? known->suggest(name, &known->here)
                                                 : similar_field(name, known->here.names, known->here.n);
    const struct lint_rule *rule = known->rule != NULL ? known->rule : &unknown_rule;

    utf8_quote_visibly(quoted, sizeof(quoted), name);
    if (field_names_has(&known->others, name))
        findings_add(findings, &misplaced_rule, place, "%s belongs into %s, it has no effect in %s", quoted,
                     known->elsewhere, known->where);
    else if (similar != NULL)
        findings_add(findings, rule, place, "%s is not known in %s, %s is", quoted, known->where, similar);
    else
        findings_add(findings, rule, place, "%s is not known in %s, it has no effect", quoted, known->where);
}

void field_names_check(const struct yaml_node *mapping, const struct known_fields *known,
                       struct findings *findings)
{
    if (findings == NULL || mapping == NULL || mapping->kind != YAML_MAPPING)
        return;
    for (size_t i = 0; i < mapping->n; i++) {
        const struct yaml_node *key = mapping->keys[i];
        if (!yaml_is_merge(key) && !field_names_has(&known->here, key->text))
            field_names_unknown(key->text, known, (struct text_place){key->line, key->column}, findings);
    }
}
