/*
 * call.h - one gRPC call on a loop of its own.
 */
#ifndef CTL_CALL_H
#define CTL_CALL_H

#include <protobuf-c/protobuf-c.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "ctl/command.h"

/* The type (error_type()) of an error that the called side, or the connection to it, caused. */
#define CALL_FAILED "CallFailed"

/* Calls `method` ("/pkg.Service/Method") at options->endpoint, or at the node's socket for it (node.h), and waits for the response, at most
 * options->timeout_ns. On success the caller owns *ret_response (call_response_free()). The method's name is
 * in front of an error. If the call was sent, the error has the type CALL_FAILED and the server's code, or
 * that of the transport (common/grpc/client.h). */
int call_send(const struct ctl_options *options, const char *method, const ProtobufCMessage *request,
              const ProtobufCMessageDescriptor *response_type, ProtobufCMessage **ret_response,
              struct error **err);

/* `text` as a member of a request: protobuf-c's structs have `char *`, but packing only reads it. */
static inline char *call_text(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* Wipes and frees a response. Accepts NULL. */
void call_response_free(ProtobufCMessage *response);

static inline void cleanup_response_func(ProtobufCMessage **response)
{
    call_response_free(*response);
}
#define cleanup_response CLEANUP(cleanup_response_func)

#endif
