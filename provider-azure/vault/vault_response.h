/*
 * vault_response.h - the result of one read of Key Vault: an object, a list, or that there is no such object.
 *
 * A response is immutable once it is complete. It is shared by reference count between the mounts that joined
 * one request and the republish cache. Secret bytes are wiped with the last reference.
 */
#ifndef PROVIDER_AZURE_VAULT_VAULT_RESPONSE_H
#define PROVIDER_AZURE_VAULT_VAULT_RESPONSE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/crypto/digest.h"
#include "provider-azure/vault/vault_list.h"
#include "provider-azure/vault/vault_object.h"

struct vault_response {
    unsigned refs;
    uint64_t read_ms; /* when the request went out, on the transport's clock: the vault read it later */
    /* The vault has no such object, or it is disabled: what it said about that; NULL otherwise. Object and
     * list are empty then. Whether this is a failure depends on the item (objectOptional). */
    struct error *not_found;
    struct vault_object object; /* of a read of one object */
    struct vault_list list;     /* of a list, in the order of the pages */
};

/* An empty response with one reference. NULL with err set on lack of memory. */
struct vault_response *vault_response_create(struct error **err);

/* Counts one holder more, and one fewer (accepts NULL). */
struct vault_response *vault_response_ref(struct vault_response *response);
void vault_response_unref(struct vault_response *response);

/* Equal for two readings of one object that brought the same version (or lists with the same versions). */
void vault_response_fingerprint(const struct vault_response *response,
                                uint8_t ret_fingerprint[DIGEST_SHA256_LEN]);

/* The bytes of memory it stands for, roughly; for the cache's budget. */
size_t vault_response_size(const struct vault_response *response);

#endif
