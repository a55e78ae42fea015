/*
 * message.h - protobuf messages in and out of bytes, in wiped memory.
 *
 * protobuf-c hands strings out as `char *`: a NUL inside would silently cut one, and it checks no UTF-8. It
 * also allocates for every element of a repeated field, so that two bytes on the wire can cost a hundred in
 * memory. The check here walks the raw bytes along the message's descriptor before protobuf-c sees them.
 */
#ifndef COMMON_GRPC_MESSAGE_H
#define COMMON_GRPC_MESSAGE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

/* Fields in one message, those of its sub-messages included. A volume of thousands of files has tens of
 * thousands. */
enum { MESSAGE_FIELDS_MAX = 100000 };
/* Sub-messages in sub-messages; protobuf-c recurses as deep as the type allows. */
enum { MESSAGE_DEPTH_MAX = 32 };

/* Checks and unpacks. The caller frees with message_free(). NULL with err set: INVALID_ARGUMENT, naming the
 * field, when a `string` field holds a NUL or is not UTF-8, or when there are too many fields; INTERNAL (not
 * decodable) or RESOURCE_EXHAUSTED (no memory). */
ProtobufCMessage *message_unpack(const ProtobufCMessageDescriptor *type, const uint8_t *bytes, size_t len,
                                 struct error **err);

/* Wipes and frees a message from message_unpack(). Accepts NULL. */
void message_free(ProtobufCMessage *message);

/* Packs with the gRPC prefix in front, into one block of wiped memory (secret_free()). NULL with err set:
 * RESOURCE_EXHAUSTED for lack of memory or more than 4 GiB. */
uint8_t *message_pack_framed(const ProtobufCMessage *message, size_t *ret_len, struct error **err);

#endif
