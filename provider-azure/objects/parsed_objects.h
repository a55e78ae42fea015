/*
 * parsed_objects.h - what `objects` parameters say, kept for the next mounts with the same text: the pods of
 * a class, and each rotation check.
 *
 * The text is no secret, and neither is what it says. Used on the loop only.
 */
#ifndef PROVIDER_AZURE_OBJECTS_PARSED_OBJECTS_H
#define PROVIDER_AZURE_OBJECTS_PARSED_OBJECTS_H

#include "provider-azure/objects/objects.h"

/* The texts, and an estimate for their items, as bytes: some 20 classes of 10 objects. */
enum { PARSED_OBJECTS_BYTES = 128 * 1024 };

struct parsed_objects_cache;
struct parsed_objects; /* counts its references; unchanged for as long as there are any */

/* NULL without memory. */
struct parsed_objects_cache *parsed_objects_cache_create(struct error **err);
/* References that others have stay good. Accepts NULL. */
void parsed_objects_cache_destroy(struct parsed_objects_cache *cache);

/* Parses as objects_parse() does, with its errors and findings, unless the cache has the result for this text
 * and these defaults. It keeps results without findings only,
 * so that all callers of one cache have to collect them. `cache` may be NULL. The caller owns a
 * reference. */
struct parsed_objects *parsed_objects_get(struct parsed_objects_cache *cache, const char *text,
                                          const struct object_defaults *defaults, struct error **err);
void parsed_objects_unref(struct parsed_objects *parsed);

/* Borrowed from `parsed`. */
const struct object_list *parsed_objects_list(const struct parsed_objects *parsed);

#endif
