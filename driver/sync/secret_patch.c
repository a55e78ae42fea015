/*
 * secret_object.c - a synced Secret as JSON.
 */
#include "driver/sync/secret_patch.h"

#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "common/crypto/encoding.h"
#include "driver/kube/kube_upsert.h"
#include "driver/sync/secret_field_owners.h"

static int out_of_memory(struct error **err)
{
    return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
}

static const char *string_of(const cJSON *object, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));

    return text != NULL ? text : "";
}

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* The label is every class's, and what the driver itself writes is nobody's. */
static bool is_claimable(const char *key)
{
    return strcmp(key, SECRET_MANAGED_LABEL) != 0 && strcmp(key, SECRET_CLAIMS_ANNOTATION) != 0;
}

/* --- create --- */

static int add_map(cJSON *metadata, enum secret_part part, const struct string_map *map, cJSON *claims,
                   const char *class)
{
    cJSON *json = cJSON_AddObjectToObject(metadata, secret_part_name(part));

    for (size_t i = 0; i < map->n && json != NULL; i++) {
        const struct string_map_entry *entry = &map->entries[i];

        if (cJSON_AddStringToObject(json, entry->key, entry->value) == NULL ||
            (is_claimable(entry->key) && secret_claims_add(claims, class, part, entry->key) < 0))
            return -1;
    }
    return json != NULL ? 0 : -1;
}

static int add_claims(cJSON *annotations, const cJSON *claims)
{
    cleanup_secret_free char *text = secret_claims_text(claims);

    return text != NULL && cJSON_AddStringToObject(annotations, SECRET_CLAIMS_ANNOTATION, text) != NULL ? 0
                                                                                                        : -1;
}

static int add_owners(cJSON *references, const struct owners *owners)
{
    for (size_t i = 0; i < owners->n; i++) {
        cJSON *json = owner_to_json(&owners->items[i]);

        if (json == NULL)
            return -1;
        (void)cJSON_AddItemToArray(references, json); /* fails for NULL only */
    }
    return 0;
}

static int add_data(cJSON *data, const struct secret_value *value)
{
    cleanup_secret_free char *text = base64_encode(secret_bytes(value->bytes), secret_len(value->bytes));

    return text != NULL && cJSON_AddStringToObject(data, value->key, text) != NULL ? 0 : -1;
}

static int fill_metadata(cJSON *object, const char *ns, const struct secret_wish *wish)
{
    const struct secret_content *content = wish->content;
    cleanup_json cJSON *claims = cJSON_CreateObject();
    cJSON *metadata = cJSON_AddObjectToObject(object, "metadata");
    cJSON *references;

    if (claims == NULL || metadata == NULL ||
        cJSON_AddStringToObject(metadata, "name", content->name) == NULL ||
        cJSON_AddStringToObject(metadata, "namespace", ns) == NULL ||
        add_map(metadata, SECRET_LABELS, &content->labels, claims, wish->class_name) < 0 ||
        add_map(metadata, SECRET_ANNOTATIONS, &content->annotations, claims, wish->class_name) < 0)
        return -1;
    for (size_t i = 0; i < content->n_values; i++) {
        if (secret_claims_add(claims, wish->class_name, SECRET_DATA, content->values[i].key) < 0)
            return -1;
    }
    if (add_claims(cJSON_GetObjectItemCaseSensitive(metadata, "annotations"), claims) < 0)
        return -1;
    if (wish->owners->n == 0)
        return 0;
    references = cJSON_AddArrayToObject(metadata, "ownerReferences");
    return references != NULL ? add_owners(references, wish->owners) : -1;
}

cJSON *secret_object_create(const char *ns, const struct secret_wish *wish, struct error **err)
{
    const struct secret_content *content = wish->content;
    cleanup_json cJSON *object = cJSON_CreateObject();
    cJSON *data;

    if (object == NULL || cJSON_AddStringToObject(object, "apiVersion", "v1") == NULL ||
        cJSON_AddStringToObject(object, "kind", "Secret") == NULL || fill_metadata(object, ns, wish) < 0 ||
        cJSON_AddStringToObject(object, "type", content->type) == NULL)
        goto fail;
    data = cJSON_AddObjectToObject(object, "data");
    if (data == NULL)
        goto fail;
    for (size_t i = 0; i < content->n_values; i++) {
        if (add_data(data, &content->values[i]) < 0)
            goto fail;
    }
    return steal_ptr(&object);
fail:
    (void)out_of_memory(err);
    return NULL;
}

/* --- patch --- */

