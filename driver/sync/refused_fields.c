/*
 * refused_fields.c - the fields of a Secret that the API server keeps from their desired value.
 */
#include "driver/sync/refused_fields.h"

#include <stdlib.h>
#include <string.h>

#include "driver/sync/secret_fields.h"

static void digest_of(const char *value, uint8_t digest[DIGEST_SHA256_LEN])
{
    const struct digest_field fields[] = {
        {.bytes = value, .len = value != NULL ? strlen(value) : 0},
        {.bytes = value == NULL ? "-" : NULL, .len = value == NULL ? 1 : 0}};

    digest_fields(fields, ARRAY_SIZE(fields), digest);
}

static struct refused_field *find(const struct refused_fields *fields, const char *part, const char *key)
{
    for (size_t i = 0; i < fields->n; i++) {
        if (strcmp(fields->items[i].part, part) == 0 && strcmp(fields->items[i].key, key) == 0)
            return &fields->items[i];
    }
    return NULL;
}

static bool has(const struct refused_fields *fields, const char *part, const char *key,
                const uint8_t digest[DIGEST_SHA256_LEN])
{
    const struct refused_field *found = find(fields, part, key);

    return found != NULL && memcmp(found->digest, digest, DIGEST_SHA256_LEN) == 0;
}

bool refused_fields_has(const struct refused_fields *fields, const char *part, const char *key,
                        const char *value)
{
    uint8_t digest[DIGEST_SHA256_LEN];

    if (fields->n == 0)
        return false;
    digest_of(value, digest);
    return has(fields, part, key, digest);
}

static int add(struct refused_fields *fields, const char *part, const char *key,
               const uint8_t digest[DIGEST_SHA256_LEN])
{
    struct refused_field *field = find(fields, part, key);
    struct refused_field *grown;

    if (field == NULL) {
        grown = reallocarray(fields->items, fields->n + 1, sizeof(*grown));
        if (grown == NULL)
            return -1;
        fields->items = grown;
        field = &grown[fields->n];
        *field = (struct refused_field){.part = strdup(part), .key = strdup(key)};
        if (field->part == NULL || field->key == NULL) {
            free(field->part);
            free(field->key);
            return -1;
        }
        fields->n++;
    }
    memcpy(field->digest, digest, DIGEST_SHA256_LEN);
    return 0;
}

int refused_fields_add(struct refused_fields *fields, const char *part, const char *key, const char *value)
{
    uint8_t digest[DIGEST_SHA256_LEN];

    digest_of(value, digest);
    return add(fields, part, key, digest);
}

int refused_fields_merge(struct refused_fields *fields, const struct refused_fields *from)
{
    for (size_t i = 0; i < from->n; i++) {
        if (add(fields, from->items[i].part, from->items[i].key, from->items[i].digest) < 0)
            return -1;
    }
    return 0;
}

/* --- what has become of a request --- */

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static bool is_equal(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static int compare_part(struct refused_fields *fields, const char *part, const cJSON *sent,
                        const cJSON *metadata)
{
    const cJSON *found = member(metadata, part);
    const cJSON *item = NULL;

    cJSON_ArrayForEach(item, member(sent, part))
    {
        const char *value = cJSON_GetStringValue(item); /* NULL: it was removed */

        if (!is_equal(value, cJSON_GetStringValue(member(found, item->string))) &&
            refused_fields_add(fields, part, item->string, value) < 0)
            return -1;
    }
    return 0;
}

static bool has_owner(const cJSON *metadata, const char *uid)
{
    const cJSON *item = NULL;

    cJSON_ArrayForEach(item, member(metadata, REFUSED_OWNERS))
    {
        if (is_equal(cJSON_GetStringValue(member(item, "uid")), uid))
            return true;
    }
    return false;
}

static int compare_owners(struct refused_fields *fields, const cJSON *sent, const cJSON *metadata)
{
    const cJSON *item = NULL;

    cJSON_ArrayForEach(item, member(sent, REFUSED_OWNERS))
    {
        const char *uid = cJSON_GetStringValue(member(item, "uid"));

        if (uid != NULL && !has_owner(metadata, uid) &&
            refused_fields_add(fields, REFUSED_OWNERS, uid, "") < 0)
            return -1;
    }
    return 0;
}

int refused_fields_compare(struct refused_fields *fields, const cJSON *sent, const cJSON *metadata)
{
    if (compare_part(fields, secret_part_name(SECRET_LABELS), sent, metadata) < 0 ||
        compare_part(fields, secret_part_name(SECRET_ANNOTATIONS), sent, metadata) < 0)
        return -1;
    return compare_owners(fields, sent, metadata);
}

const struct refused_field *refused_fields_new(const struct refused_fields *fields,
                                               const struct refused_fields *old, size_t *ret_n)
{
    const struct refused_field *first = NULL;

    *ret_n = 0;
    for (size_t i = 0; i < fields->n; i++) {
        if (has(old, fields->items[i].part, fields->items[i].key, fields->items[i].digest))
            continue;
        if ((*ret_n)++ == 0)
            first = &fields->items[i];
    }
    return first;
}

void refused_fields_finish(struct refused_fields *fields)
{
    for (size_t i = 0; i < fields->n; i++) {
        free(fields->items[i].part);
        free(fields->items[i].key);
    }
    free(fields->items);
    *fields = (struct refused_fields){0};
}
