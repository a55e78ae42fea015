/*
 * assembly.h - from what was read to the answer of a mount: converts the objects one by one, checks all paths
 * together, hands out files and versions, or tells all that failed.
 *
 * Some conversions take milliseconds (the key derivations of a PFX). So the work is done in steps, between
 * which the loop serves others.
 */
#ifndef PROVIDER_AZURE_MOUNT_RESPONSE_H
#define PROVIDER_AZURE_MOUNT_RESPONSE_H

#include "provider-azure/content/content.h"
#include "provider-azure/vault/fetch.h"

/* Where the result goes. Files in item order. */
struct mount_sink {
    int (*add_file)(void *arg, const char *path, mode_t mode, const void *bytes, size_t len,
                    struct error **err);
    /* An id that was given before gets the new version: two items may name the same object. */
    int (*add_version)(void *arg, const char *id, const char *version, struct error **err);
};

struct assembly;

/* Takes the outputs as they are now: what has not been read yet counts as failed. `fetch` and `options` are
 * borrowed until the end. */
struct assembly *assembly_create(const struct fetch *fetch, const struct content_options *options,
                                 struct error **err);

/* Converts up to and including the next costly object. True when nothing is left to convert. */
bool assembly_step(struct assembly *assembly);

/* Converts nothing more. If everything was converted and no object failed, all goes to the sink and the
 * result is 0; otherwise nothing does, and *err tells all failures. */
int assembly_finish(struct assembly *assembly, const struct mount_sink *sink, void *arg, struct error **err);

void assembly_destroy(struct assembly *assembly); /* accepts NULL */

#endif
