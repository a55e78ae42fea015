/*
 * vault_store.c - see vault_store.h.
 */
#include "test/emulator/vault_store.h"

#include <strings.h>

#include "test/emulator/emulator.h"
#include "test/emulator/memory.h"
#include "test/emulator/stamp.h"
#include "test/emulator/text.h"
#include "test/emulator/vault_certificate.h"

struct vault_store {
    struct map vaults; /* lower-case name -> struct vault */
    const char *domain;
    unsigned port;
};

struct policy {
    unsigned permissions[KIND_COUNT]; /* enum permission */
};

enum { KEY_BYTES = 256 };

static const struct {
    const char *collection;
    const char *noun;
    const char *id; /* what a list calls the id */
} kinds[KIND_COUNT] = {
    [KIND_SECRET] = {"secrets", "secret", "id"},
    [KIND_KEY] = {"keys", "key", "kid"},
    [KIND_CERTIFICATE] = {"certificates", "certificate", "id"},
};

const char *vault_kind_collection(enum vault_kind kind)
{
    return kinds[kind].collection;
}

const char *vault_kind_noun(enum vault_kind kind)
{
    return kinds[kind].noun;
}

enum vault_kind vault_kind_find(const char *collection)
{
    for (int kind = 0; kind < KIND_COUNT; kind++)
        if (strcasecmp(kinds[kind].collection, collection) == 0)
            return (enum vault_kind)kind;
    return KIND_COUNT;
}

struct vault_store *vault_store_create(const char *domain, unsigned port)
{
    struct vault_store *store = xcalloc(1, sizeof(*store));
    store->domain = domain;
    store->port = port;
    return store;
}

static void version_free(struct object_version *version)
{
    cJSON_Delete(version->json);
    cJSON_Delete(version->more);
    free(version->body);
    free(version);
}

static void object_free(struct object *object)
{
    for (size_t i = 0; i < object->n_versions; i++)
        version_free(object->versions[i]);
    free(object->versions);
    free(object->name);
    free(object->name_key);
    free(object);
}

static void vault_free(void *value)
{
    struct vault *vault = value;
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        struct collection *collection = &vault->collections[kind];
        for (size_t i = 0; i < collection->n_listed; i++)
            object_free(collection->listed[i]);
        map_finish(&collection->by_name, NULL);
        free(collection->listed);
    }
    map_finish(&vault->policies, free);
    free(vault->name);
    free(vault->authority);
    free(vault->tenant);
    free(vault);
}

void vault_store_destroy(struct vault_store *store)
{
    map_finish(&store->vaults, vault_free);
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
        vault->hsm = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "hsm"));
        vault->authority =
            format_text("%s.%s.%s:%u", key, vault->hsm ? "managedhsm" : "vault", store->domain, store->port);
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

/* The bits of an array of names; false when there is something else in it. */
static bool permission_bits(const cJSON *array, unsigned *ret_bits)
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
    const cJSON *item;
    *ret_bits = 0;
    cJSON_ArrayForEach(item, array)
    {
        unsigned bits = 0;
        for (size_t i = 0; i < ARRAY_SIZE(names); i++)
            if (cJSON_IsString(item) && strcmp(item->valuestring, names[i].name) == 0)
                bits = names[i].bits;
        if (bits == 0)
            return false;
        *ret_bits |= bits;
    }
    return cJSON_IsArray(array);
}

const char *vault_put_policy(struct vault *vault, const cJSON *json)
{
    char key[KEY_BYTES];
    const char *client_id = string_of(json, "client_id");
    const cJSON *all = cJSON_GetObjectItemCaseSensitive(json, "permissions");
    if (client_id == NULL || !lower_into(client_id, key, sizeof(key)) || all == NULL)
        return "'client_id' and 'permissions' are needed";
    struct policy policy = {0};
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        const cJSON *own = cJSON_GetObjectItemCaseSensitive(json, kinds[kind].collection);
        if (!permission_bits(own != NULL ? own : all, &policy.permissions[kind]))
            return "permissions are an array of get, list, set or all";
    }
    struct policy *copy = xcalloc(1, sizeof(*copy));
    *copy = policy;
    free(map_set(&vault->policies, key, copy));
    return NULL;
}

unsigned vault_permissions(const struct vault *vault, const char *client_id, enum vault_kind kind)
{
    char key[KEY_BYTES];
    const struct policy *policy =
        lower_into(client_id, key, sizeof(key)) ? map_get(&vault->policies, key) : NULL;
    return policy == NULL ? 0 : policy->permissions[kind];
}

bool vault_name_is_valid(const char *object_name)
{
    return only_characters(object_name, "-") && strlen(object_name) <= VAULT_MAX_NAME;
}

struct object *vault_find_object(const struct vault *vault, enum vault_kind kind, const char *name)
{
    char key[KEY_BYTES];
    return lower_into(name, key, sizeof(key)) ? map_get(&vault->collections[kind].by_name, key) : NULL;
}

