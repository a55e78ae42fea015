/*
 * content.h - from a vault object to the bytes of a file.
 */
#ifndef PROVIDER_AZURE_CONTENT_H
#define PROVIDER_AZURE_CONTENT_H

#include <stdbool.h>

#include "common/log.h"
#include "common/secret.h"
#include "provider-azure/certificate.h"
#include "provider-azure/objects.h"
#include "provider-azure/vault_answer.h"

/* How certificates are written (command line). */
struct content_options {
    enum certificate_order order; /* --construct-pem-chain */
    bool separate_files;          /* --write-cert-and-key-in-separate-files */
    struct log *log;              /* may be NULL */
};

/* Bytes of one file: either borrowed from the answer or owned. */
struct content {
    const uint8_t *bytes;
    size_t len;
    struct buffer owned_text;
    struct secret *owned;
    bool split; /* the PEM of a certificate, wanted in separate files too: */
    struct buffer certificates, keys;
};

/* What the item asks for: a secret's value decoded, a key's public part or a certificate as PEM. The content
 * may borrow from `answer`. Errors FAILED_PRECONDITION (can not be converted). UNIMPLEMENTED (PKCS#12 to
 * PEM). */
int content_make(const struct content_options *options, const struct object_item *item,
                 const struct vault_answer *answer, struct content *ret_content, struct error **err);
void content_finish(struct content *content);

#endif
