/*
 * composed_item.h - an item of the `objects` parameter that makes a file out of other items.
 *
 *     format: env                          template: |
 *     items:                                 postgres://app:$(db-password)@db
 *       DB_PASSWORD: db-password           objectAlias: url
 *     objectAlias: db.env
 *
 *     format: pkcs12                       format: pkcs12-truststore
 *     certificate: web                     items:
 *     password: web-password                 corp-root: root-ca
 *     objectAlias: web.p12                 password: web-password
 *                                          objectAlias: trust.p12
 *
 * A reference names the file of another item, by its path in the volume:
 *
 *     NAME [#PATH] [@version] [|FUNCTION ...]
 *
 * #PATH takes one value out of it (value_path.h), @version is the object's version instead of its
 * value, and each function changes the result of what is in front of it: base64, trim, json.
 */
#ifndef PROVIDER_AZURE_OBJECTS_COMPOSED_ITEM_H
#define PROVIDER_AZURE_OBJECTS_COMPOSED_ITEM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/base/error.h"
#include "provider-azure/objects/object_item.h"

enum { REFERENCE_MAX = 2048, REFERENCE_FUNCTIONS_MAX = 4, COMPOSED_ENTRIES_MAX = 1000 };

enum composed_format {
    COMPOSED_TEMPLATE,
    COMPOSED_ENV,        /* sh, and EnvironmentFile= of systemd */
    COMPOSED_DOCKER_ENV, /* --env-file of docker and podman */
    COMPOSED_PROPERTIES, /* java.util.Properties */
    COMPOSED_JSON,
    COMPOSED_YAML,
    COMPOSED_PKCS12,      /* a private key with its certificates */
    COMPOSED_TRUST_STORE, /* trusted certificates as PKCS#12 */
};

enum reference_function { REFERENCE_BASE64, REFERENCE_TRIM, REFERENCE_JSON };

struct reference {
    char *name; /* path of the file that is meant */
    char *path; /* in its value; NULL: the whole */
    bool version;
    enum reference_function functions[REFERENCE_FUNCTIONS_MAX];
    size_t n_functions;
};

/* Reads a reference of `len` bytes. INVALID_ARGUMENT. The caller finishes *ret in any case. */
int reference_parse(const char *text, size_t len, struct reference *ret, struct error **err);
void reference_finish(struct reference *reference);
#define cleanup_reference CLEANUP(reference_finish)

struct composed_entry {
    char *key;
    struct reference reference;
};

/* Of a PKCS#12 file; name is NULL in a reference that is not given. */
struct composed_pkcs12 {
    struct reference certificate;          /* only without trust */
    struct reference certificate_password; /* that opens it */
    struct reference password;
    char *friendly_name; /* "": the certificate's name */
    bool legacy;         /* the profile for old readers */
};

struct composed_item {
    char *path;
    mode_t mode;
    enum composed_format format;
    char *template;                 /* COMPOSED_TEMPLATE; otherwise: */
    struct composed_entry *entries; /* in their order; none: all other files, each by its path */
    size_t n_entries;
    struct composed_pkcs12 pkcs12;
};

/* Could the YAML text of an item be that of a composed one? False for all others that people have. */
bool composed_item_is(const char *text);

/* Reads and checks an item, number `index` of the list. *ret_composed is false when it has neither `format`
 * nor `template`, and nothing is read then. INVALID_ARGUMENT. The caller finishes *ret in any case. */
int composed_item_parse(const char *text, size_t index, const struct object_defaults *defaults,
                        struct composed_item *ret, bool *ret_composed, struct error **err);

/* Frees what the item holds. */
void composed_item_finish(struct composed_item *item);

#endif
