/*
 * vault_answer.h - what Key Vault says, as structs: objects, lists (vault_list.h), that there is no such
 * object, errors.
 *
 * An answer is immutable once parsed and shared by reference count between the mounts that joined one request
 * and the republish cache. Secret bytes are wiped with the last reference.
 */
#ifndef PROVIDER_AZURE_VAULT_RESPONSE_H
#define PROVIDER_AZURE_VAULT_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/base/secret.h"
#include "provider-azure/crypto/crypto.h"
#include "provider-azure/network/transport.h"
#include "provider-azure/objects/objects.h"
#include "provider-azure/vault/vault_list.h"

/* A secret has at most 25 KiB, a certificate some more; a page of 25 versions about 10 KiB. */
enum { VAULT_ANSWER_MAX = 1024 * 1024 };
struct vault_answer {
    unsigned refs;
    uint64_t read_ms; /* when the request went out, on the transport's clock: the vault read it later */
    /* The vault has no such object, or it is disabled: what it said about that. Nothing else is set then.
     * Whether it is a failure depends on the item (objectOptional). */
    struct error *absence;
    /* an object */
    char *version;                /* third path segment of id or kid; "" if there is none */
    struct secret *value;         /* secret: value; cert: `cer`, base64 of DER */
    bool certificate;             /* secret: backs a certificate (has a kid) */
    char *content_type;           /* secret; "" if none */
    char *kty, *crv;              /* key; "" if none */
    struct secret *n, *e, *x, *y; /* key, decoded; NULL if absent */
    /* a list, in the order of the pages */
    struct vault_entry *entries;
    size_t n_entries;
};

/* An object from the body of a 200. Errors: FAILED_PRECONDITION "secret value is nil" and the like;
 * UNAVAILABLE for what is no object at all. */
struct vault_answer *vault_answer_parse(enum object_type type, const char *json, size_t len,
                                        struct error **err);

/* The answer that an object is not there, if this is what a status other than 200 says: 404 with one of Key
 * Vault's ...NotFound codes, 403 with an inner code ...Disabled. *error (from vault_error()) then moves into
 * it. Otherwise, and on lack of memory, NULL and *error stays. */
struct vault_answer *vault_answer_absence(const struct http_reply *reply, struct error **error);

struct vault_answer *vault_answer_ref(struct vault_answer *answer);
void vault_answer_unref(struct vault_answer *answer); /* accepts NULL */

/* Equal for two readings of one object that brought the same version (or lists with the same versions). */
void vault_answer_mark(const struct vault_answer *answer, uint8_t ret_mark[DIGEST_LEN]);

/* Bytes of memory it stands for, roughly; for the cache's budget. */
size_t vault_answer_size(const struct vault_answer *answer);

/* The error for an HTTP status other than 200, one line: status, code, inner code, message, request id, and a
 * hint where one helps. Codes as in the specification: 400 INVALID_ARGUMENT, 401 UNAUTHENTICATED, 403
 * PERMISSION_DENIED, 404 NOT_FOUND, 429 RESOURCE_EXHAUSTED, 5xx UNAVAILABLE. Returns -1. */
int vault_error(const struct http_reply *reply, const char *host, unsigned tries, struct error **err);

#endif
