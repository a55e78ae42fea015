/*
 * vault_list_filter.h - what a list keeps: the entries that its mount asked for, and nothing else.
 *
 * A filter is filled while a mount plans its reads, and immutable from the first request on. It is shared by
 * reference count.
 */
#ifndef PROVIDER_AZURE_VAULT_VAULT_LIST_FILTER_H
#define PROVIDER_AZURE_VAULT_VAULT_LIST_FILTER_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/crypto/digest.h"
#include "provider-azure/objects/object_select.h"

struct vault_list_filter {
    unsigned refs;
    /* A list of objects: those that one of the selections chooses, with the tags that it names. */
    struct object_select **selects;
    size_t n_selects;
    /* A list of versions: at most `count`, newest first, beginning with `start` ("" = newest). */
    char *start;
    size_t count;
};

/* Keeps nothing yet; one reference. `start` is copied. NULL with err set on lack of memory. */
struct vault_list_filter *vault_list_filter_create(const char *start, struct error **err);

/* Keeps also what `select` chooses; takes a reference. -1 on lack of memory. */
int vault_list_filter_add_select(struct vault_list_filter *filter, struct object_select *select,
                                 struct error **err);

/* Keeps at least so many versions. */
void vault_list_filter_add_count(struct vault_list_filter *filter, size_t count);

/* Equal for filters that keep the same; NULL is a filter, too. */
void vault_list_filter_digest(const struct vault_list_filter *filter, uint8_t ret_digest[DIGEST_SHA256_LEN]);

/* Counts one holder more, and one fewer. Both accept NULL. */
struct vault_list_filter *vault_list_filter_ref(struct vault_list_filter *filter);
void vault_list_filter_unref(struct vault_list_filter *filter);

#endif
