/*
 * compose.h - a file made out of the files of other items: a template, or one of the formats.
 */
#ifndef PROVIDER_AZURE_CONTENT_COMPOSE_H
#define PROVIDER_AZURE_CONTENT_COMPOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/error.h"
#include "provider-azure/objects/composed_item.h"

enum { COMPOSED_MAX = 1024 * 1024 }; /* bytes of one composed file; a template may repeat an item */

/* A file of another item. */
struct compose_source {
    const char *path;
    const uint8_t *bytes;
    size_t len;
    const char *version;
    bool absent; /* an optional object that the vault does not have */
};

/* Appends the value that a reference stands for. *ret_absent: it is that of an optional object that is not
 * there, and nothing is appended. Errors as below. */
int compose_resolve(const struct reference *reference, const struct compose_source *sources, size_t n,
                    struct buffer *ret, bool *ret_absent, struct error **err);

/* Appends the file's content to `out`, whose ceiling is the caller's.
 *
 * A template's "$(REFERENCE)" stands for the referenced value, "$$(" for "$(". Of an optional object that is
 * not there, a template gets an empty text, and a format leaves the key out.
 *
 * FAILED_PRECONDITION: a reference to an item that is not there (the error lists the names), a value that is
 * no text, or that the format cannot hold. No error quotes a value. PKCS#12 files are made by key_store.h. */
int compose(const struct composed_item *item, const struct compose_source *sources, size_t n,
            struct buffer *out, struct error **err);

#endif
