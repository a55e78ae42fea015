/*
 * fallback_warning.h - what the user learns of objects that fallback vaults have served: one line in the log
 * and one warning of the response for each vault that could not answer and its fallback vault.
 */
#ifndef PROVIDER_AZURE_FALLBACK_WARNING_H
#define PROVIDER_AZURE_FALLBACK_WARNING_H

#include "common/base/log.h"
#include "provider-azure/mount_response.h"

/* `log` may be NULL. The text of a warning is the same as long as the same objects are served. */
int fallback_warnings_emit(const struct fetch_output *outputs, size_t n, struct log *log,
                           const struct response_writer *writer, void *arg, struct error **err);

#endif
