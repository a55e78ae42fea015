/*
 * item_findings.h - items that mount, but probably not what their author means: histories, encodings, formats
 * and modes. docs/lint.md explains the rules.
 */
#ifndef PROVIDER_AZURE_OBJECTS_ITEM_FINDINGS_H
#define PROVIDER_AZURE_OBJECTS_ITEM_FINDINGS_H

#include "common/base/yaml.h"
#include "provider-azure/objects/object_item.h"

/* Adds findings to defaults->findings, which may be NULL. `item` was read from `root` (NULL: an empty one),
 * the first document of `text`. */
void item_findings_add(const char *text, const struct yaml_node *root, const struct object_item *item,
                       const struct object_defaults *defaults);

/* Adds a finding when the text has further YAML documents, which nobody reads. `findings` may be NULL. */
void item_findings_add_rest(const char *text, struct findings *findings);

#endif
