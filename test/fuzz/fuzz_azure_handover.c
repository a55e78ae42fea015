/*
 * fuzz_azure_handover.c - a request of the handover: values are read, and those that can be are the same
 * after another turn through a message.
 */
#include <string.h>

#include "common/base/secret.h"
#include "provider-azure/vault/stale_message.h"
#include "test/fuzz/fuzz.h"

enum { NOW_MS = 1000 * 1000 };

static bool is_equal(const struct vault_response *a, const struct vault_response *b)
{
    uint8_t left[DIGEST_SHA256_LEN], right[DIGEST_SHA256_LEN];
    vault_response_fingerprint(a, left);
    vault_response_fingerprint(b, right);
    return memcmp(left, right, sizeof(left)) == 0 && vault_response_size(a) == vault_response_size(b) &&
           (a->object.version == NULL || secret_equal(a->object.value, b->object.value));
}

static void turn(const struct stale_value *value)
{
    struct stale_value again;
    Handover__V1__Value *message = stale_message_create(value, NULL);
    EXPECT(message != NULL);
    size_t size = handover__v1__value__get_packed_size(message);
    uint8_t *packed = secret_malloc(size + 1);
    EXPECT(packed != NULL && handover__v1__value__pack(message, packed) == size);
    Handover__V1__Value *read = handover__v1__value__unpack(secret_protobuf_allocator(), size, packed);
    EXPECT(read != NULL && stale_message_read(read, NOW_MS, &again, NULL) == 0);
    EXPECT(memcmp(&value->key, &again.key, sizeof(again.key)) == 0 &&
           is_equal(value->response, again.response));
    EXPECT(again.age_ms == value->age_ms && again.keep_ms == value->keep_ms);
    vault_response_unref(again.response);
    handover__v1__value__free_unpacked(read, secret_protobuf_allocator());
    secret_free(packed);
    stale_message_destroy(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Handover__V1__PutRequest *put =
        handover__v1__put_request__unpack(secret_protobuf_allocator(), size, data);
    if (put == NULL)
        return 0;
    for (size_t i = 0; i < put->n_values; i++) {
        struct stale_value value;
        struct error *error = NULL;
        int result = stale_message_read(put->values[i], NOW_MS, &value, &error);
        EXPECT((result == 0) == (error == NULL) && (result == 0) == (value.response != NULL));
        if (result == 0) {
            EXPECT(value.response->read_ms + value.age_ms == NOW_MS);
            turn(&value);
        }
        vault_response_unref(value.response);
        error_free(error);
    }
    handover__v1__put_request__free_unpacked(put, secret_protobuf_allocator());
    return 0;
}
