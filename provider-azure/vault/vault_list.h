/*
 * vault_list.h - Key Vault's lists: the versions of an object, or the objects of a type, page by page.
 */
#ifndef PROVIDER_AZURE_VAULT_VAULT_LIST_H
#define PROVIDER_AZURE_VAULT_VAULT_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/string_map.h"

/* Entries read for one list. Key Vault itself has no limit; 400 pages of 25 are far more than one rotates or
 * selects from. */
enum { VAULT_MAX_ENTRIES = 10000, VAULT_MAX_PAGES = 1000, VAULT_PAGE = 25 };

struct vault_entry {
    char *name;    /* second and third path segment of id or kid; "" where there is none */
    char *version; /* "" in a list of objects */
    int64_t created;
    int64_t updated;
    bool enabled; /* false also for entries without attributes: both are skipped */
    struct string_map tags;
};

struct vault_list {
    struct vault_entry *entries;
    size_t n;
};

/* Adds a page to a list, which begins as {0}. *ret_next is the nextLink (free()), NULL on the last page.
 * Errors as vault_object_parse(), and RESOURCE_EXHAUSTED for more than VAULT_MAX_ENTRIES. */
int vault_list_add_page(struct vault_list *list, const char *json, size_t len, char **ret_next,
                        struct error **err);

/* The versions to mount for an object with a history: at most `count` enabled ones, newest first, beginning
 * with `start` ("" = newest). Ties in `created` are broken by `updated`, then by the version id, so that
 * rotations agree. `ret_chosen` has space for `count` pointers. Returns how many; -1 with NOT_FOUND when
 * `start` is not in the list. */
int vault_list_select(const struct vault_list *list, const char *start, size_t count,
                      const struct vault_entry **ret_chosen, struct error **err);

/* Frees the entries. */
void vault_list_finish(struct vault_list *list);
#define cleanup_vault_list CLEANUP(vault_list_finish)

#endif
