/*
 * secret_patch.c - a synced Secret as JSON: a new object, or the patch of an existing one.
 */
#include "driver/sync/secret_patch.h"

#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "common/crypto/encoding.h"
#include "driver/kube/kube_upsert.h"
#include "driver/sync/secret_field_owners.h"

static const char *string_of(const cJSON *object, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));

    return text != NULL ? text : "";
}

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* The managed label belongs to all classes, and the annotation of the owners to none. */
static bool is_ownable(const char *key)
{
    return strcmp(key, SECRET_MANAGED_LABEL) != 0 && strcmp(key, SECRET_FIELD_OWNERS_ANNOTATION) != 0;
}

static bool is_omitted(const struct desired_secret *desired, enum secret_part part)
{
    static const unsigned flags[SECRET_PARTS] = {SECRET_OMIT_DATA, SECRET_OMIT_LABELS,
                                                 SECRET_OMIT_ANNOTATIONS};

    return (desired->omit & flags[part]) != 0;
}

/* Does the API server keep this field from its desired value? `value` NULL: from being removed. */
static bool is_refused(const struct desired_secret *desired, const char *part, const char *key,
                       const char *value)
{
    return desired->refused != NULL && refused_fields_has(desired->refused, part, key, value);
}

/* --- create --- */

static int add_map(cJSON *metadata, const struct desired_secret *desired, enum secret_part part,
                   const struct string_map *map, cJSON *field_owners)
{
    const char *class = desired->class_name;
    cJSON *json = cJSON_AddObjectToObject(metadata, secret_part_name(part));

    for (size_t i = 0; i < map->n && json != NULL; i++) {
        const struct string_map_entry *entry = &map->entries[i];

        if (is_omitted(desired, part) && strcmp(entry->key, SECRET_MANAGED_LABEL) != 0)
            continue;
        if (cJSON_AddStringToObject(json, entry->key, entry->value) == NULL ||
            (is_ownable(entry->key) && secret_field_owners_add(field_owners, class, part, entry->key) < 0))
            return -1;
    }
    return json != NULL ? 0 : -1;
}

static int add_field_owners(cJSON *annotations, const cJSON *field_owners)
{
    cleanup_secret_free char *text = secret_field_owners_text(field_owners);

    return text != NULL && cJSON_AddStringToObject(annotations, SECRET_FIELD_OWNERS_ANNOTATION, text) != NULL
               ? 0
               : -1;
}