/* The object `name` of `parent`, made when it is not there yet. NULL without memory. */
static cJSON *part_of(cJSON *parent, const char *name)
{
    cJSON *json = cJSON_GetObjectItemCaseSensitive(parent, name);

    return json != NULL ? json : cJSON_AddObjectToObject(parent, name);
}

/* One patch in the making. */
struct patching {
    const struct secret_wish *wish;
    const cJSON *current;
    const cJSON *recorded; /* the claims that the Secret carries */
    cJSON *claims;         /* those that it is to carry */
    cJSON *patch;
    const char *first_refused; /* a field that stays as another class has written it, */
    enum secret_part first_part;
    const char *first_owner; /* that class (in `claims`), */
    size_t n_refused;        /* and how many there are */
};

/* Where the fields of a part are. */
static const cJSON *fields_of(const cJSON *object, enum secret_part part)
{
    return member(part == SECRET_DATA ? object : member(object, "metadata"), secret_part_name(part));
}

/* The same in the patch, made when it is not there yet. NULL without memory. */
static cJSON *changes_of(cJSON *patch, enum secret_part part)
{
    cJSON *parent = part == SECRET_DATA ? patch : part_of(patch, "metadata");

    return part_of(parent, secret_part_name(part));
}

static void refuse(struct patching *patching, enum secret_part part, const char *key, const char *owner)
{
    if (patching->n_refused++ > 0)
        return;
    patching->first_refused = key;
    patching->first_part = part;
    patching->first_owner = owner;
}

/* A field that is claimed by this class may be written, by whomever else it is claimed: contents rotate, and
 * one of them is the first to know. The others claim it again when they see the same. */
static bool may_write(const struct patching *patching, enum secret_part part, const char *key)
{
    const char *class = patching->wish->class_name;

    return patching->wish->mount || secret_claims_have(patching->claims, class, part, key) ||
           secret_claims_other(patching->claims, class, part, key) == NULL;
}

static void take_over(struct patching *patching, enum secret_part part, const char *key)
{
    const char *class = patching->wish->class_name;
    const char *other;

    while ((other = secret_claims_other(patching->claims, class, part, key)) != NULL)
        secret_claims_drop(patching->claims, other, part, key);
}

/* Brings one wanted field about. */
static int patch_field(struct patching *patching, enum secret_part part, const char *key, const char *value)
{
    const char *class = patching->wish->class_name;
    const char *found = cJSON_GetStringValue(member(fields_of(patching->current, part), key));

    if (found == NULL || strcmp(found, value) != 0) {
        if (found != NULL && !may_write(patching, part, key)) {
            refuse(patching, part, key, secret_claims_other(patching->claims, class, part, key));
            return 0;
        }
        take_over(patching, part, key);
        if (cJSON_AddStringToObject(changes_of(patching->patch, part), key, value) == NULL)
            return -1;
    }
    return is_claimable(key) ? secret_claims_add(patching->claims, class, part, key) : 0;
}

static bool has_reference(const cJSON *references, const char *uid)
{
    const cJSON *item = NULL;

    cJSON_ArrayForEach(item, references)
    {
        if (strcmp(string_of(item, "uid"), uid) == 0)
            return true;
    }
    return false;
}

/* A merge patch replaces lists as a whole: the references of others go back in as they are. */
static int patch_owners(cJSON *patch, const struct owners *owners, const cJSON *current)
{
    const cJSON *references = member(member(current, "metadata"), "ownerReferences");
    cleanup_json cJSON *all = NULL;
    cJSON *metadata;
    bool missing = false;

    for (size_t i = 0; i < owners->n; i++)
        missing = missing || !has_reference(references, owners->items[i].uid);
    if (!missing)
        return 0;
    all = references != NULL ? cJSON_Duplicate(references, /* recurse= */ 1) : cJSON_CreateArray();
    for (size_t i = 0; i < owners->n && all != NULL; i++) {
        cJSON *json;

        if (has_reference(references, owners->items[i].uid))
            continue;
        json = owner_to_json(&owners->items[i]);
        if (json == NULL)
            return -1;
        (void)cJSON_AddItemToArray(all, json);
    }
    metadata = part_of(patch, "metadata");
    if (all == NULL || metadata == NULL || !cJSON_AddItemToObject(metadata, "ownerReferences", all))
        return -1;
    all = NULL; /* belongs to the patch now */
    return 0;
}

