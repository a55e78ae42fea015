/*
 * pod_status_written.h - what a status object says since its last write, in few bytes: the digest of it,
 * and what makes it again.
 *
 * The names of its volume are kept elsewhere, once for all components (volume_names.h), and the versions of
 * its objects are shared (version_set.h). Pure: no loop, no requests.
 */
#ifndef DRIVER_STATUS_POD_STATUS_WRITTEN_H
#define DRIVER_STATUS_POD_STATUS_WRITTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "driver/rotation/version_set.h"
#include "driver/status/pod_status_object.h"

enum {
    POD_STATUS_VERSION_SIZE = 21, /* a resourceVersion of 64 bits, with its NUL */
    POD_STATUS_ERROR_RENEWAL_S = 600,
};

/* The failure that an object shows. */
struct pod_status_failure;

/* {0}: nothing is known. */
struct pod_status_written {
    struct version_set *versions;       /* a reference; NULL = none */
    struct pod_status_failure *failure; /* owned; NULL when all is well */
    uint64_t version;                   /* resourceVersion; 0 = not known */
    uint64_t digest;       /* begin of the digest of what it says, if `is_known`: enough to tell two apart */
    uint32_t checked_unix; /* until 2106 */
    bool is_known;
    bool has_last;       /* there was a write, */
    bool versions_known; /* with versions */
};

/* After a write of `desired`, whose versions move in. `resource_version`: of the object since then. Lack of
 * memory only means that an error's text is written again. */
void pod_status_written_set(struct pod_status_written *written, struct desired_pod_status *desired,
                            const char *resource_version);

/* Whatever changes the object from now on, it has to be read first. */
void pod_status_written_forget(struct pod_status_written *written);

/* Does the object say what is desired, as far as it is known? */
bool pod_status_written_matches(const struct pod_status_written *written,
                                const struct desired_pod_status *desired);

/* Is the error that the object shows old enough for another text? */
bool pod_status_written_error_is_old(const struct pod_status_written *written,
                                     const struct desired_pod_status *desired);

/* The resourceVersion as the API has it; NULL when it is not known. */
const char *pod_status_written_version(const struct pod_status_written *written,
                                       char buffer[POD_STATUS_VERSION_SIZE]);

/* What the object should say according to the last write; NULL: there was none, or no memory. */
struct desired_pod_status *pod_status_written_desire(const struct pod_status_written *written,
                                                     struct version_sets *sets,
                                                     const struct volume_names *names, const char *node_label,
                                                     int64_t now_unix);

/* `sets`: those of the statuses that were written. */
void pod_status_written_finish(struct pod_status_written *written, struct version_sets *sets);

#endif
