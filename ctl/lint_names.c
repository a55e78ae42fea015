/*
 * lint_names.c - references of volumes to classes.
 */
#include "ctl/lint_names.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/lint/similar_name.h"

static const struct lint_rule rule = {"misspelled-class", FINDING_WARNING};

static int add(struct lint_name **list, size_t *n, const struct lint_name *name, struct error **err)
{
    if ((*n & (*n - 1)) == 0) { /* the list grows whenever n is a power of two */
        struct lint_name *grown = reallocarray(*list, *n > 0 ? *n * 2 : 1, sizeof(*grown));
        if (grown == NULL)
            return error_no_memory(err, NULL);
        *list = grown;
    }
    struct lint_name *copy = &(*list)[(*n)++]; /* finished in any case */
    *copy = *name;
    copy->ns = strdup(name->ns);
    copy->name = strdup(name->name);
    copy->without_secret = name->without_secret != NULL ? strdup(name->without_secret) : NULL;
    return copy->ns == NULL || copy->name == NULL ||
                   (copy->without_secret == NULL) != (name->without_secret == NULL)
               ? error_no_memory(err, NULL)
               : 0;
}

/* The struct owns its texts in the lists alone. */
static char *borrow(const char *text)
{
    return (char *)(uintptr_t)text;
}

int lint_names_add_class(struct lint_names *names, const char *ns, const char *name,
                         const char *without_secret, struct error **err)
{
    const struct lint_name class = {
        .ns = borrow(ns), .name = borrow(name), .without_secret = borrow(without_secret)};

    return add(&names->classes, &names->n_classes, &class, err);
}

int lint_names_add_reference(struct lint_names *names, const struct lint_name *reference, struct error **err)
{
    return add(&names->references, &names->n_references, reference, err);
}

/* Objects without a namespace go into the one that kubectl uses. */
static bool may_be_one_namespace(const struct lint_name *one, const struct lint_name *other)
{
    return one->ns[0] == '\0' || other->ns[0] == '\0' || strcmp(one->ns, other->ns) == 0;
}

static void check_secret(const struct lint_name *class, const struct lint_name *reference,
                         struct findings *report)
{
    if (class->without_secret == NULL || reference->has_secret)
        return;
    findings_enter(report, reference->file, TEXT_FRAME_WHOLE);
    findings_add(report, &lint_rule_refused, reference->place, "%s", class->without_secret);
}

static void check(const struct lint_names *names, const struct lint_name *reference, struct findings *report)
{
    const char *similar = NULL;

    for (size_t i = 0; i < names->n_classes; i++) {
        const struct lint_name *class = &names->classes[i];
        const char *const known[] = {class->name};
        if (!may_be_one_namespace(class, reference))
            continue;
        if (strcmp(class->name, reference->name) == 0) {
            check_secret(class, reference, report);
            return;
        }
        if (similar == NULL)
            similar = similar_name(reference->name, known, 1);
    }
    if (similar == NULL)
        return;
    findings_enter(report, reference->file, TEXT_FRAME_WHOLE);
    findings_add(report, &rule, reference->place, "no class is named %s here, %s is", reference->name,
                 similar);
}

void lint_names_check(const struct lint_names *names, struct findings *report)
{
    for (size_t i = 0; i < names->n_references; i++)
        check(names, &names->references[i], report);
}

static void finish(struct lint_name *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(list[i].ns);
        free(list[i].name);
        free(list[i].without_secret);
    }
    free(list);
}

void lint_names_finish(struct lint_names *names)
{
    finish(names->classes, names->n_classes);
    finish(names->references, names->n_references);
    *names = (struct lint_names){0};
}
