/*
 * publish_fetch.h - the middle of a publish: the provider's files, and the volume that shows them.
 *
 * A provider may write its files itself, below the target path. PREPARE mounts a tmpfs there before the
 * call, so that no secret is ever on a disk, whatever ends when. It is left out for a provider that is known
 * to return files: such a volume is invisible until it is whole. Should that provider return none, what it
 * may have written is removed from the disk, and it is called once more, after PREPARE.
 */
#ifndef DRIVER_PUBLISH_PUBLISH_FETCH_H
#define DRIVER_PUBLISH_PUBLISH_FETCH_H

#include "driver/publish/publish_state.h"

/* PREPARE or PROVIDER. Takes the class over; the operation may be freed on return. */
void publish_enter_fetch(struct publish *publish, struct secret_provider_class *class);

/* An early fetch: while the class is being read (publish->lookup), the provider is called with the class as
 * it was read last, which is taken over. Has no effect where a volume has to be prepared. Nothing is written
 * before publish_confirm_early_fetch(). A failure ends the early fetch, and shows only in the metrics of
 * calls to providers. */
void publish_start_early_fetch(struct publish *publish, struct secret_provider_class *class);

/* The class has not changed: PROVIDER or WRITE. There is an early fetch; the operation may be freed on
 * return. */
void publish_confirm_early_fetch(struct publish *publish);

/* It has, or cannot be read. Has no effect without an early fetch. */
void publish_end_early_fetch(struct publish *publish);

/* The `write` of modes: a volume that is new or incomplete, and one that is complete. */
void publish_write_new(struct publish_job *job);
void publish_write_again(struct publish_job *job);

#endif
