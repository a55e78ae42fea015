/*
 * endpoint_call.h - one unary call to an endpoint of the own process, over a connection of its own: what a
 * health check does, by the way that the calls of others take.
 */
#ifndef COMMON_GRPC_ENDPOINT_CALL_H
#define COMMON_GRPC_ENDPOINT_CALL_H

#include "common/grpc/client.h"
#include "common/process/endpoint.h"

/* As grpc_client_call_start(), but the call cannot be cancelled: the callback runs once, from the loop,
 * unless the loop ends before. `endpoint` is borrowed during this call; ":<port>" means the loopback address.
 * -1 with err set: nothing was started. */
int endpoint_call_start(uv_loop_t *loop, const struct endpoint *endpoint, const char *method,
                        const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response_type,
                        uint64_t timeout_ms, grpc_client_callback *callback, void *arg, struct error **err);

#endif
