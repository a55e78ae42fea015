/*
 * vault_object.h - one version of a secret, a key or a certificate, as Key Vault's JSON gives it.
 */
#ifndef PROVIDER_AZURE_VAULT_VAULT_OBJECT_H
#define PROVIDER_AZURE_VAULT_VAULT_OBJECT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/error.h"
#include "common/base/secret.h"
#include "provider-azure/objects/object_item.h"

struct vault_object {
    char *version;                /* third path segment of id or kid; "" if there is none */
    struct secret *value;         /* secret: value; cert: `cer`, base64 of DER */
    bool certificate;             /* secret: backs a certificate (has a kid) */
    char *content_type;           /* secret; "" if none */
    char *kty, *crv;              /* key; "" if none */
    struct secret *n, *e, *x, *y; /* key, decoded; NULL if absent */
};

/* Reads the body of a 200. FAILED_PRECONDITION "secret value is nil" and the like; UNAVAILABLE for JSON that
 * is no object at all. On failure *ret_object is empty. */
int vault_object_parse(enum object_type type, const char *json, size_t len, struct vault_object *ret_object,
                       struct error **err);

/* Wipes and frees what the object holds. */
void vault_object_finish(struct vault_object *object);
#define cleanup_vault_object CLEANUP(vault_object_finish)

#endif
