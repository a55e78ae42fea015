/*
 * stale_message.c - kept values as messages.
 */
#include "provider-azure/vault/stale_message.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"

/* --- value to message --- */

/* The text, "" for NULL: protobuf-c packs no NULL. It only reads. */
static char *text_of(char *text)
{
    static char empty[1];
    return text != NULL ? text : empty;
}

static ProtobufCBinaryData bytes_of(struct secret *secret)
{
    return (ProtobufCBinaryData){.len = secret_len(secret),
                                 .data = secret != NULL ? secret_data(secret) : NULL};
}

static ProtobufCBinaryData digest_of(const uint8_t digest[DIGEST_SHA256_LEN], uint8_t *space)
{
    memcpy(space, digest, DIGEST_SHA256_LEN);
    return (ProtobufCBinaryData){.len = DIGEST_SHA256_LEN, .data = space};
}

/* The message and all that belongs to it, but for texts and bytes of the value. */
struct message {
    Handover__V1__Value base; /* first: the caller's pointer */
    uint8_t digests[4][DIGEST_SHA256_LEN];
    Handover__V1__Object content;
    Handover__V1__List list;
    Handover__V1__Entry *entries;
    Handover__V1__Entry **entry_pointers;
    Handover__V1__Tag *tags; /* of all entries */
    Handover__V1__Tag **tag_pointers;
};

static void fill_content(struct message *message, const struct vault_object *object)
{
    handover__v1__object__init(&message->content);
    message->content.version = text_of(object->version);
    message->content.value = bytes_of(object->value);
    message->content.certificate = object->certificate;
    message->content.content_type = text_of(object->content_type);
    message->content.kty = text_of(object->kty);
    message->content.crv = text_of(object->crv);
    message->content.n = bytes_of(object->n);
    message->content.e = bytes_of(object->e);
    message->content.x = bytes_of(object->x);
    message->content.y = bytes_of(object->y);
    message->base.content = &message->content;
}

static size_t count_tags(const struct vault_list *list)
{
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        n += list->entries[i].tags.n;
    return n;
}

static int fill_list(struct message *message, const struct vault_list *list, struct error **err)
{
    size_t n_tags = count_tags(list), used = 0;

    message->entries = calloc(list->n + 1, sizeof(*message->entries));
    message->entry_pointers = calloc(list->n + 1, sizeof(*message->entry_pointers));
    message->tags = calloc(n_tags + 1, sizeof(*message->tags));
    message->tag_pointers = calloc(n_tags + 1, sizeof(*message->tag_pointers));
    if (message->entries == NULL || message->entry_pointers == NULL || message->tags == NULL ||
        message->tag_pointers == NULL)
        return error_no_memory(err, NULL);
    for (size_t i = 0; i < list->n; i++) {
        const struct vault_entry *from = &list->entries[i];
        Handover__V1__Entry *entry = message->entry_pointers[i] = &message->entries[i];
        handover__v1__entry__init(entry);
        entry->name = text_of(from->name);
        entry->version = text_of(from->version);
        entry->created = from->created;
        entry->updated = from->updated;
        entry->n_tags = from->tags.n;
        entry->tags = &message->tag_pointers[used];
        for (size_t k = 0; k < from->tags.n; k++, used++) {
            message->tag_pointers[used] = &message->tags[used];
            handover__v1__tag__init(&message->tags[used]);
            message->tags[used].key = from->tags.entries[k].key;
            message->tags[used].value = from->tags.entries[k].value;
        }
    }
    handover__v1__list__init(&message->list);
    message->list.n_entries = list->n;
    message->list.entries = message->entry_pointers;
    message->list.read = (uint32_t)list->read;
    message->list.enabled = (uint32_t)list->enabled;
    message->base.list = &message->list;
    return 0;
}

Handover__V1__Value *stale_message_create(const struct stale_value *value, struct error **err)
{
    struct message *message = alloc_zeroed(sizeof(*message), err);
    if (message == NULL)
        return NULL;
    handover__v1__value__init(&message->base);
    message->base.read = digest_of(value->key.read, message->digests[0]);
    message->base.principal = digest_of(value->key.principal, message->digests[1]);
    message->base.object = digest_of(value->key.object, message->digests[2]);
    message->base.vault = digest_of(value->key.vault, message->digests[3]);
    message->base.age_ms = value->age_ms;
    message->base.keep_ms = value->keep_ms;
    if (value->response->object.version != NULL) {
        fill_content(message, &value->response->object);
    } else if (fill_list(message, &value->response->list, err) < 0) {
        stale_message_destroy(&message->base);
        return NULL;
    }
    return &message->base;
}

