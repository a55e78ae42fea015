/*
 * volume_ref.h - the volume that a command is about: its id and its target path.
 */
#ifndef CTL_VOLUME_REF_H
#define CTL_VOLUME_REF_H

#include <limits.h>

#include "common/base/error.h"
#include "ctl/command.h"

struct volume_ref {
    char id[PATH_MAX];
    char target[PATH_MAX];
};

/* Fills id and target from --volume-id and --target, or else computes them as a kubelet does, from --pod-uid,
 * --volume and --kubelet-dir. INVALID_ARGUMENT if a flag is missing or too long. */
int volume_ref_resolve(struct volume_ref *volume, const struct ctl_options *options, struct error **err);

/* Creates the directories above a computed target below --kubelet-dir (itself below --host-root), as a
 * kubelet does (mode 0750). Does nothing with --target. */
int volume_ref_make_parents(const struct volume_ref *volume, const struct ctl_options *options,
                            struct error **err);

/* Removes these directories as far as they are empty. "<kubelet-dir>/pods" stays: other pods share it. */
void volume_ref_remove_parents(const struct volume_ref *volume, const struct ctl_options *options);

#endif
