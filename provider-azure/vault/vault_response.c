/*
 * vault_response.c - shared responses of Key Vault.
 */
#include "provider-azure/vault/vault_response.h"

#include <stdlib.h>
#include <string.h>

struct vault_response *vault_response_create(struct error **err)
{
    struct vault_response *response = calloc(1, sizeof(*response));
    if (response == NULL)
        (void)error_no_memory(err, NULL);
    else
        response->refs = 1;
    return response;
}

struct vault_response *vault_response_ref(struct vault_response *response)
{
    response->refs++;
    return response;
}

void vault_response_unref(struct vault_response *response)
{
    if (response == NULL || --response->refs > 0)
        return;
    error_free(response->not_found);
    vault_object_finish(&response->object);
    vault_list_finish(&response->list);
    free(response);
}

/* Replaces the fingerprint by one of itself and the fields. */
static void chain(uint8_t fingerprint[DIGEST_SHA256_LEN], const struct digest_field *fields, size_t n)
{
    uint8_t next[DIGEST_SHA256_LEN];
    digest_fields(fields, n, next);
    memcpy(fingerprint, next, DIGEST_SHA256_LEN);
}

static void chain_entry(uint8_t fingerprint[DIGEST_SHA256_LEN], const struct vault_entry *entry)
{
    const struct digest_field fields[] = {
        {fingerprint, DIGEST_SHA256_LEN},
        {entry->name, entry->name != NULL ? strlen(entry->name) : 0},
        {entry->version, entry->version != NULL ? strlen(entry->version) : 0},
    };
    chain(fingerprint, fields, ARRAY_SIZE(fields));
    for (size_t i = 0; i < entry->tags.n; i++) {
        const struct string_map_entry *tag = &entry->tags.entries[i];
        const struct digest_field named[] = {
            {fingerprint, DIGEST_SHA256_LEN}, {tag->key, strlen(tag->key)}, {tag->value, strlen(tag->value)}};
        chain(fingerprint, named, ARRAY_SIZE(named));
    }
}

void vault_response_fingerprint(const struct vault_response *response,
                                uint8_t ret_fingerprint[DIGEST_SHA256_LEN])
{
    const struct vault_object *object = &response->object;
    const char *version = object->version != NULL ? object->version : "";
    if (strlen(version) == DIGEST_SHA256_LEN && response->list.n == 0) { /* one of Key Vault: 32 digits */
        memcpy(ret_fingerprint, version, DIGEST_SHA256_LEN);
        return;
    }
    /* Only an object without a version has to be known by its content. */
    const struct secret *content = *version == '\0' ? object->value : NULL;
    const struct digest_field fields[] = {
        {version, strlen(version)},
        {secret_bytes(content), secret_len(content)},
    };
    digest_fields(fields, ARRAY_SIZE(fields), ret_fingerprint);
    for (size_t i = 0; i < response->list.n; i++)
        chain_entry(ret_fingerprint, &response->list.entries[i]);
}

size_t vault_response_size(const struct vault_response *response)
{
    const struct vault_list *list = &response->list;
    return sizeof(*response) + 256 + secret_len(response->object.value) + secret_len(response->object.n) +
           list->bytes + list->n * 64;
}
