/*
 * expected_files.h - the files that a list of items makes, as far as that is known before the vault is read.
 */
#ifndef PROVIDER_AZURE_OBJECTS_EXPECTED_FILES_H
#define PROVIDER_AZURE_OBJECTS_EXPECTED_FILES_H

#include "provider-azure/objects/objects.h"

/* Called for each file: its path, or a pattern (common/base/glob.h) of the paths of several. -1 stops. */
typedef int expected_file(void *arg, const char *path, bool is_pattern, struct error **err);

/* Hidden items make none. */
int expected_files_each(const struct object_list *list, expected_file *each, void *arg, struct error **err);

#endif
