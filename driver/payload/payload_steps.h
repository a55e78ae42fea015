/*
 * payload_steps.h - what both ways of writing a payload have in common (payload_write.c, payload_in_place.c).
 *
 * Internal to the payload module.
 */
#ifndef DRIVER_PAYLOAD_PAYLOAD_STEPS_H
#define DRIVER_PAYLOAD_PAYLOAD_STEPS_H

#include "driver/payload/payload.h"

/* What is written, and where. Everything is borrowed. */
struct payload_target {
    int root_fd;
    const struct payload *payload; /* sealed */
    gid_t gid;
};

/* Sets err for a failed step, "<what> '<name>'", and returns -1. RESOURCE_EXHAUSTED with the sizes when the
 * file system is full, RESOURCE_EXHAUSTED without memory, INTERNAL otherwise. */
int payload_step_fail(const struct payload_target *target, int errnum, const char *what, const char *name,
                      struct error **err);

/* Makes the file below dir_fd, with its directories, group and mode; nothing may be there yet. */
int payload_step_write_file(const struct payload_target *target, int dir_fd, const struct payload_file *file,
                            struct error **err);

#endif
