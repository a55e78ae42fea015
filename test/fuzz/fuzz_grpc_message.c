/*
 * fuzz_grpc_message - the string check and unpacking, for the messages that come from outside. The first byte
 * chooses the type.
 *
 * Differential: what the check lets through must come out of protobuf-c with strings that are valid UTF-8.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/utf8.h"
#include "common/grpc/framing.h"
#include "common/grpc/message.h"
#include "proto/csi.pb-c.h"
#include "proto/provider.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(int condition)
{
    if (!condition)
        abort();
}

static void expect_text(const char *text)
{
    expect(utf8_valid(text, strlen(text)));
}

static void check_publish(const Csi__V1__NodePublishVolumeRequest *request)
{
    expect_text(request->volume_id);
    expect_text(request->target_path);
    for (size_t i = 0; i < request->n_volume_context; i++) {
        expect_text(request->volume_context[i]->key);
        expect_text(request->volume_context[i]->value);
    }
    for (size_t i = 0; i < request->n_secrets; i++)
        expect_text(request->secrets[i]->value);
}

static void check_response(const V1alpha1__MountResponse *response)
{
    for (size_t i = 0; i < response->n_files; i++)
        expect_text(response->files[i]->path);
    for (size_t i = 0; i < response->n_object_version; i++)
        expect_text(response->object_version[i]->id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        &csi__v1__node_publish_volume_request__descriptor,
        &v1alpha1__mount_request__descriptor,
        &v1alpha1__mount_response__descriptor,
    };
    struct framing_reader reader;
    ProtobufCMessage *message;
    size_t type;

    if (size == 0)
        return 0;
    type = data[0] % 3;
    message = message_unpack(types[type], data + 1, size - 1, NULL);
    if (message != NULL && type == 0)
        check_publish((const Csi__V1__NodePublishVolumeRequest *)message);
    if (message != NULL && type == 1)
        expect_text(((const V1alpha1__MountRequest *)message)->attributes);
    if (message != NULL && type == 2)
        check_response((const V1alpha1__MountResponse *)message);
    message_free(message);

    framing_reader_init(&reader, 1000);
    for (size_t at = 1; at < size; at += data[0] % 7 + 1U) {
        size_t step = data[0] % 7 + 1U;

        if (framing_reader_feed(&reader, data + at, at + step <= size ? step : size - at, NULL) < 0)
            break;
    }
    (void)framing_reader_end(&reader, NULL);
    framing_reader_finish(&reader);
    return 0;
}
