/*
 * vault_store.c - see vault_store.h.
 */
#include "test/emulator/vault_store.h"

#include <strings.h>

#include "test/emulator/memory.h"
#include "test/emulator/stamp.h"
#include "test/emulator/text.h"

struct vault_store {
    struct map vaults; /* lower-case name -> struct vault */
    char *authority;
};

struct policy {
    unsigned permissions; /* enum permission */
};

enum { KEY_BYTES = 256 };

struct vault_store *vault_store_create(const char *authority)
{
    struct vault_store *store = xcalloc(1, sizeof(*store));
    store->authority = xstrdup(authority);
    return store;
}

static void version_free(struct secret_version *version)
{
    cJSON_Delete(version->json);
    free(version->value);
    free(version->body);
    free(version);
}

static void secret_free(struct secret *secret)
{
    for (size_t i = 0; i < secret->n_versions; i++)
        version_free(secret->versions[i]);
    free(secret->versions);
    free(secret->name);
    free(secret->name_key);
    free(secret);
}

static void vault_free(void *value)
{
    struct vault *vault = value;
    for (size_t i = 0; i < vault->n_listed; i++)
        secret_free(vault->listed[i]);
    map_finish(&vault->secrets, NULL);
    map_finish(&vault->policies, free);
    free(vault->listed);
    free(vault->name);
    free(vault->tenant);
    free(vault);
}

void vault_store_destroy(struct vault_store *store)
{
    map_finish(&store->vaults, vault_free);
    free(store->authority);
    free(store);
}

struct vault *vault_find(const struct vault_store *store, const char *name)
{
    char key[KEY_BYTES];
    return lower_into(name, key, sizeof(key)) ? map_get(&store->vaults, key) : NULL;
}

static const char *string_of(const cJSON *json, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));
}

const char *vault_put(struct vault_store *store, const char *name, const cJSON *json)
{
    char key[KEY_BYTES];
    if (!only_characters(name, "-") || !lower_into(name, key, sizeof(key)))
        return "a vault name has letters, digits and hyphens";
    const char *tenant = string_of(json, "tenant");
    struct vault *vault = map_get(&store->vaults, key);
    if (vault == NULL) {
        if (tenant == NULL)
            return "'tenant' is needed";
        vault = xcalloc(1, sizeof(*vault));
        vault->name = xstrdup(key);
        (void)map_set(&store->vaults, key, vault);
    }
    if (tenant != NULL) {
        free(vault->tenant);
        vault->tenant = xstrdup(tenant);
    }
    const cJSON *rbac = cJSON_GetObjectItemCaseSensitive(json, "rbac");
    const cJSON *firewall = cJSON_GetObjectItemCaseSensitive(json, "firewall");
    if (rbac != NULL)
        vault->rbac = cJSON_IsTrue(rbac);
    if (firewall != NULL)
        vault->firewall = cJSON_IsTrue(firewall);
    return NULL;
}

bool vault_delete(struct vault_store *store, const char *name)
{
    char key[KEY_BYTES];
    struct vault *vault = lower_into(name, key, sizeof(key)) ? map_remove(&store->vaults, key) : NULL;
    if (vault != NULL)
        vault_free(vault);
    return vault != NULL;
}

const char *vault_put_policy(struct vault *vault, const cJSON *json)
{
    static const struct {
        const char *name;
        unsigned bits;
    } names[] = {
        {"get", PERMISSION_GET},
        {"list", PERMISSION_LIST},
        {"set", PERMISSION_SET},
        {"all", PERMISSION_GET | PERMISSION_LIST | PERMISSION_SET},
    };
    char key[KEY_BYTES];
    const char *client_id = string_of(json, "client_id");
    const cJSON *permissions = cJSON_GetObjectItemCaseSensitive(json, "permissions");
    if (client_id == NULL || !lower_into(client_id, key, sizeof(key)) || !cJSON_IsArray(permissions))
        return "'client_id' and 'permissions' are needed";
    struct policy policy = {0};
    const cJSON *item;
    cJSON_ArrayForEach(item, permissions)
    {
        unsigned bits = 0;
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
            if (cJSON_IsString(item) && strcmp(item->valuestring, names[i].name) == 0)
                bits = names[i].bits;
        if (bits == 0)
            return "a permission is get, list, set or all";
        policy.permissions |= bits;
    }
    struct policy *copy = xcalloc(1, sizeof(*copy));
    *copy = policy;
    free(map_set(&vault->policies, key, copy));
    return NULL;
}

unsigned vault_permissions(const struct vault *vault, const char *client_id)
{
    char key[KEY_BYTES];
    const struct policy *policy =
        lower_into(client_id, key, sizeof(key)) ? map_get(&vault->policies, key) : NULL;
    return policy == NULL ? 0 : policy->permissions;
}

bool vault_name_is_valid(const char *object_name)
{
    return only_characters(object_name, "-") && strlen(object_name) <= VAULT_MAX_NAME;
}

struct secret *vault_find_secret(const struct vault *vault, const char *name)
{
    char key[KEY_BYTES];
    return lower_into(name, key, sizeof(key)) ? map_get(&vault->secrets, key) : NULL;
}

