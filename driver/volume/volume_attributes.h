/*
 * volume_attributes.h - what a volume remembers of itself: extended attributes of its root directory.
 *
 * Internal to the volume module; see "what a volume remembers" in volume.h. The mark of its owner is in
 * volume_owner.h.
 */
#ifndef DRIVER_VOLUME_VOLUME_ATTRIBUTES_H
#define DRIVER_VOLUME_VOLUME_ATTRIBUTES_H

#include <stdbool.h>
#include <stdint.h>

#include "driver/volume/volume.h"

/* The provider has written the files, and the driver has taken them as the content of the volume. */
#define VOLUME_WRITER_ATTRIBUTE "trusted.secrets-store.written-by-provider"

/* Writes `last_checked_unix` and `metadata` of the options to the root behind `fd` (may be O_PATH). Returns 0
 * or the error number. */
int volume_attributes_write(int fd, const struct volume_options *options);

/* 0 when there is none, or when it cannot be read. */
uint64_t volume_attributes_last_checked(int fd);

/* NULL when there is none, or when it cannot be read. Freed by the caller. */
char *volume_attributes_metadata(int fd);

/* The mark VOLUME_WRITER_ATTRIBUTE. Setting returns 0 or the error number. */
bool volume_attributes_written(int fd);
int volume_attributes_set_written(int fd);
void volume_attributes_clear_written(int fd);

#endif
