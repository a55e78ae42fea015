/*
 * field_owner_lookup.h - finds the field owners of a Secret (secret_field_owners.h) that are outdated:
 * classes that do not exist any more, or that name other fields by now.
 *
 *     start ─▶ GET class ─▶ GET the next one ─▶ ... ─▶ done
 *
 * The classes are read after the Secret was, and not from a cache: an entry that a newer version of its class
 * has made never counts as outdated. A class that cannot be read keeps its fields.
 *
 * Contract of the operation: common/grpc/client.h.
 */
#ifndef DRIVER_SYNC_FIELD_OWNER_LOOKUP_H
#define DRIVER_SYNC_FIELD_OWNER_LOOKUP_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "driver/class/class_source.h"

struct field_owner_lookup;

/* `field_owners` as they were given, without the outdated ones; the callee may take them (set to NULL).
 * `outdated`: there were any. There are no failures. */
typedef void field_owner_lookup_callback(cJSON **field_owners, bool outdated, void *arg);

/* All borrowed until the end but `field_owners`, which is taken over, also on failure. `class_name` is the
 * class that is synced: its own fields are not checked. There must be other owners. */
struct field_owner_lookup *field_owner_lookup_start(const struct class_source *classes, const char *ns,
                                                    const char *class_name, const char *secret,
                                                    cJSON *field_owners,
                                                    field_owner_lookup_callback *callback, void *arg,
                                                    struct error **err);

/* Sets *lookup to NULL; the callback will not run. */
void field_owner_lookup_cancel(struct field_owner_lookup **lookup);

#endif
