/*
 * payload_in_place.h - files without `..data` that are rewritten in place: the second layout of payload.h.
 *
 * Internal to the payload module; its users call payload_write() with `in_place`.
 *
 * The mark PAYLOAD_IN_PLACE_ATTRIBUTE of the root names the writing that the files are of. While files are
 * rewritten it is PAYLOAD_IN_PLACE_WRITING, and what is there may be torn: a write that was cut short leaves
 * that, and also a conversion that was, with some files still behind their links into `..data`. A `..data`
 * beside another mark counts more than the mark: that volume has been converted back.
 */
#ifndef DRIVER_PAYLOAD_PAYLOAD_IN_PLACE_H
#define DRIVER_PAYLOAD_PAYLOAD_IN_PLACE_H

#include "driver/payload/payload.h"
#include "driver/payload/payload_version.h"

#define PAYLOAD_IN_PLACE_ATTRIBUTE "trusted.secrets-store.in-place"
#define PAYLOAD_IN_PLACE_WRITING   "writing"

/* New files wait here until everything that needs space is done. */
#define PAYLOAD_FILES_NEXT "..files_tmp"

/* As payload_write(), also of an empty directory. */
int payload_in_place_write(int root_fd, const struct payload *payload,
                           const struct payload_write_options *options, bool *ret_changed,
                           struct error **err);

/* The mark of a complete writing, another one each time; "" when there is none or it is being written. */
struct payload_version_name payload_in_place_version(int root_fd);

/* Files are being written or converted, or that was cut short. */
bool payload_in_place_is_writing(int root_fd);

/* Removes the mark. */
void payload_in_place_clear(int root_fd);

#endif
