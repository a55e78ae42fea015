/*
 * message.c - protobuf messages in and out of bytes.
 */
#include "common/grpc/message.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/base/secret.h"
#include "common/base/utf8.h"
#include "common/grpc/framing.h"

/* https://protobuf.dev/programming-guides/encoding/ */
enum wire_type { WIRE_VARINT = 0, WIRE_64BIT = 1, WIRE_BYTES = 2, WIRE_32BIT = 5 };

enum { KEY_MAX = 128 }; /* of a map's key in an error; Kubernetes' keys end at 253 characters */

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
};

struct walk {
    unsigned fields_left;
    struct error **err;
};

static bool read_varint(struct cursor *cursor, uint64_t *ret)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte;

        if (cursor->at == cursor->end)
            return false;
        byte = *cursor->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *ret = value;
            return true;
        }
    }
    return false;
}

static bool skip(struct cursor *cursor, uint64_t len)
{
    if (len > (uint64_t)(cursor->end - cursor->at))
        return false;
    cursor->at += len;
    return true;
}

static bool has_nul(struct cursor text)
{
    return text.at < text.end && memchr(text.at, 0, (size_t)(text.end - text.at)) != NULL;
}

/* `key`: that of the map's entry whose value this is; empty elsewhere. */
static int check_string(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field,
                        struct cursor text, struct cursor key, struct error **err)
{
    bool nul = has_nul(text);
    char name[KEY_MAX + 1], of_key[KEY_MAX + 16] = "";

    if (!nul && utf8_valid((const char *)text.at, (size_t)(text.end - text.at)))
        return 0;
    if (key.at < key.end) {
        size_t len = (size_t)(key.end - key.at);
        (void)snprintf(of_key, sizeof(of_key), "%.*s", (int)(len < KEY_MAX ? len : KEY_MAX),
                       (const char *)key.at);
        utf8_quote(name, sizeof(name), of_key);
        (void)snprintf(of_key, sizeof(of_key), " (key \"%s\")", name);
    }
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                     nul ? "grpc: field %s of %s contains a NUL character%s"
                         : "grpc: field %s of %s is not valid UTF-8%s",
                     field->name, type->short_name, of_key);
}

/* The key of an entry of a map, whose text comes before its value. */
static bool is_entry_key(const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *field)
{
    return type->n_fields == 2 && strcmp(field->name, "key") == 0;
}

/* Returns -1 with err set for a bad string; ends quietly where the bytes are no protobuf. */
static int walk_message(struct walk *walk, const ProtobufCMessageDescriptor *type,
                        struct cursor cursor, // NOLINT(misc-no-recursion)
                        unsigned depth)
{
    struct cursor key = {.at = NULL, .end = NULL};

    if (depth > MESSAGE_DEPTH_MAX)
        return error_set(walk->err, GRPC_STATUS_INVALID_ARGUMENT, "grpc: message nested deeper than %d",
                         MESSAGE_DEPTH_MAX);
    while (cursor.at < cursor.end) {
        const ProtobufCFieldDescriptor *field;
        struct cursor content;
        uint64_t tag;
        uint64_t len;

        if (walk->fields_left-- == 0)
            return error_set(walk->err, GRPC_STATUS_INVALID_ARGUMENT,
                             "grpc: message with more than %d fields", MESSAGE_FIELDS_MAX);
        if (!read_varint(&cursor, &tag))
            return 0;
        switch (tag & 7) {
        case WIRE_VARINT:
            if (!read_varint(&cursor, &len))
                return 0;
            continue;
        case WIRE_64BIT:
            if (!skip(&cursor, 8))
                return 0;
            continue;
        case WIRE_32BIT:
            if (!skip(&cursor, 4))
                return 0;
            continue;
        case WIRE_BYTES:
            break;
        default: /* groups: protobuf-c refuses them */
            return 0;
        }
        if (!read_varint(&cursor, &len))
            return 0;
        content.at = cursor.at;
        if (!skip(&cursor, len))
            return 0;
        content.end = cursor.at;
        /* protobuf-c keeps 32 bits of a field number: use the same ones. */
        field = protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
        if (field == NULL)
            continue;
        if (field->type == PROTOBUF_C_TYPE_STRING && check_string(type, field, content, key, walk->err) < 0)
            return -1;
        if (field->type == PROTOBUF_C_TYPE_STRING && is_entry_key(type, field))
            key = content;
        if (field->type == PROTOBUF_C_TYPE_MESSAGE &&
            walk_message(walk, field->descriptor, content, depth + 1) < 0)
            return -1;
    }
    return 0;
}

/* Bytes that are no protobuf at all are left for protobuf-c to refuse. */
static int check(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len, struct error **err)
{
    struct walk walk = {.fields_left = MESSAGE_FIELDS_MAX, .err = err};

    if (len == 0)
        return 0;
    return walk_message(&walk, type, (struct cursor){.at = bytes, .end = bytes + len}, 0);
}

ProtobufCMessage *message_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len,
                                 struct error **err)
{
    ProtobufCMessage *message;

    if (check(type, bytes, len, err) < 0)
        return NULL;
    errno = 0;
    message = protobuf_c_message_unpack(type, secret_protobuf_allocator(), len, bytes);
    if (message == NULL) {
        (void)error_set(err, GRPC_STATUS_INTERNAL, "grpc: failed to unmarshal the received message: not a %s",
                        type->name);
        (void)error_check_memory(err, type->name);
    }
    return message;
}

void message_free(ProtobufCMessage *message)
{
    if (message != NULL)
        protobuf_c_message_free_unpacked(message, secret_protobuf_allocator());
}

uint8_t *message_pack_framed(const ProtobufCMessage *message, size_t *ret_len, struct error **err)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = NULL;

    if (len <= UINT32_MAX)
        bytes = secret_malloc(FRAMING_PREFIX_LEN + len);
    if (bytes == NULL) {
        (void)error_no_memory(err, "a message");
        return NULL;
    }
    framing_write_prefix(bytes, len);
    (void)protobuf_c_message_pack(message, bytes + FRAMING_PREFIX_LEN);
    *ret_len = FRAMING_PREFIX_LEN + len;
    return bytes;
}
