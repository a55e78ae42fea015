/*
 * lint_names.h - the names of classes in all files, and the volumes' references to them.
 */
#ifndef CTL_LINT_NAMES_H
#define CTL_LINT_NAMES_H

#include "common/base/error.h"
#include "common/lint/findings.h"

struct lint_name {
    char *ns; /* "": the object names none */
    char *name;
    const char *file; /* borrowed */
    struct text_place place;
    char *without_secret; /* of a class: the error of a mount without nodePublishSecretRef; NULL: none */
    bool has_secret;      /* of a volume: it names one */
};

struct lint_names {
    struct lint_name *classes;
    size_t n_classes;
    struct lint_name *references;
    size_t n_references;
};

/* Copy texts; the `file` of a reference is borrowed as long as the names are. `without_secret` may be
 * NULL. */
int lint_names_add_class(struct lint_names *names, const char *ns, const char *name,
                         const char *without_secret, struct error **err);
int lint_names_add_reference(struct lint_names *names, const struct lint_name *reference, struct error **err);

/* Adds a finding for each reference that is nearly the name of a class, and that of none: other classes may
 * be in the cluster; and for each that has no Secret, to a class that needs one. */
void lint_names_check(const struct lint_names *names, struct findings *report);

void lint_names_finish(struct lint_names *names);

#endif
