/*
 * claim_lookup.h - finds the claims of other classes to a Secret (secret_claims.h) that are outdated: of
 * classes that do not exist any more, or that name other fields by now.
 *
 *     start ─▶ GET class ─▶ GET the next one ─▶ ... ─▶ done
 *
 * The classes are read after the Secret was, and not from a memory: a claim that a newer version of its class
 * has made is never taken for outdated. A class that can not be read keeps its claims.
 *
 * Contract of the operation: common/grpc/client.h.
 */
#ifndef DRIVER_FIELD_OWNER_LOOKUP_H
#define DRIVER_FIELD_OWNER_LOOKUP_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "driver/class/class_source.h"

struct claim_lookup;

/* `claims` as they were given, without the outdated ones; the callee may take them (set to NULL).
 * `outdated`: there were any. There are no failures. */
typedef void claim_lookup_callback(cJSON **claims, bool outdated, void *arg);

/* All borrowed until the end but `claims`, which is taken over, also on failure. `class_name` is the class on
 * whose behalf this is asked: its claims are not looked at. There must be others. */
struct claim_lookup *claim_lookup_start(const struct class_source *classes, const char *ns,
                                        const char *class_name, const char *secret, cJSON *claims,
                                        claim_lookup_callback *callback, void *arg, struct error **err);

/* Sets *lookup to NULL; the callback will not run. */
void claim_lookup_cancel(struct claim_lookup **lookup);

#endif
