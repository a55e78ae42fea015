/*
 * object_select.h - an item that stands for several objects: a pattern for their names, tags they must have,
 * and the paths of their files.
 */
#ifndef PROVIDER_AZURE_OBJECTS_OBJECT_SELECT_H
#define PROVIDER_AZURE_OBJECTS_OBJECT_SELECT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"
#include "common/base/string_map.h"

/* A real pattern is a prefix and a star; Key Vault allows 15 tags on an object. */
enum { OBJECT_PATTERN_MAX = 256, OBJECT_TAGS_MAX = 15 };

struct object_select; /* immutable, shared by reference count */

/* `pattern`: '*' stands for any characters, '?' for one; case does not matter, as in Key Vault's names; ""
 * for any name. `tags`: "name=value, name=value", all of which the object must have with this spelling; ""
 * for none. At least one of the two must be given. INVALID_ARGUMENT. One reference. */
struct object_select *object_select_create(const char *pattern, const char *tags, struct error **err);

/* Its name in messages: the pattern. */
const char *object_select_text(const struct object_select *select);

/* The tags that an object must have. */
const struct string_map *object_select_tags(const struct object_select *select);

/* Whether an object with this name and these tags is chosen. */
bool object_select_matches(const struct object_select *select, const char *name,
                           const struct string_map *tags);

/* The path of an object's file by the item's alias: with a '*' in the alias, the alias with every '*'
 * replaced by the name; otherwise "<alias>/<name>"; without an alias the name. The caller frees; NULL on
 * lack of memory. */
char *object_select_path(const char *alias, const char *name);

/* Counts one holder more, and one fewer (accepts NULL). */
struct object_select *object_select_ref(struct object_select *select);
void object_select_unref(struct object_select *select);

#endif