void stale_message_destroy(Handover__V1__Value *base)
{
    struct message *message = (struct message *)(void *)base;
    if (message == NULL)
        return;
    free(message->entries);
    free(message->entry_pointers);
    free(message->tags);
    free(message->tag_pointers);
    free(message);
}

/* --- message to value --- */

static int read_digest(const ProtobufCBinaryData *bytes, uint8_t ret_digest[DIGEST_SHA256_LEN],
                       struct error **err)
{
    if (bytes->len != DIGEST_SHA256_LEN)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "a digest has %zu bytes", bytes->len);
    memcpy(ret_digest, bytes->data, DIGEST_SHA256_LEN);
    return 0;
}

static int read_key(const Handover__V1__Value *message, struct stale_key *ret_key, struct error **err)
{
    return read_digest(&message->read, ret_key->read, err) < 0 ||
                   read_digest(&message->principal, ret_key->principal, err) < 0 ||
                   read_digest(&message->object, ret_key->object, err) < 0 ||
                   read_digest(&message->vault, ret_key->vault, err) < 0
               ? -1
               : 0;
}

/* A number of a key that is not there is NULL. */
static bool read_number(const ProtobufCBinaryData *bytes, struct secret **ret)
{
    *ret = bytes->len > 0 ? secret_from_bytes(bytes->data, bytes->len) : NULL;
    return *ret != NULL || bytes->len == 0;
}

static int read_content(const Handover__V1__Object *message, struct vault_object *object, struct error **err)
{
    object->certificate = message->certificate;
    object->version = strdup(message->version);
    object->content_type = strdup(message->content_type);
    object->kty = strdup(message->kty);
    object->crv = strdup(message->crv);
    object->value = secret_from_bytes(message->value.data, message->value.len);
    bool ok = object->version != NULL && object->content_type != NULL && object->kty != NULL &&
              object->crv != NULL && object->value != NULL && read_number(&message->n, &object->n) &&
              read_number(&message->e, &object->e) && read_number(&message->x, &object->x) &&
              read_number(&message->y, &object->y);
    return ok ? 0 : error_no_memory(err, NULL);
}

static int read_entry(const Handover__V1__Entry *message, struct vault_list *list, struct error **err)
{
    struct vault_entry *entry = &list->entries[list->n++];

    entry->name = strdup(message->name);
    entry->version = strdup(message->version);
    entry->created = message->created;
    entry->updated = message->updated;
    if (entry->name == NULL || entry->version == NULL)
        return error_no_memory(err, NULL);
    list->bytes += strlen(entry->name) + strlen(entry->version);
    for (size_t i = 0; i < message->n_tags; i++) {
        if (string_map_set(&entry->tags, message->tags[i]->key, message->tags[i]->value, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < entry->tags.n; i++) /* a key that came twice is there once */
        list->bytes += strlen(entry->tags.entries[i].key) + strlen(entry->tags.entries[i].value);
    return 0;
}

static int read_list(const Handover__V1__List *message, struct vault_list *list, struct error **err)
{
    if (message->n_entries > VAULT_MAX_ENTRIES)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "more than %d entries in a list",
                         VAULT_MAX_ENTRIES);
    list->entries = calloc(message->n_entries + 1, sizeof(*list->entries));
    if (list->entries == NULL)
        return error_no_memory(err, NULL);
    list->read = message->read;
    list->enabled = message->enabled;
    for (size_t i = 0; i < message->n_entries; i++) {
        if (read_entry(message->entries[i], list, err) < 0)
            return -1;
    }
    return 0;
}

static int read_value(const Handover__V1__Value *message, uint64_t now_ms, struct stale_value *value,
                      struct error **err)
{
    if (read_key(message, &value->key, err) < 0)
        return -1;
    if (message->age_ms >= now_ms) /* both processes have the clock of this boot */
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "a value is older than the machine is up");
    value->age_ms = message->age_ms;
    value->keep_ms = message->keep_ms;
    value->response = vault_response_create(err);
    if (value->response == NULL)
        return -1;
    value->response->read_ms = now_ms - message->age_ms;
    if (message->content != NULL)
        return read_content(message->content, &value->response->object, err);
    if (message->list != NULL)
        return read_list(message->list, &value->response->list, err);
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "a value is neither an object nor a list");
}

int stale_message_read(const Handover__V1__Value *message, uint64_t now_ms, struct stale_value *ret_value,
                       struct error **err)
{
    struct stale_value value = {0};
    if (read_value(message, now_ms, &value, err) == 0) {
        *ret_value = value;
        return 0;
    }
    vault_response_unref(value.response);
    *ret_value = (struct stale_value){0};
    return -1;
}
