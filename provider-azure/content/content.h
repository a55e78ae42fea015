/*
 * content.h - from a vault object to the bytes of its files.
 *
 * Most objects make one file. The secret of a certificate makes three with
 * --write-cert-and-key-in-separate-files (all certificates, all keys, both), a secret that is split by
 * objectSplit: json makes one for each member of the JSON object it holds.
 */
#ifndef PROVIDER_AZURE_CONTENT_CONTENT_H
#define PROVIDER_AZURE_CONTENT_CONTENT_H

#include <stdbool.h>

#include "common/base/json.h"
#include "common/base/log.h"
#include "common/base/secret.h"
#include "provider-azure/content/content_files.h"
#include "provider-azure/content/pem_conversion.h"
#include "provider-azure/objects/object_item.h"
#include "provider-azure/vault/vault_object.h"

/* How certificates are written (command line). */
struct content_options {
    enum certificate_order order; /* --construct-pem-chain */
    bool separate_files;          /* --write-cert-and-key-in-separate-files */
    struct log *log;              /* may be NULL */
};

struct content {
    struct content_files files;
    const char *path; /* borrowed while the files are made */
    /* the files' bytes are in these, or in the object: */
    struct pem_conversion *pem; /* a reference; may be NULL */
    struct buffer text, certificates, keys;
    struct secret *decoded;
    cJSON *json;
};

/* Whether content_make() needs the object's value converted from PFX to PEM, which may take seconds. */
bool content_needs_pem(const struct object_item *item, const struct vault_object *object);

/* Makes the files of an item below `path`: a secret's value decoded, a key's public part or a certificate
 * as PEM. `pem` is the converted value if content_needs_pem(), else NULL; a reference is taken. The content
 * may borrow from `object`. FAILED_PRECONDITION when it cannot be converted; no text quotes content. */
int content_make(const struct content_options *options, const struct object_item *item, const char *path,
                 const struct vault_object *object, struct pem_conversion *pem, struct content *ret_content,
                 struct error **err);

/* Wipes and frees the files. */
void content_finish(struct content *content);

#endif
