/*
 * volume_steps.h - the steps that publishing a payload and preparing a volume for its provider share.
 *
 * Internal to the volume module.
 */
#ifndef DRIVER_VOLUME_VOLUME_STEPS_H
#define DRIVER_VOLUME_VOLUME_STEPS_H

#include <stdbool.h>

#include "driver/volume/volume.h"
#include "driver/volume/volume_mount.h"
#include "driver/volume/volume_target.h"

enum volume_condition volume_condition_of(const struct volume_target *target);

/* FAILED_PRECONDITION: a link, a file or another mount is there. */
int volume_refuse_foreign(const struct volume_target *target, struct error **err);

/* The directory of an ABSENT or UNMOUNTED target, made if need be (*ret_made). FAILED_PRECONDITION when it
 * holds files and its path is not the kubelet's, INTERNAL. */
int volume_make_target(struct volume_target *target, bool *ret_made, struct error **err);

/* Write access to an attached TMPFS, by the first of the methods that works here (*ret_method). */
int volume_open_writable(struct mount_methods methods, const struct volume_target *target,
                         struct volume_writable *ret, enum mount_method *ret_method, struct error **err);

#endif
