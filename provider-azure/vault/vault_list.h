/*
 * vault_list.h - Key Vault's lists: the versions of an object, or the objects of a type, page by page.
 */
#ifndef PROVIDER_AZURE_VAULT_VAULT_LIST_H
#define PROVIDER_AZURE_VAULT_VAULT_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/string_map.h"
#include "provider-azure/vault/vault_list_filter.h"

/* Entries read for one list. Key Vault itself has no limit; 400 pages of 25 are far more than one rotates or
 * selects from. */
enum { VAULT_MAX_ENTRIES = 10000, VAULT_MAX_PAGES = 1000, VAULT_PAGE = 25 };

/* Bytes that a list keeps. All lists together keep VAULT_LISTS_MAX_BYTES, where the first VAULT_LIST_SMALL
 * of each do not count: whoever has long lists cannot stop the short ones of others. */
enum {
    VAULT_LIST_MAX_BYTES = 1024 * 1024,
    VAULT_LIST_SMALL = 16 * 1024,
    VAULT_LISTS_MAX_BYTES = 8 * 1024 * 1024,
};

/* An entry that is kept is enabled. */
struct vault_entry {
    char *name;    /* of a list of objects: second path segment of id or kid; NULL in a list of versions */
    char *version; /* of a list of versions: the third one; NULL in a list of objects */
    int64_t created;
    int64_t updated;
    struct string_map tags; /* of a list of objects: those that the filter names */
};

/* The bytes of all lists, beyond the first VAULT_LIST_SMALL of each. */
struct vault_lists {
    size_t bytes;
};

/* Begins with filter and all; the list owns its reference to the filter. */
struct vault_list {
    struct vault_list_filter *filter;
    struct vault_lists *all; /* borrowed; NULL: only this list is bounded */
    struct vault_entry *entries;
    size_t n, capacity;
    size_t read;    /* entries of the pages so far, also those that are not kept */
    size_t enabled; /* of these */
    size_t bytes;   /* kept */
};

/* Adds a page to a list. *ret_next is the nextLink (free()), NULL on the last page. Only what the filter asks
 * for is kept. Errors as vault_object_parse(), and RESOURCE_EXHAUSTED for more than VAULT_MAX_ENTRIES, or too
 * many bytes. */
int vault_list_add_page(struct vault_list *list, const char *json, size_t len, char **ret_next,
                        struct error **err);

/* The versions to mount for an object with a history: at most `count`, newest first, beginning with `start`
 * ("" = newest); the filter has asked for them. Ties in `created` are broken by `updated`, then by the
 * version id, so that rotations agree. `ret_chosen` has space for `count` pointers. Returns how many; -1 with
 * NOT_FOUND when `start` is not in the list. */
int vault_list_select(const struct vault_list *list, const char *start, size_t count,
                      const struct vault_entry **ret_chosen, struct error **err);

/* Frees the entries and the reference to the filter. */
void vault_list_finish(struct vault_list *list);
#define cleanup_vault_list CLEANUP(vault_list_finish)

#endif