static int add_owners(cJSON *references, const struct owner_references *owners)
{
    for (size_t i = 0; i < owners->n; i++) {
        cJSON *json = owner_reference_to_json(&owners->items[i]);

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

static int fill_metadata(cJSON *object, const char *ns, const struct desired_secret *desired)
{
    const struct secret_content *content = desired->content;
    cleanup_json cJSON *field_owners = cJSON_CreateObject();
    cJSON *metadata = cJSON_AddObjectToObject(object, "metadata");
    cJSON *references;

    if (field_owners == NULL || metadata == NULL ||
        cJSON_AddStringToObject(metadata, "name", content->name) == NULL ||
        cJSON_AddStringToObject(metadata, "namespace", ns) == NULL ||
        add_map(metadata, desired, SECRET_LABELS, &content->labels, field_owners) < 0 ||
        add_map(metadata, desired, SECRET_ANNOTATIONS, &content->annotations, field_owners) < 0)
        return -1;
    for (size_t i = 0; i < content->n_values; i++) {
        if (secret_field_owners_add(field_owners, desired->class_name, SECRET_DATA, content->values[i].key) <
            0)
            return -1;
    }
    if (!is_omitted(desired, SECRET_ANNOTATIONS) &&
        add_field_owners(cJSON_GetObjectItemCaseSensitive(metadata, "annotations"), field_owners) < 0)
        return -1;
    if (desired->owners->n == 0 || (desired->omit & SECRET_OMIT_OWNERS) != 0)
        return 0;
    references = cJSON_AddArrayToObject(metadata, "ownerReferences");
    return references != NULL ? add_owners(references, desired->owners) : -1;
}

cJSON *secret_patch_new_object(const char *ns, const struct desired_secret *desired, struct error **err)
{
    const struct secret_content *content = desired->content;
    cleanup_json cJSON *object = cJSON_CreateObject();
    cJSON *data;

    if (object == NULL || cJSON_AddStringToObject(object, "apiVersion", "v1") == NULL ||
        cJSON_AddStringToObject(object, "kind", "Secret") == NULL || fill_metadata(object, ns, desired) < 0 ||
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
    (void)error_no_memory(err, NULL);
    return NULL;
}

/* --- patch --- */

/* The object `name` of `parent`, made when it is not there yet. NULL without memory. */
static cJSON *part_of(cJSON *parent, const char *name)
{
    cJSON *json = cJSON_GetObjectItemCaseSensitive(parent, name);

    return json != NULL ? json : cJSON_AddObjectToObject(parent, name);
}

/* One patch while it is built. */
struct patch_build {
    const struct desired_secret *desired;
    const cJSON *current;
    const cJSON *written_owners; /* the field owners in the Secret */
    cJSON *field_owners;         /* the new ones */
    cJSON *patch;

    /* fields that keep the value of another class: the first one, and how many there are */
    const char *first_key;
    enum secret_part first_part;
    const char *first_owner; /* in `field_owners` */
    size_t n_conflicts;
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

static void note_conflict(struct patch_build *build, enum secret_part part, const char *key,
                          const char *owner)
{
    if (build->n_conflicts++ > 0)
        return;
    build->first_key = key;
    build->first_part = part;
    build->first_owner = owner;
}

/* A class may write a field that it owns together with others: contents rotate, and one of them is the first
 * to know. The others become owners again when they have the same value. */
static bool may_write(const struct patch_build *build, enum secret_part part, const char *key)
{
    const char *class = build->desired->class_name;

    return build->desired->force || secret_field_owners_has(build->field_owners, class, part, key) ||
           secret_field_owners_other(build->field_owners, class, part, key) == NULL;
}

static void force_ownership(struct patch_build *build, enum secret_part part, const char *key)
{
    const char *class = build->desired->class_name;
    const char *other;

    while ((other = secret_field_owners_other(build->field_owners, class, part, key)) != NULL)
        secret_field_owners_remove(build->field_owners, other, part, key);
}

/* Sets one desired field. */
static int patch_field(struct patch_build *build, enum secret_part part, const char *key, const char *value)
{
    const char *class = build->desired->class_name;
    const char *found = cJSON_GetStringValue(member(fields_of(build->current, part), key));

    if (found == NULL || strcmp(found, value) != 0) {
        if (is_refused(build->desired, secret_part_name(part), key, value))
            return 0;
        if (found != NULL && !may_write(build, part, key)) {
            note_conflict(build, part, key, secret_field_owners_other(build->field_owners, class, part, key));
            return 0;
        }
        force_ownership(build, part, key);
        if (cJSON_AddStringToObject(changes_of(build->patch, part), key, value) == NULL)
            return -1;
    }
    return is_ownable(key) ? secret_field_owners_add(build->field_owners, class, part, key) : 0;
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

/* Is this owner to be added? */
static bool is_missing(const struct desired_secret *desired, const cJSON *references, const char *uid)
{
    return !has_reference(references, uid) && !is_refused(desired, REFUSED_OWNERS, uid, "");
}

/* A merge patch replaces lists as a whole: the references of others go back in as they are. */
static int patch_owners(cJSON *patch, const struct desired_secret *desired, const cJSON *current)
{
    const struct owner_references *owners = desired->owners;
    const cJSON *references = member(member(current, "metadata"), "ownerReferences");
    cleanup_json cJSON *all = NULL;
    cJSON *metadata;
    bool missing = false;

    for (size_t i = 0; i < owners->n; i++)
        missing = missing || is_missing(desired, references, owners->items[i].uid);
    if (!missing)
        return 0;
    all = references != NULL ? cJSON_Duplicate(references, /* recurse= */ 1) : cJSON_CreateArray();
    for (size_t i = 0; i < owners->n && all != NULL; i++) {
        cJSON *json;

        if (!is_missing(desired, references, owners->items[i].uid))
            continue;
        json = owner_reference_to_json(&owners->items[i]);
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

static bool is_desired(const struct secret_content *content, enum secret_part part, const char *key)
{
    if (part != SECRET_DATA)
        return string_map_get(part == SECRET_LABELS ? &content->labels : &content->annotations, key) != NULL;
    return secret_content_names(content, key);
}

/* The class does not own any more what it does not name any more. */
static void release_unnamed(struct patch_build *build, enum secret_part part)
{
    const char *class = build->desired->class_name;
    const cJSON *key = NULL;

    cJSON_ArrayForEach(key, secret_field_owners_keys(build->written_owners, class, part))
    {
        if (!is_desired(build->desired->content, part, key->valuestring))
            secret_field_owners_remove(build->field_owners, class, part, key->valuestring);
    }
}

/* Removes a field, if it is there and has no owner any more. */
static int remove_unowned(struct patch_build *build, enum secret_part part, const char *key)
{
    cJSON *changes;

    if (!is_ownable(key) || is_desired(build->desired->content, part, key) ||
        member(fields_of(build->current, part), key) == NULL ||
        secret_field_owners_other(build->field_owners, /* class= */ NULL, part, key) != NULL)
        return 0;
    if (is_refused(build->desired, secret_part_name(part), key, NULL))
        return 0;
    changes = changes_of(build->patch, part);
    if (member(changes, key) != NULL) /* it had two owners */
        return 0;
    return cJSON_AddNullToObject(changes, key) != NULL ? 0 : -1;
}

/* Labels and annotations that have lost their last owner. Those that never had one belong to others. */
static int remove_released(struct patch_build *build, enum secret_part part)
{
    const cJSON *owner = NULL, *key = NULL;

    cJSON_ArrayForEach(owner, build->written_owners)
    {
        cJSON_ArrayForEach(key, member(owner, secret_part_name(part)))
        {
            if (remove_unowned(build, part, key->valuestring) < 0)
                return -1;
        }
    }
    return 0;
}

static int patch_map(struct patch_build *build, enum secret_part part, const struct string_map *desired)
{
    release_unnamed(build, part);
    for (size_t i = 0; i < desired->n; i++) {
        if (patch_field(build, part, desired->entries[i].key, desired->entries[i].value) < 0)
            return -1;
    }
    return remove_released(build, part);
}

static int patch_value(struct patch_build *build, const struct secret_value *value)
{
    cleanup_secret_free char *text = base64_encode(secret_bytes(value->bytes), secret_len(value->bytes));

    return text != NULL ? patch_field(build, SECRET_DATA, value->key, text) : -1;
}

static int patch_data(struct patch_build *build)
{
    const struct secret_content *content = build->desired->content;
    const cJSON *item = NULL;

    release_unnamed(build, SECRET_DATA);
    for (size_t i = 0; i < content->n_values; i++) {
        if (patch_value(build, &content->values[i]) < 0)
            return -1;
    }
    if (build->written_owners->child == NULL)
        return 0; /* the owners of the rest are known when all classes have been synced */
    cJSON_ArrayForEach(item, fields_of(build->current, SECRET_DATA))
    {
        if (remove_unowned(build, SECRET_DATA, item->string) < 0)
            return -1;
    }
    return 0;
}

/* Data stays as it is; its owner is restored when it is lost. */
static int own_data(struct patch_build *build)
{
    const struct secret_content *content = build->desired->content;
    const char *class = build->desired->class_name;

    if (member(build->written_owners, class) != NULL)
        return 0;
    for (size_t i = 0; i < content->n_values; i++) {
        const char *key = content->values[i].key;

        if (secret_field_owners_other(build->field_owners, class, SECRET_DATA, key) == NULL &&
            secret_field_owners_add(build->field_owners, class, SECRET_DATA, key) < 0)
            return -1;
    }
    return 0;
}

static int patch_field_owners(struct patch_build *build)
{
    cleanup_secret_free char *text = NULL;

    if (cJSON_Compare(build->field_owners, build->written_owners, /* case_sensitive= */ 1))
        return 0;
    text = secret_field_owners_text(build->field_owners);
    if (text == NULL)
        return -1;
    if (is_refused(build->desired, secret_part_name(SECRET_ANNOTATIONS), SECRET_FIELD_OWNERS_ANNOTATION,
                   text))
        return 0;
    return cJSON_AddStringToObject(changes_of(build->patch, SECRET_ANNOTATIONS),
                                   SECRET_FIELD_OWNERS_ANNOTATION, text) != NULL
               ? 0
               : -1;
}

static bool is_ours(const struct desired_secret *desired, const cJSON *current)
{
    const cJSON *metadata = member(current, "metadata");
    const cJSON *references = member(metadata, "ownerReferences");

    if (strcmp(string_of(member(metadata, "labels"), SECRET_MANAGED_LABEL), "true") == 0)
        return true;
    for (size_t i = 0; i < desired->owners->n; i++) {
        if (has_reference(references, desired->owners->items[i].uid))
            return true;
    }
    return false;
}

/* Any JSON may come back. */
static int check_shape(const cJSON *current, struct error **err)
{
    const cJSON *metadata = NULL, *field = NULL;

    if (json_get_object(current, "metadata", &metadata, err) < 0 ||
        json_opt_object(metadata, "labels", &field, err) < 0 ||
        json_opt_object(metadata, "annotations", &field, err) < 0 ||
        json_opt_array(metadata, "ownerReferences", &field, err) < 0 ||
        json_opt_object(current, "data", &field, err) < 0) {
        (void)error_recode(err, GRPC_STATUS_INTERNAL);
        return error_wrap(err, "the API server's response is no Secret");
    }
    return 0;
}

static int check_current(const struct desired_secret *desired, const cJSON *current, struct error **err)
{
    const char *type = string_of(current, "type");

    if (check_shape(current, err) < 0)
        return -1;
    if (kube_is_being_deleted(current))
        return error_set(err, GRPC_STATUS_UNAVAILABLE,
                         "the Secret is being deleted, the driver creates it again when it is gone");
    if (!is_ours(desired, current))
        return error_set(
            err, GRPC_STATUS_FAILED_PRECONDITION,
            "the Secret exists and was not created by this driver: delete it, or give it the label " SECRET_MANAGED_LABEL
            "=true to let this driver overwrite it");
    if (strcmp(type, desired->content->type) != 0)
        return error_set(
            err, GRPC_STATUS_FAILED_PRECONDITION,
            "the Secret exists with type '%.253s', the class says '%.253s', and the type of a Secret cannot be changed: delete the Secret or correct the class",
            type, desired->content->type);
    return 0;
}

static int patch_metadata(struct patch_build *build)
{
    const struct desired_secret *desired = build->desired;
    const struct secret_content *content = desired->content;

    if (!is_omitted(desired, SECRET_LABELS) && patch_map(build, SECRET_LABELS, &content->labels) < 0)
        return -1;
    if (!is_omitted(desired, SECRET_ANNOTATIONS) &&
        patch_map(build, SECRET_ANNOTATIONS, &content->annotations) < 0)
        return -1;
    return (desired->omit & SECRET_OMIT_OWNERS) != 0 ? 0
                                                     : patch_owners(build->patch, desired, build->current);
}

/* Data that is left out is compared all the same: the annotation of the field owners shows it. */
static int patch_all(struct patch_build *build)
{
    const struct desired_secret *desired = build->desired;

    if (patch_metadata(build) < 0 ||
        (desired->mode == SECRET_APPLY ? patch_data(build) : own_data(build)) < 0)
        return -1;
    if (is_omitted(desired, SECRET_DATA))
        cJSON_DeleteItemFromObjectCaseSensitive(build->patch, secret_part_name(SECRET_DATA));
    return is_omitted(desired, SECRET_ANNOTATIONS) ? 0 : patch_field_owners(build);
}

static struct error *conflict_error(const struct patch_build *build)
{
    static const char *const nouns[SECRET_PARTS] = {"key", "label", "annotation"};
    struct error *error = NULL;
    char more[40] = "";

    if (build->n_conflicts > 1)
        (void)snprintf(more, sizeof(more), " (and %zu more)", build->n_conflicts - 1);
    (void)error_set(
        &error, GRPC_STATUS_FAILED_PRECONDITION,
        "%s '%.253s'%s keeps the value of secretproviderclass '%.253s': two classes set different values, and the class that was mounted last owns the field; let one of them name another Secret or another key",
        nouns[build->first_part], build->first_key, more, build->first_owner);
    return error;
}

void secret_patch_finish(struct secret_patch *patch)
{
    cJSON_Delete(patch->json);
    error_free(patch->conflict);
    *patch = (struct secret_patch){0};
}

/* Outdated owners are known for one version of the Secret only. */
static cJSON *initial_field_owners(const struct desired_secret *desired, const cJSON *current,
                                   const cJSON *written_owners)
{
    bool pruned = desired->field_owners != NULL && strcmp(kube_metadata_string(current, "resourceVersion"),
                                                          desired->field_owners_version) == 0;

    return cJSON_Duplicate(pruned ? desired->field_owners : written_owners, /* recurse= */ 1);
}

int secret_patch_build(const struct desired_secret *desired, const cJSON *current, struct secret_patch *ret,
                       struct error **err)
{
    cleanup_json cJSON *written_owners = NULL;
    cleanup_json cJSON *field_owners = NULL;
    cleanup_json cJSON *patch = cJSON_CreateObject();
    struct patch_build build;

    if (check_current(desired, current, err) < 0)
        return -1;
    written_owners = secret_field_owners_read(current);
    field_owners = initial_field_owners(desired, current, written_owners);
    if (written_owners == NULL || field_owners == NULL || patch == NULL)
        return error_no_memory(err, NULL);
    build = (struct patch_build){.desired = desired,
                                 .current = current,
                                 .written_owners = written_owners,
                                 .field_owners = field_owners,
                                 .patch = patch};
    if (patch_all(&build) < 0)
        return error_no_memory(err, NULL);
    if (member(patch, "data") != NULL && cJSON_IsTrue(member(current, "immutable")))
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                         "the Secret is immutable and its data cannot be changed: delete it");
    *ret = (struct secret_patch){.json = patch->child != NULL ? steal_ptr(&patch) : NULL,
                                 .conflict = build.n_conflicts > 0 ? conflict_error(&build) : NULL};
    return 0;
}
