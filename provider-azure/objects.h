/*
 * objects.h - the `objects` parameter: YAML text that lists what to mount, each item YAML text of its own.
 */
#ifndef PROVIDER_AZURE_OBJECTS_H
#define PROVIDER_AZURE_OBJECTS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/error.h"
#include "common/log.h"

/* Bounds on what one SecretProviderClass may ask for. etcd keeps objects below 1.5 MiB, so real ones are far
 * smaller. */
enum {
    OBJECTS_MAX_BYTES = 1024 * 1024,
    OBJECTS_MAX_ITEMS = 1000,
    OBJECT_PATH_MAX = 4096, /* the driver's limits */
    OBJECT_ELEMENT_MAX = 255,
};

enum object_type { OBJECT_SECRET, OBJECT_KEY, OBJECT_CERT };
enum object_format { OBJECT_PEM, OBJECT_PFX };
enum object_encoding { OBJECT_UTF8, OBJECT_BASE64, OBJECT_HEX };

struct object_item {
    char *name;
    char *type_text;    /* as written, trimmed; for messages */
    char *version_text; /* as written, trimmed; for messages */
    char *path;         /* alias or name: where the file goes; for a history the directory of the files */
    enum object_type type;
    const char *version; /* points into version_text; "" = latest */
    int32_t history;     /* > 1: that many versions as <path>/0, <path>/1, ... */
    enum object_format format;
    enum object_encoding encoding;
    mode_t mode;
};

struct object_list {
    struct object_item *items;
    size_t n;
};

/* Parses and validates everything, items in order; no item is looked at twice. `default_mode` is for items
 * without filePermission. Unknown fields are reported to `log` (may be NULL) as warnings and otherwise
 * ignored. Errors are INVALID_ARGUMENT: "failed to yaml unmarshal objects, error: ...", "unmarshal failed for
 * keyVaultObjects at index I, error: ...", "failed to get objectType:T, objectName:N, objectVersion:V: ...".
 * An empty array gives n == 0. */
int objects_parse(const char *text, mode_t default_mode, struct log *log, struct object_list *ret_list,
                  struct error **err);
void object_list_finish(struct object_list *list);

/* "secret", "key", "cert". */
const char *object_type_name(enum object_type type);

/* Puts "failed to get objectType:T, objectName:N, objectVersion:V" in front of *err. Returns -1. */
int object_wrap_error(const struct object_item *item, struct error **err);

/* The rules for one file path: relative, no "..", clean, bounded. The message does not repeat the path. */
int object_path_check(const char *path, struct error **err);

/* Refuses equal paths and paths that lie below another one. `paths` is reordered. INVALID_ARGUMENT naming
 * both objects. */
struct object_path {
    const char *path;
    const char *object; /* name of the object, for the message */
};
int object_paths_check(struct object_path *paths, size_t n, struct error **err);

#endif
