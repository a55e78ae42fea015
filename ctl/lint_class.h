/*
 * lint_class.h - one SecretProviderClass: the driver's decoder and rules, and the provider's findings about
 * the parameters.
 */
#ifndef CTL_LINT_CLASS_H
#define CTL_LINT_CLASS_H

#include "ctl/lint_context.h"

/* -1 only without memory. */
int lint_class(const struct lint_document *document, const struct yaml_node *object, struct error **err);

#endif
