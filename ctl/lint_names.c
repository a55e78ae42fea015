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
    struct lint_name *grown = reallocarray(*list, *n + 1, sizeof(*grown));

    if (grown == NULL)
        return error_no_memory(err, NULL);
    *list = grown;
    grown[*n] = *name;
    grown[*n].ns = strdup(name->ns);
    grown[*n].name = strdup(name->name);
    (*n)++; /* finished in any case */
    return grown[*n - 1].ns == NULL || grown[*n - 1].name == NULL ? error_no_memory(err, NULL) : 0;
}

int lint_names_add_class(struct lint_names *names, const char *ns, const char *name, struct error **err)
{
    return add(&names->classes, &names->n_classes,
               &(struct lint_name){.ns = (char *)(uintptr_t)ns, .name = (char *)(uintptr_t)name}, err);
}

int lint_names_add_reference(struct lint_names *names, const char *ns, const char *name, const char *file,
                             struct text_place place, struct error **err)
{
    return add(
        &names->references, &names->n_references,
        &(struct lint_name){
            .ns = (char *)(uintptr_t)ns, .name = (char *)(uintptr_t)name, .file = file, .place = place},
        err);
}

/* Objects without a namespace go where kubectl is told to. */
static bool may_be_one_namespace(const struct lint_name *one, const struct lint_name *other)
{
    return one->ns[0] == '\0' || other->ns[0] == '\0' || strcmp(one->ns, other->ns) == 0;
}

static void check(const struct lint_names *names, const struct lint_name *reference, struct findings *report)
{
    const char *similar = NULL;

    for (size_t i = 0; i < names->n_classes; i++) {
        const struct lint_name *class = &names->classes[i];
        const char *const known[] = {class->name};
        if (!may_be_one_namespace(class, reference))
            continue;
        if (strcmp(class->name, reference->name) == 0)
            return;
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
    }
    free(list);
}

void lint_names_finish(struct lint_names *names)
{
    finish(names->classes, names->n_classes);
    finish(names->references, names->n_references);
    *names = (struct lint_names){0};
}
