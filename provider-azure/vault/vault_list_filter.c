/*
 * vault_list_filter.c - what a list keeps.
 */
#include "provider-azure/vault/vault_list_filter.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"

struct vault_list_filter *vault_list_filter_create(const char *start, struct error **err)
{
    struct vault_list_filter *filter = calloc(1, sizeof(*filter));
    if (filter != NULL) {
        filter->refs = 1;
        filter->start = strdup(start);
    }
    if (filter == NULL || filter->start == NULL) {
        (void)error_no_memory(err, NULL);
        vault_list_filter_unref(filter);
        return NULL;
    }
    return filter;
}

int vault_list_filter_add_select(struct vault_list_filter *filter, struct object_select *select,
                                 struct error **err)
{
    struct object_select **grown =
        reallocarray(filter->selects, filter->n_selects + 1, sizeof(struct object_select *));
    if (grown == NULL)
        return error_no_memory(err, NULL);
    filter->selects = grown;
    filter->selects[filter->n_selects++] = object_select_ref(select);
    return 0;
}

void vault_list_filter_add_count(struct vault_list_filter *filter, size_t count)
{
    if (filter->count < count)
        filter->count = count;
}

/* Replaces the digest by one of itself and the fields. */
static void chain(uint8_t digest[DIGEST_SHA256_LEN], const void *bytes, size_t len)
{
    uint8_t next[DIGEST_SHA256_LEN];
    const struct digest_field fields[] = {{digest, DIGEST_SHA256_LEN}, {bytes, len}};
    digest_fields(fields, ARRAY_SIZE(fields), next);
    memcpy(digest, next, DIGEST_SHA256_LEN);
}

void vault_list_filter_digest(const struct vault_list_filter *filter, uint8_t ret_digest[DIGEST_SHA256_LEN])
{
    memset(ret_digest, 0, DIGEST_SHA256_LEN);
    if (filter == NULL)
        return;
    chain(ret_digest, filter->start, strlen(filter->start));
    chain(ret_digest, &filter->count, sizeof(filter->count));
    for (size_t i = 0; i < filter->n_selects; i++) {
        const char *pattern = object_select_text(filter->selects[i]);
        const struct string_map *tags = object_select_tags(filter->selects[i]);
        chain(ret_digest, pattern, strlen(pattern));
        chain(ret_digest, &tags->n, sizeof(tags->n));
        for (size_t k = 0; k < tags->n; k++) {
            chain(ret_digest, tags->entries[k].key, strlen(tags->entries[k].key));
            chain(ret_digest, tags->entries[k].value, strlen(tags->entries[k].value));
        }
    }
}

struct vault_list_filter *vault_list_filter_ref(struct vault_list_filter *filter)
{
    if (filter != NULL)
        filter->refs++;
    return filter;
}

void vault_list_filter_unref(struct vault_list_filter *filter)
{
    if (filter == NULL || --filter->refs > 0)
        return;
    for (size_t i = 0; i < filter->n_selects; i++)
        object_select_unref(filter->selects[i]);
    free(filter->selects);
    free(filter->start);
    free(filter);
}