/* The index of the first version that is not less than `version`. */
static size_t version_index(const struct secret *secret, const char *version)
{
    size_t low = 0;
    size_t high = secret->n_versions;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcasecmp(secret->versions[middle]->version, version) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct secret_version *vault_find_version(const struct secret *secret, const char *version)
{
    size_t i = version_index(secret, version);
    return i < secret->n_versions && strcasecmp(secret->versions[i]->version, version) == 0
               ? secret->versions[i]
               : NULL;
}

static struct secret *add_secret(struct vault *vault, const char *name)
{
    struct secret *secret = xcalloc(1, sizeof(*secret));
    secret->name = xstrdup(name);
    secret->name_key = lower_copy(name);
    (void)map_set(&vault->secrets, secret->name_key, secret);
    vault->listed = xrealloc(vault->listed, (vault->n_listed + 1) * sizeof(struct secret *));
    size_t i = vault->n_listed++;
    for (; i > 0 && strcmp(vault->listed[i - 1]->name_key, secret->name_key) > 0; i--)
        vault->listed[i] = vault->listed[i - 1];
    vault->listed[i] = secret;
    return secret;
}

static void add_version(struct secret *secret, struct secret_version *version)
{
    size_t at = version_index(secret, version->version);
    secret->versions = xrealloc(secret->versions, (secret->n_versions + 1) * sizeof(struct secret_version *));
    memmove(secret->versions + at + 1, secret->versions + at,
            (secret->n_versions - at) * sizeof(struct secret_version *));
    secret->versions[at] = version;
    secret->n_versions++;
    secret->latest = version;
}

/* The ready answer: the value in front of everything else, as the service has it. */
static void make_body(struct secret_version *version)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "value", version->value);
    const cJSON *item;
    cJSON_ArrayForEach(item, version->json)
        cJSON_AddItemToObject(json, item->string, cJSON_Duplicate(item, 1));
    free(version->body);
    version->body = cJSON_PrintUnformatted(json);
    version->body_len = strlen(version->body);
    cJSON_Delete(json);
}

static void copy_member(cJSON *to, const cJSON *from, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(from, name);
    if (item != NULL && !cJSON_IsNull(item))
        cJSON_AddItemToObject(to, name, cJSON_Duplicate(item, 1));
}

static double number_of(const cJSON *json, const char *key, double otherwise)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    return cJSON_IsNumber(item) ? item->valuedouble : otherwise;
}

struct secret_version *vault_put_secret(const struct vault_store *store, struct vault *vault,
                                        const char *name, const cJSON *json, const char **ret_error)
{
    const char *value = string_of(json, "value");
    const char *wanted = string_of(json, "version");
    struct secret *secret = vault_find_secret(vault, name);
    *ret_error = NULL;
    if (!vault_name_is_valid(name))
        *ret_error = "a secret name has 1 to 127 letters, digits and hyphens";
    else if (value == NULL)
        *ret_error = "'value' is needed";
    else if (wanted != NULL && (strlen(wanted) != VAULT_VERSION_DIGITS || !only_characters(wanted, "")))
        *ret_error = "a version has 32 hexadecimal digits";
    else if (wanted != NULL && secret != NULL && vault_find_version(secret, wanted) != NULL)
        *ret_error = "this version exists";
    if (*ret_error != NULL)
        return NULL;
    if (secret == NULL)
        secret = add_secret(vault, name);

    struct secret_version *version = xcalloc(1, sizeof(*version));
    if (wanted != NULL)
        (void)lower_into(wanted, version->version, sizeof(version->version));
    else
        random_hex(version->version, VAULT_VERSION_DIGITS);
    version->value = xstrdup(value);
    version->enabled = !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(json, "enabled"));

    version->json = cJSON_CreateObject();
    copy_member(version->json, json, "contentType");
    char *id = format_text("https://%s.%s/secrets/%s/%s", vault->name, store->authority, secret->name,
                           version->version);
    cJSON_AddStringToObject(version->json, "id", id);
    free(id);
    copy_member(version->json, json, "kid");
    copy_member(version->json, json, "managed");
    double created = number_of(json, "created", (double)unix_now());
    cJSON *attributes = cJSON_AddObjectToObject(version->json, "attributes");
    cJSON_AddBoolToObject(attributes, "enabled", version->enabled);
    copy_member(attributes, json, "nbf");
    copy_member(attributes, json, "exp");
    cJSON_AddNumberToObject(attributes, "created", created);
    cJSON_AddNumberToObject(attributes, "updated", number_of(json, "updated", created));
    cJSON_AddStringToObject(attributes, "recoveryLevel", "Recoverable+Purgeable");
    cJSON_AddNumberToObject(attributes, "recoverableDays", 90);
    copy_member(version->json, json, "tags");
    make_body(version);
    add_version(secret, version);
    return version;
}

void vault_patch_version(struct secret_version *version, const cJSON *json)
{
    const cJSON *enabled = cJSON_GetObjectItemCaseSensitive(json, "enabled");
    cJSON *attributes = cJSON_GetObjectItemCaseSensitive(version->json, "attributes");
    if (enabled != NULL) {
        version->enabled = cJSON_IsTrue(enabled);
        cJSON_ReplaceItemInObjectCaseSensitive(attributes, "enabled", cJSON_CreateBool(version->enabled));
    }
    cJSON_ReplaceItemInObjectCaseSensitive(
        attributes, "updated", cJSON_CreateNumber(number_of(json, "updated", (double)unix_now())));
    make_body(version);
}

bool vault_delete_secret(struct vault *vault, const char *name)
{
    struct secret *secret = vault_find_secret(vault, name);
    if (secret == NULL)
        return false;
    (void)map_remove(&vault->secrets, secret->name_key);
    size_t i = 0;
    while (vault->listed[i] != secret)
        i++;
    vault->n_listed--;
    memmove(vault->listed + i, vault->listed + i + 1, (vault->n_listed - i) * sizeof(struct secret *));
    secret_free(secret);
    return true;
}
