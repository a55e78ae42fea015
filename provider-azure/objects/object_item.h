/*
 * object_item.h - one item of the `objects` parameter: an object, or a selection of objects, and its files.
 */
#ifndef PROVIDER_AZURE_OBJECTS_OBJECT_ITEM_H
#define PROVIDER_AZURE_OBJECTS_OBJECT_ITEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/error.h"
#include "common/lint/field_names.h"
#include "provider-azure/objects/object_select.h"

/* The YAML text of an item. */
enum { OBJECT_ITEM_MAX_BYTES = 1024 * 1024 };

/* Of texts that are no YAML and have "{{" in them. */
#define OBJECTS_TEMPLATE_HINT "there is {{ in it: templates have to be rendered before the class is applied"

enum object_type { OBJECT_SECRET, OBJECT_KEY, OBJECT_CERT };
enum object_format { OBJECT_PEM, OBJECT_PFX };
enum object_encoding { OBJECT_UTF8, OBJECT_BASE64, OBJECT_HEX };
enum object_split { OBJECT_WHOLE, OBJECT_SPLIT_JSON };

struct object_item {
    char *name;         /* for a selection: its pattern */
    char *type_text;    /* as written, trimmed; for messages */
    char *version_text; /* as written, trimmed; for messages */
    char *path; /* alias or name: where the file goes; for a history, or a split one, the directory of the
                   files; for a selection the alias, see object_select_path() */
    enum object_type type;
    const char *version; /* points into version_text; "" = latest */
    int32_t history;     /* as written; > 1: versions go to <path>/0, <path>/1, ... */
    size_t versions;     /* how many at most, then */
    enum object_format format;
    enum object_encoding encoding;
    enum object_split split;
    bool certificate; /* the secret is that of a certificate, although Key Vault does not say so */
    char *key;        /* path of one value in the secret's JSON or YAML; "" or NULL = all of it */
    bool hidden;      /* only for composed files: makes no file itself */
    bool optional;    /* that it is not there, or disabled, is no error */
    /* Its vault, where it names one, and its fallback vaults: vault_set.h checks them. "" or NULL: none */
    char *vault_name;
    char *vault_url;
    char *fallback_vaults;
    mode_t mode;
    struct object_select *select; /* stands for all objects this chooses; NULL: for the one called `name` */
};

/* How the number of versions is counted (class parameter objectVersionHistoryExact).
 *
 * Users of objectVersionHistory: N get N+1 files where there are more than N versions: the provider this one
 * replaces counts so, in spite of its documentation ("N versions"). Volumes and synced Secrets refer to those
 * files (`<path>/N` is the oldest), so this is the default here, too; a class with
 * objectVersionHistoryExact gets N. */
enum history_count { HISTORY_ONE_MORE, HISTORY_EXACT };

struct object_defaults {
    mode_t mode; /* for items without filePermission */
    enum history_count history;
    struct findings *findings; /* gets what is probably not meant, and may take errors; NULL: nobody asks */
    struct field_names class_parameters; /* which are in the wrong place in an item */
};

/* All fields of an item of an object. */
extern const struct field_names object_item_fields;

/* Reads and checks one item, number `index` of the list. INVALID_ARGUMENT: "unmarshal failed for
 * keyVaultObjects at index I, error: ...", "failed to get objectType:T, objectName:N, objectVersion:V: ...".
 * The caller finishes *ret_item in any case. */
int object_item_parse(const char *text, size_t index, const struct object_defaults *defaults,
                      struct object_item *ret_item, struct error **err);

/* Makes the item of one object that `item`, a selection, has chosen. INVALID_ARGUMENT when the object's name
 * makes no valid path. */
int object_item_select(const struct object_item *item, const char *name, struct object_item *ret_item,
                       struct error **err);

/* Puts "failed to get objectType:T, objectName:N, objectVersion:V" in front of *err. Returns -1. */
int object_item_wrap_error(const struct object_item *item, struct error **err);

/* The mode of "" (the default), or of octal digits up to 0777. INVALID_ARGUMENT. */
int object_permission_parse(const char *text, mode_t default_mode, mode_t *ret, struct error **err);

/* Frees what the item holds. */
void object_item_finish(struct object_item *item);

/* "secret", "key", "cert". */
const char *object_type_name(enum object_type type);

#endif
