/*
 * content.h - from a vault object to the bytes of a file.
 */
#ifndef PROVIDER_AZURE_CONTENT_H
#define PROVIDER_AZURE_CONTENT_H

#include "common/secret.h"
#include "provider-azure/objects.h"
#include "provider-azure/vault_answer.h"

/* Bytes of one file: either borrowed from the answer or owned. */
struct content {
    const uint8_t *bytes;
    size_t len;
    struct buffer owned_text;
    struct secret *owned;
};

/* What the item asks for: a secret's value decoded, a key's public part or a certificate as PEM. The content
 * may borrow from `answer`. Errors FAILED_PRECONDITION (can not be converted), UNIMPLEMENTED (PKCS#12 to
 * PEM). */
int content_make(const struct object_item *item, const struct vault_answer *answer,
                 struct content *ret_content, struct error **err);
void content_finish(struct content *content);

#endif
