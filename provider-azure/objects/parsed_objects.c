/*
 * parsed_objects.c - the texts of recent mounts, the last used one last.
 */
#include "provider-azure/objects/parsed_objects.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "common/base/list.h"
#include "common/lint/findings.h"

enum { ITEM_BYTES = 512 }; /* an item with its texts, in blocks of the allocator */

struct parsed_objects {
    struct list link; /* in the cache, or alone */
    unsigned refs;    /* one of them is the cache's */
    struct object_list list;
    mode_t mode; /* with `history` and `text`: the key */
    enum history_count history;
    size_t len;
    char text[];
};

struct parsed_objects_cache {
    struct list entries;
    size_t bytes;
};

static size_t bytes_of(const struct parsed_objects *parsed)
{
    return sizeof(*parsed) + parsed->len + (parsed->list.n + parsed->list.n_composed) * ITEM_BYTES;
}

struct parsed_objects_cache *parsed_objects_cache_create(struct error **err)
{
    struct parsed_objects_cache *cache = alloc_zeroed(sizeof(*cache), err);

    if (cache != NULL)
        list_init(&cache->entries);
    return cache;
}

static void forget(struct parsed_objects_cache *cache, struct parsed_objects *parsed)
{
    cache->bytes -= bytes_of(parsed);
    list_remove(&parsed->link);
    parsed_objects_unref(parsed);
}

static struct parsed_objects *oldest(const struct parsed_objects_cache *cache)
{
    return container_of(cache->entries.next, struct parsed_objects, link);
}

void parsed_objects_cache_destroy(struct parsed_objects_cache *cache)
{
    while (cache != NULL && !list_empty(&cache->entries))
        forget(cache, oldest(cache));
    free(cache);
}

static struct parsed_objects *find(const struct parsed_objects_cache *cache, const char *text, size_t len,
                                   const struct object_defaults *defaults)
{
    for (struct list *link = cache->entries.prev; link != &cache->entries; link = link->prev) {
        struct parsed_objects *parsed = container_of(link, struct parsed_objects, link);
        if (parsed->len == len && parsed->mode == defaults->mode && parsed->history == defaults->history &&
            memcmp(parsed->text, text, len) == 0)
            return parsed;
    }
    return NULL;
}

/* Makes it the last used one. */
static void put(struct parsed_objects_cache *cache, struct parsed_objects *parsed)
{
    if (bytes_of(parsed) > PARSED_OBJECTS_BYTES)
        return;
    while (cache->bytes > PARSED_OBJECTS_BYTES - bytes_of(parsed))
        forget(cache, oldest(cache));
    list_insert_before(&cache->entries, &parsed->link);
    cache->bytes += bytes_of(parsed);
    parsed->refs++;
}

static size_t count(const struct findings *findings)
{
    return findings != NULL ? findings->n + findings->left_out : 0;
}

struct parsed_objects *parsed_objects_get(struct parsed_objects_cache *cache, const char *text,
                                          const struct object_defaults *defaults, struct error **err)
{
    size_t len = strlen(text);
    struct parsed_objects *parsed = cache != NULL ? find(cache, text, len, defaults) : NULL;

    if (parsed != NULL) {
        list_remove(&parsed->link);
        list_insert_before(&cache->entries, &parsed->link);
        parsed->refs++;
        return parsed;
    }
    parsed = alloc_zeroed(sizeof(*parsed) + len + 1, err);
    if (parsed == NULL)
        return NULL;
    list_init(&parsed->link);
    parsed->refs = 1;
    parsed->mode = defaults->mode;
    parsed->history = defaults->history;
    parsed->len = len;
    memcpy(parsed->text, text, len);
    size_t n_findings = count(defaults->findings);
    if (objects_parse(text, defaults, &parsed->list, err) < 0) {
        parsed_objects_unref(parsed);
        return NULL;
    }
    if (cache != NULL && count(defaults->findings) == n_findings)
        put(cache, parsed);
    return parsed;
}

void parsed_objects_unref(struct parsed_objects *parsed)
{
    if (parsed == NULL || --parsed->refs > 0)
        return;
    object_list_finish(&parsed->list);
    free(parsed);
}

const struct object_list *parsed_objects_list(const struct parsed_objects *parsed)
{
    return &parsed->list;
}
