/*
 * lint_volume.h - CSI volumes of pods, of templates of pods, and of anything else that has them.
 */
#ifndef CTL_LINT_VOLUME_H
#define CTL_LINT_VOLUME_H

#include "ctl/lint_context.h"

/* Checks every mapping `csi` of the driver in an object, wherever it is. `ns` is the object's namespace. -1
 * only without memory. */
int lint_volumes(const struct lint_document *document, const struct yaml_node *object, const char *ns,
                 struct error **err);

#endif
