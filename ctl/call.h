/*
 * call.h - one gRPC call, start to end, on a loop of its own.
 */
#ifndef CTL_CALL_H
#define CTL_CALL_H

#include <protobuf-c/protobuf-c.h>

#include "common/base/error.h"
#include "ctl/command.h"

/* Calls `method` ("/pkg.Service/Method") at options->endpoint and waits for the answer, at most
 * options->timeout_ns. On success *ret_response belongs to the caller (ctl_response_free()). The error's code
 * is the server's, or that of the transport (common/grpc/client.h); *ret_rpc is set to true as soon as the
 * call has been started. */
int ctl_call(const struct ctl_options *options, const char *method, const ProtobufCMessage *request,
             const ProtobufCMessageDescriptor *response_type, ProtobufCMessage **ret_response, bool *ret_rpc,
             struct error **err);

/* Wipes and frees a response. Accepts NULL. */
void ctl_response_free(ProtobufCMessage *response);

static inline void cleanup_response_func(ProtobufCMessage **response)
{
    ctl_response_free(*response);
}
#define cleanup_response CLEANUP(cleanup_response_func)

#endif
