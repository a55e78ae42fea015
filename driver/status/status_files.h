/*
 * status_files.h - writes mounted volumes to JSON files in a directory, for nodes without the Kubernetes API:
 * a volume observer (volume_observer.h).
 *
 * One file per volume (status_file_name.h) has the same object as in the API (pod_status_object.h). A file is
 * replaced as a whole (rename), written when content or outcome change, and removed with its volume. Files of
 * volumes that went away while no driver ran are removed at the next start.
 *
 * Nothing in it is secret; the directory's mode decides who may read it. No mount requires it.
 */
#ifndef DRIVER_STATUS_STATUS_FILES_H
#define DRIVER_STATUS_STATUS_FILES_H

#include <uv.h>

#include "common/base/log.h"
#include "driver/status/volume_observer.h"

enum {
    STATUS_FILES_MAX = 10000, /* files that are examined when the driver starts */
};

struct status_files;

/* Makes the directory (0755) if need be, and removes stale files; blocks. `log` is borrowed and may be NULL.
 * */
struct status_files *status_files_create(uv_loop_t *loop, const char *directory, const char *node,
                                         struct log *log, struct error **err);

/* The interface; `files` must outlive its use. */
struct volume_observer status_files_observer(struct status_files *files);

/* No call may be running; the loop ends the writes that are running. Accepts NULL. */
void status_files_destroy(struct status_files *files);

#endif