static bool is_wanted(const struct secret_content *content, enum secret_part part, const char *key)
{
    if (part != SECRET_DATA)
        return string_map_get(part == SECRET_LABELS ? &content->labels : &content->annotations, key) != NULL;
    for (size_t i = 0; i < content->n_values; i++) {
        if (strcmp(content->values[i].key, key) == 0)
            return true;
    }
    return false;
}

/* The claims to what the class does not want any more end. */
static void give_up(struct patching *patching, enum secret_part part)
{
    const char *class = patching->wish->class_name;
    const cJSON *key = NULL;

    cJSON_ArrayForEach(key, secret_claims_of(patching->recorded, class, part))
    {
        if (!is_wanted(patching->wish->content, part, key->valuestring))
            secret_claims_drop(patching->claims, class, part, key->valuestring);
    }
}

/* Removes a field, if it is there and nobody's any more. */
static int remove_unclaimed(struct patching *patching, enum secret_part part, const char *key)
{
    cJSON *changes;

    if (!is_claimable(key) || is_wanted(patching->wish->content, part, key) ||
        member(fields_of(patching->current, part), key) == NULL ||
        secret_claims_other(patching->claims, /* class= */ NULL, part, key) != NULL)
        return 0;
    changes = changes_of(patching->patch, part);
    if (member(changes, key) != NULL) /* it has been claimed twice */
        return 0;
    return cJSON_AddNullToObject(changes, key) != NULL ? 0 : -1;
}

/* Labels and annotations that were claimed and are not any more. Those that never were belong to others. */
static int remove_given_up(struct patching *patching, enum secret_part part)
{
    const cJSON *claim = NULL, *key = NULL;

    cJSON_ArrayForEach(claim, patching->recorded)
    {
        cJSON_ArrayForEach(key, member(claim, secret_part_name(part)))
        {
            if (remove_unclaimed(patching, part, key->valuestring) < 0)
                return -1;
        }
    }
    return 0;
}

static int patch_map(struct patching *patching, enum secret_part part, const struct string_map *wanted)
{
    give_up(patching, part);
    for (size_t i = 0; i < wanted->n; i++) {
        if (patch_field(patching, part, wanted->entries[i].key, wanted->entries[i].value) < 0)
            return -1;
    }
    return remove_given_up(patching, part);
}

static int patch_value(struct patching *patching, const struct secret_value *value)
{
    cleanup_secret_free char *text = base64_encode(secret_bytes(value->bytes), secret_len(value->bytes));

    return text != NULL ? patch_field(patching, SECRET_DATA, value->key, text) : -1;
}

static int patch_data(struct patching *patching)
{
    const struct secret_content *content = patching->wish->content;
    const cJSON *item = NULL;

    give_up(patching, SECRET_DATA);
    for (size_t i = 0; i < content->n_values; i++) {
        if (patch_value(patching, &content->values[i]) < 0)
            return -1;
    }
    if (patching->recorded->child == NULL)
        return 0; /* whose the rest is will be known when all of its classes have looked */
    cJSON_ArrayForEach(item, fields_of(patching->current, SECRET_DATA))
    {
        if (remove_unclaimed(patching, SECRET_DATA, item->string) < 0)
            return -1;
    }
    return 0;
}

/* Data is left alone; whose it is gets written down when that is lost. */
static int claim_data(struct patching *patching)
{
    const struct secret_content *content = patching->wish->content;
    const char *class = patching->wish->class_name;

    if (member(patching->recorded, class) != NULL)
        return 0;
    for (size_t i = 0; i < content->n_values; i++) {
        const char *key = content->values[i].key;

        if (secret_claims_other(patching->claims, class, SECRET_DATA, key) == NULL &&
            secret_claims_add(patching->claims, class, SECRET_DATA, key) < 0)
            return -1;
    }
    return 0;
}

static int patch_claims(struct patching *patching)
{
    if (cJSON_Compare(patching->claims, patching->recorded, /* case_sensitive= */ 1))
        return 0;
    return add_claims(changes_of(patching->patch, SECRET_ANNOTATIONS), patching->claims);
}

static bool is_ours(const struct secret_wish *wish, const cJSON *current)
{
    const cJSON *metadata = member(current, "metadata");
    const cJSON *references = member(metadata, "ownerReferences");

    if (strcmp(string_of(member(metadata, "labels"), SECRET_MANAGED_LABEL), "true") == 0)
        return true;
    for (size_t i = 0; i < wish->owners->n; i++) {
        if (has_reference(references, wish->owners->items[i].uid))
            return true;
    }
    return false;
}

