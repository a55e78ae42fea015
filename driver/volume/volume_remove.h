/*
 * volume_remove.h - removing a directory together with what is mounted on it, in one step.
 *
 * A provider that writes its files itself may still do so when its volume is removed: the call was cancelled,
 * but not the work. Between an unmount and the removal of the directory it would write to the disk. rmdir(2)
 * refuses a mount point, but only one of the caller's own mount namespace; on those of others it detaches
 * all mounts (Linux 3.18). So a thread with a mount namespace of its own, in which the mount is detached
 * already, removes the directory.
 *
 * Internal to the volume module.
 */
#ifndef DRIVER_VOLUME_VOLUME_REMOVE_H
#define DRIVER_VOLUME_VOLUME_REMOVE_H

#include "driver/volume/volume_target.h"

/* Of a TMPFS that is the only mount there. Returns 0, or -1 with errno: nothing has changed then (EBUSY: it
 * is mounted in another place, too; ENOTEMPTY: files lie below the mount; EPERM: no namespaces here). */
int volume_remove_mounted(const struct volume_target *target);

#endif
