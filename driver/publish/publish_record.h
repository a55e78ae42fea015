/*
 * publish_record.h - the end of a publish: the volume is recorded, rolled back, or left as it is.
 *
 * Each function takes the operation over: it may be freed on return.
 */
#ifndef DRIVER_PUBLISH_PUBLISH_RECORD_H
#define DRIVER_PUBLISH_PUBLISH_RECORD_H

#include "driver/publish/publish_state.h"

/* OK: the volume is complete and no rotation check is due. */
void publish_enter_unchanged(struct publish *publish);

/* RECORD: the volume shows the provider's files. */
void publish_enter_record(struct publish *publish);

/* Does a volume of this publish have to be rolled back unless it can be recorded? */
bool publish_requires_record(const struct publish *publish);

/* ROLLBACK: the volume is there and must not stay. Takes over *cause, the error for a caller that waits. */
void publish_enter_rollback(struct publish *publish, struct error **cause);

/* Ends the operation with an error when no child and no worker runs. What PREPARE has made is rolled back,
 * what it has opened is closed. `type` NULL: from the error. */
void publish_fail(struct publish *publish, const struct error *error, const char *type);

/* The first half of it: reports the failure; a republish keeps it as well. The operation goes on. */
void publish_note_failure(struct publish *publish, const struct error *error, const char *type);

/* The second half, of a publish with a caller that does not wait. */
void publish_end_failed(struct publish *publish);

#endif
