/*
 * redact.h - text from a peer without the credentials that were sent to it.
 */
#ifndef PROVIDER_AZURE_BASE_REDACT_H
#define PROVIDER_AZURE_BASE_REDACT_H

#include <stddef.h>

#include "common/base/secret.h"

/* Stands for each part that was left out. */
#define REDACTED "[redacted]"

enum {
    REDACT_RUN_MIN = 8,   /* so many bytes in a row of a credential are no coincidence */
    REDACT_VALUE_MIN = 4, /* a shorter credential cannot be distinguished from the text around it */
};

/* Copies `text` up to its end or to size - 1 bytes, with REDACTED in place of every run of REDACT_RUN_MIN
 * bytes or more that is part of one of the `n` secrets: a server may quote a credential whole, cut or in
 * pieces. A secret of REDACT_VALUE_MIN to REDACT_RUN_MIN - 1 bytes counts as a whole only. Secrets may be
 * NULL. `ret` does not overlap `text`; "" for a NULL text. */
void redact(char *ret, size_t size, const char *text, const struct secret *const *secrets, size_t n);

#endif
