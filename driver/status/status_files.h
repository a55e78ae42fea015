/*
 * status_files.h - records mounted volumes as JSON files in a directory, for nodes without the Kubernetes
 * API: an observer (volume_observer.h).
 *
 * One file per volume, "<pod uid>_<volume name>.json" (for target paths that are not the kubelet's,
 * "path-<32 digits of the path's SHA-256>.json"), with the same object as in the API (pod_status_object.h). A
 * file is replaced as a whole (rename), written when content or outcome change, and removed with its volume.
 * Files of volumes that went away while no driver ran are removed at the next start.
 *
 * Nothing in it is secret; who may read it decides the directory's mode. No record is needed for a mount.
 */
#ifndef DRIVER_STATUS_FILES_H
#define DRIVER_STATUS_FILES_H

#include <uv.h>

#include "common/base/log.h"
#include "driver/status/volume_observer.h"

enum {
    STATUS_FILE_MAX = 4 << 20, /* bytes of a file that is looked at: versions of all objects of a volume */
    STATUS_FILES_MAX = 10000,  /* files that are looked at when the driver starts */
};

struct status_files;

/* Makes the directory (0755) if need be, and sweeps it; blocks. `log` is borrowed and may be NULL. */
struct status_files *status_files_create(uv_loop_t *loop, const char *directory, const char *node,
                                         struct log *log, struct error **err);

/* Fills in the interface. */
struct volume_observer status_files_observer(struct status_files *files);

/* The file of a volume, below the directory. The caller frees; NULL with err set. */
char *status_file_name(const char *target_path, struct error **err);

/* The target path that the text of such a file names, or NULL. The caller frees. */
char *status_file_target(const char *text, size_t len);

/* No record may be waited for; writes on their way are brought to an end by the loop. Accepts NULL. */
void status_files_destroy(struct status_files *files);

#endif
