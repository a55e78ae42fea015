/*
 * vault_store.h - the vaults with their policies and objects. Bodies of GET answers are made once, when an
 * object changes.
 */
#ifndef EMULATOR_VAULT_STORE_H
#define EMULATOR_VAULT_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#include "test/emulator/map.h"

enum { VAULT_VERSION_DIGITS = 32, VAULT_MAX_NAME = 127 };

enum permission { PERMISSION_GET = 1, PERMISSION_LIST = 2, PERMISSION_SET = 4 };

struct secret_version {
    char version[VAULT_VERSION_DIGITS + 1];
    bool enabled;
    cJSON *json; /* all of it but the value: id, attributes, contentType, tags, managed */
    char *value; /* owned */
    char *body;  /* the answer to a GET, ready to send */
    size_t body_len;
};

struct secret {
    char *name;                       /* with the letter case it was created with */
    char *name_key;                   /* lower case */
    struct secret_version **versions; /* sorted by version: the service does not list them by age */
    size_t n_versions;
    struct secret_version *latest; /* the one created last */
};

struct vault {
    char *name; /* lower case */
    char *tenant;
    bool rbac;              /* refusals look like role assignments instead of access policies */
    bool firewall;          /* refuses everybody */
    struct map policies;    /* lower-case client id -> struct policy */
    struct map secrets;     /* name_key -> struct secret */
    struct secret **listed; /* the same, sorted by name_key */
    size_t n_listed;
};

struct vault_store;
/* `authority` is "vault.localhost:PORT", what ids end their host name with. */
struct vault_store *vault_store_create(const char *authority);
void vault_store_destroy(struct vault_store *store);

/* NULL when there is no such vault (name compared without case). */
struct vault *vault_find(const struct vault_store *store, const char *name);
/* Makes or changes a vault {tenant, rbac?, firewall?}; what is not given stays. NULL, or what is wrong. */
const char *vault_put(struct vault_store *store, const char *name, const cJSON *json);
bool vault_delete(struct vault_store *store, const char *name);

/* Sets the permissions {client_id, permissions: [...]}. NULL, or what is wrong. */
const char *vault_put_policy(struct vault *vault, const cJSON *json);
unsigned vault_permissions(const struct vault *vault, const char *client_id);

bool vault_name_is_valid(const char *object_name);
struct secret *vault_find_secret(const struct vault *vault, const char *name);
struct secret_version *vault_find_version(const struct secret *secret, const char *version);
/* Adds a version {value, contentType?, kid?, managed?, tags?, enabled?, nbf?, exp?, created?, updated?,
 * version?}. NULL with *ret_error set when the description is wrong. */
struct secret_version *vault_put_secret(const struct vault_store *store, struct vault *vault,
                                        const char *name, const cJSON *json, const char **ret_error);
/* Changes {enabled}, and `updated`. */
void vault_patch_version(struct secret_version *version, const cJSON *json);
bool vault_delete_secret(struct vault *vault, const char *name);

#endif
