/*
 * volume_metadata.h - what a volume remembers of its last rotation check, beside the time: after a restart
 * the driver knows again what it has sent to the provider and received from it.
 *
 * The metadata is a JSON object in the attribute VOLUME_METADATA_ATTRIBUTE of the volume's root (volume.h),
 * so it lives and dies with the volume:
 *
 *     {"provider":"azure","class":"<class_rotation.h, the hash>","versions":{"secret/a":"1"}}
 *
 * It holds names and versions, never contents. A volume without it (of another driver), or with one that
 * cannot be read, is an ordinary volume of which nothing is known. Pure functions.
 */
#ifndef DRIVER_ROTATION_VOLUME_METADATA_H
#define DRIVER_ROTATION_VOLUME_METADATA_H

#include "common/base/error.h"
#include "common/base/string_map.h"
#include "driver/rotation/rotation.h"

enum {
    /* Bytes of the text: what an attribute may hold. Versions that do not fit are left out. */
    VOLUME_METADATA_MAX = 60 * 1024,
};

struct volume_metadata {
    char *provider;                             /* owned; NULL = not known */
    char spec_hash[ROTATION_SPEC_HASH_LEN + 1]; /* "" = not known */
    struct string_map versions;                 /* object id -> version */
};

void volume_metadata_finish(struct volume_metadata *metadata);
#define cleanup_volume_metadata CLEANUP(volume_metadata_finish)

/* The text; the caller frees with secret_free(). NULL with err set: RESOURCE_EXHAUSTED, INVALID_ARGUMENT (a
 * name or version is not UTF-8). */
char *volume_metadata_print(const char *provider, const char *spec_hash, const struct string_map *versions,
                            struct error **err);

/* *ret is filled on success and untouched on failure (INVALID_ARGUMENT). Unknown members are ignored. */
int volume_metadata_parse(const char *text, size_t len, struct volume_metadata *ret, struct error **err);

#endif