/* Of a Secret that is none, nothing may be taken for granted. */
static int check_shape(const cJSON *current, struct error **err)
{
    const cJSON *metadata = NULL, *field = NULL;

    if (json_get_object(current, "metadata", &metadata, err) < 0 ||
        json_opt_object(metadata, "labels", &field, err) < 0 ||
        json_opt_object(metadata, "annotations", &field, err) < 0 ||
        json_opt_array(metadata, "ownerReferences", &field, err) < 0 ||
        json_opt_object(current, "data", &field, err) < 0) {
        (void)error_recode(err, GRPC_STATUS_INTERNAL);
        return error_wrap(err, "the API server's answer is no Secret");
    }
    return 0;
}

static int check_current(const struct secret_wish *wish, const cJSON *current, struct error **err)
{
    const char *type = string_of(current, "type");

    if (check_shape(current, err) < 0)
        return -1;
    if (!is_ours(wish, current))
        return error_set(
            err, GRPC_STATUS_FAILED_PRECONDITION,
            "the Secret exists and was made by somebody else: delete it, or give it the label " SECRET_MANAGED_LABEL
            "=true to let this driver overwrite it");
    if (strcmp(type, wish->content->type) != 0)
        return error_set(
            err, GRPC_STATUS_FAILED_PRECONDITION,
            "the Secret exists with type '%.253s', the class says '%.253s', and the type of a Secret can not be changed: delete the Secret or correct the class",
            type, wish->content->type);
    return 0;
}

static int patch_all(struct patching *patching)
{
    const struct secret_wish *wish = patching->wish;

    if (patch_map(patching, SECRET_LABELS, &wish->content->labels) < 0 ||
        patch_map(patching, SECRET_ANNOTATIONS, &wish->content->annotations) < 0 ||
        patch_owners(patching->patch, wish->owners, patching->current) < 0 ||
        (wish->authority == SECRET_AUTHORITY_FULL ? patch_data(patching) : claim_data(patching)) < 0)
        return -1;
    return patch_claims(patching);
}

/* Says what stays as it is. */
static struct error *refusal(const struct patching *patching)
{
    static const char *const nouns[SECRET_PARTS] = {"key", "label", "annotation"};
    struct error *error = NULL;
    char more[40] = "";

    if (patching->n_refused > 1)
        (void)snprintf(more, sizeof(more), " (and %zu more)", patching->n_refused - 1);
    (void)error_set(
        &error, GRPC_STATUS_FAILED_PRECONDITION,
        "%s '%.253s'%s is left as secretproviderclass '%.253s' has written it: two classes want different contents there, and the one that was mounted last has it; let one of them name another Secret or another key",
        nouns[patching->first_part], patching->first_refused, more, patching->first_owner);
    return error;
}

void secret_patch_finish(struct secret_patch *patch)
{
    cJSON_Delete(patch->patch);
    error_free(patch->refused);
    *patch = (struct secret_patch){0};
}

/* What is known to be outdated counts for the very object that it was found out about. */
static cJSON *claims_to_begin_with(const struct secret_wish *wish, const cJSON *current,
                                   const cJSON *recorded)
{
    bool pruned = wish->pruned != NULL &&
                  strcmp(kube_metadata_string(current, "resourceVersion"), wish->pruned_version) == 0;

    return cJSON_Duplicate(pruned ? wish->pruned : recorded, /* recurse= */ 1);
}

int secret_object_patch(const struct secret_wish *wish, const cJSON *current, struct secret_patch *ret,
                        struct error **err)
{
    cleanup_json cJSON *recorded = NULL;
    cleanup_json cJSON *claims = NULL;
    cleanup_json cJSON *patch = cJSON_CreateObject();
    struct patching patching;

    if (check_current(wish, current, err) < 0)
        return -1;
    recorded = secret_claims_read(current);
    claims = claims_to_begin_with(wish, current, recorded);
    if (recorded == NULL || claims == NULL || patch == NULL)
        return out_of_memory(err);
    patching = (struct patching){
        .wish = wish, .current = current, .recorded = recorded, .claims = claims, .patch = patch};
    if (patch_all(&patching) < 0)
        return out_of_memory(err);
    if (member(patch, "data") != NULL && cJSON_IsTrue(member(current, "immutable")))
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "the Secret is marked immutable and its data can not be changed: delete it");
    *ret = (struct secret_patch){.patch = patch->child != NULL ? steal_ptr(&patch) : NULL,
                                 .refused = patching.n_refused > 0 ? refusal(&patching) : NULL};
    return 0;
}
