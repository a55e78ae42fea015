/*
 * vault_store.h - the vaults with their policies and objects. Bodies of GET responses are made once, when an
 * object changes.
 */
#ifndef EMULATOR_VAULT_STORE_H
#define EMULATOR_VAULT_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#include "test/emulator/map.h"

enum { VAULT_VERSION_DIGITS = 32, VAULT_MAX_NAME = 127 };

/* The collections of a vault. A Managed HSM has keys only. */
enum vault_kind { KIND_SECRET, KIND_KEY, KIND_CERTIFICATE, KIND_COUNT };

/* "secrets", "keys", "certificates". */
const char *vault_kind_collection(enum vault_kind kind);
/* "secret", "key", "certificate". */
const char *vault_kind_noun(enum vault_kind kind);
/* KIND_COUNT for a name that is none of the collections (compared without case). */
enum vault_kind vault_kind_find(const char *collection);

enum permission { PERMISSION_GET = 1, PERMISSION_LIST = 2, PERMISSION_SET = 4 };

struct object_version {
    char version[VAULT_VERSION_DIGITS + 1];
    bool enabled;
    cJSON *json; /* what lists show of it: id (a key: kid), attributes, contentType, tags, managed, x5t */
    cJSON *more; /* what only a GET shows: value and kid, key, or cer and policy */
    char *body;  /* the response to a GET, ready to send */
    size_t body_len;
};

struct object {
    enum vault_kind kind;
    char *name;                       /* with the letter case it was created with */
    char *name_key;                   /* lower case */
    struct object_version **versions; /* sorted by version: the service does not list them by age */
    size_t n_versions;
    struct object_version *latest; /* the one created last */
};

struct collection {
    struct map by_name;     /* name_key -> struct object */
    struct object **listed; /* the same, sorted by name_key */
    size_t n_listed;
};

struct vault {
    char *name;      /* lower case */
    char *authority; /* "<name>.vault.localhost:PORT" */
    char *tenant;
    bool hsm;            /* a Managed HSM: another host and audience */
    bool rbac;           /* refusals look like role assignments instead of access policies */
    bool firewall;       /* refuses every caller */
    struct map policies; /* lower-case client id -> struct policy */
    struct collection collections[KIND_COUNT];
};

struct vault_store;
/* Ids of objects begin with "https://<vault>.vault.<domain>:<port>" or
 * "https://<hsm>.managedhsm.<domain>:<port>". `domain` is borrowed. */
struct vault_store *vault_store_create(const char *domain, unsigned port);
void vault_store_destroy(struct vault_store *store);

/* NULL when there is no such vault (name compared without case). */
struct vault *vault_find(const struct vault_store *store, const char *name);
/* Makes or changes a vault {tenant, rbac?, firewall?, hsm?}; what is not given stays. NULL, or what is
 * wrong. */
const char *vault_put(struct vault_store *store, const char *name, const cJSON *json);
bool vault_delete(struct vault_store *store, const char *name);

/* Sets the permissions {client_id, permissions: [...], secrets?: [...], keys?: [...], certificates?: [...]}:
 * `permissions` for every kind that is not given by itself. NULL, or what is wrong. */
const char *vault_put_policy(struct vault *vault, const cJSON *json);
unsigned vault_permissions(const struct vault *vault, const char *client_id, enum vault_kind kind);

bool vault_name_is_valid(const char *object_name);
struct object *vault_find_object(const struct vault *vault, enum vault_kind kind, const char *name);
struct object_version *vault_find_version(const struct object *object, const char *version);
/* Adds a version. All kinds: {tags?, enabled?, nbf?, exp?, created?, updated?, version?, managed?}; secrets:
 * {value, contentType?, kid?}; keys: {key: {kty, ...}}; certificates: see vault_certificate.c. NULL with
 * *ret_error set when the description is wrong. */
struct object_version *vault_put_object(struct vault *vault, enum vault_kind kind, const char *name,
                                        const cJSON *json, const char **ret_error);
/* Changes {enabled}, and `updated`. */
void vault_patch_version(struct object_version *version, const cJSON *json);
bool vault_delete_object(struct vault *vault, enum vault_kind kind, const char *name);

#endif
