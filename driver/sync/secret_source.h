/*
 * secret_source.h - what Secrets are made of, copied out of a publish: a sync may outlive the publish that
 * started it. Of files that no secretObjects entry names only the name is copied, for reports.
 */
#ifndef DRIVER_SYNC_SECRET_SOURCE_H
#define DRIVER_SYNC_SECRET_SOURCE_H

#include "common/class/class.h"
#include "driver/payload/payload.h"

/* Name, namespace, provider and secretObjects of a class, without its parameters. The caller frees with
 * secret_provider_class_free(). NULL with err set on lack of memory. */
struct secret_provider_class *secret_source_class(const struct secret_provider_class *class,
                                                  struct error **err);

/* The files that the class's secretObjects name, and the others without contents; *ret is sealed. */
int secret_source_files(const struct secret_provider_class *class, const struct payload *files,
                        struct payload *ret, struct error **err);

#endif