/* The index of the first version that is not less than `version`. */
static size_t version_index(const struct object *object, const char *version)
{
    size_t low = 0;
    size_t high = object->n_versions;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcasecmp(object->versions[middle]->version, version) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct object_version *vault_find_version(const struct object *object, const char *version)
{
    size_t i = version_index(object, version);
    return i < object->n_versions && strcasecmp(object->versions[i]->version, version) == 0
               ? object->versions[i]
               : NULL;
}

static struct object *add_object(struct vault *vault, enum vault_kind kind, const char *name)
{
    struct collection *collection = &vault->collections[kind];
    struct object *object = xcalloc(1, sizeof(*object));
    object->kind = kind;
    object->name = xstrdup(name);
    object->name_key = lower_copy(name);
    (void)map_set(&collection->by_name, object->name_key, object);
    collection->listed = xrealloc(collection->listed, (collection->n_listed + 1) * sizeof(struct object *));
    size_t i = collection->n_listed++;
    for (; i > 0 && strcmp(collection->listed[i - 1]->name_key, object->name_key) > 0; i--)
        collection->listed[i] = collection->listed[i - 1];
    collection->listed[i] = object;
    return object;
}

static void add_version(struct object *object, struct object_version *version)
{
    size_t at = version_index(object, version->version);
    object->versions = xrealloc(object->versions, (object->n_versions + 1) * sizeof(struct object_version *));
    memmove(object->versions + at + 1, object->versions + at,
            (object->n_versions - at) * sizeof(struct object_version *));
    object->versions[at] = version;
    object->n_versions++;
    object->latest = version;
}

/* The ready response: what only a GET shows in front of everything else, as the service has it. A key's id is
 * inside of the key there. */
static void make_body(struct object_version *version)
{
    cJSON *json = cJSON_Duplicate(version->more, 1);
    bool is_key = cJSON_GetObjectItemCaseSensitive(json, "key") != NULL;
    const cJSON *item;
    cJSON_ArrayForEach(item, version->json)
    {
        if (!is_key || strcmp(item->string, kinds[KIND_KEY].id) != 0)
            cJSON_AddItemToObject(json, item->string, cJSON_Duplicate(item, 1));
    }
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

static const char *check_description(enum vault_kind kind, const struct object *object, const char *name,
                                     const cJSON *json)
{
    const char *wanted = string_of(json, "version");
    const cJSON *key = cJSON_GetObjectItemCaseSensitive(json, "key");
    if (!vault_name_is_valid(name))
        return "an object's name has 1 to 127 letters, digits and hyphens";
    if (wanted != NULL && (strlen(wanted) != VAULT_VERSION_DIGITS || !only_characters(wanted, "")))
        return "a version has 32 hexadecimal digits";
    if (wanted != NULL && object != NULL && vault_find_version(object, wanted) != NULL)
        return "this version exists";
    if (kind == KIND_SECRET && string_of(json, "value") == NULL)
        return "'value' is needed";
    if (kind == KIND_KEY && (!cJSON_IsObject(key) || cJSON_GetObjectItemCaseSensitive(key, "kid") != NULL))
        return "'key' is needed, a JSON web key without kid";
    return kind == KIND_CERTIFICATE ? vault_certificate_check(json) : NULL;
}

/* id, kid and sid of the objects that belong to a certificate, and so on. */
static void add_id(cJSON *json, const char *member, const struct vault *vault, enum vault_kind kind,
                   const char *name, const char *version)
{
    char *id = format_text("https://%s/%s/%s/%s", vault->authority, kinds[kind].collection, name, version);
    cJSON_AddStringToObject(json, member, id);
    free(id);
}

/* What the kind has besides id, attributes and tags. */
static void add_content(const struct vault *vault, enum vault_kind kind, const struct object *object,
                        struct object_version *version, const cJSON *json)
{
    if (kind == KIND_SECRET) {
        copy_member(version->more, json, "value");
        copy_member(version->more, json, "kid");
        copy_member(version->json, json, "contentType");
    } else if (kind == KIND_KEY) {
        cJSON *key = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(json, "key"), 1);
        add_id(key, "kid", vault, KIND_KEY, object->name, version->version);
        cJSON_AddItemToObject(version->more, "key", key);
    } else {
        add_id(version->more, "kid", vault, KIND_KEY, object->name, version->version);
        add_id(version->more, "sid", vault, KIND_SECRET, object->name, version->version);
        vault_certificate_describe(json, version->json, version->more);
    }
}

struct object_version *vault_put_object(struct vault *vault, enum vault_kind kind, const char *name,
                                        const cJSON *json, const char **ret_error)
{
    const char *wanted = string_of(json, "version");
    struct object *object = vault_find_object(vault, kind, name);
    *ret_error = check_description(kind, object, name, json);
    if (*ret_error != NULL)
        return NULL;
    if (object == NULL)
        object = add_object(vault, kind, name);

    struct object_version *version = xcalloc(1, sizeof(*version));
    if (wanted != NULL)
        (void)lower_into(wanted, version->version, sizeof(version->version));
    else
        random_hex(version->version, VAULT_VERSION_DIGITS);
    version->enabled = !cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(json, "enabled"));
    version->json = cJSON_CreateObject();
    version->more = cJSON_CreateObject();
    add_id(version->json, kinds[kind].id, vault, kind, object->name, version->version);
    add_content(vault, kind, object, version, json);
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
    add_version(object, version);
    return version;
}

void vault_patch_version(struct object_version *version, const cJSON *json)
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

bool vault_delete_object(struct vault *vault, enum vault_kind kind, const char *name)
{
    struct collection *collection = &vault->collections[kind];
    struct object *object = vault_find_object(vault, kind, name);
    if (object == NULL)
        return false;
    (void)map_remove(&collection->by_name, object->name_key);
    size_t i = 0;
    while (collection->listed[i] != object)
        i++;
    collection->n_listed--;
    memmove(collection->listed + i, collection->listed + i + 1,
            (collection->n_listed - i) * sizeof(struct object *));
    object_free(object);
    return true;
}
