/*
 * fuzz_call.h - stands in for the gRPC server: a call that a target makes, and its outcome. Included by one
 * file of a program only.
 *
 * Every call must end exactly once.
 */
#ifndef TEST_FUZZ_FUZZ_CALL_H
#define TEST_FUZZ_FUZZ_CALL_H

#include "common/grpc/message.h"
#include "common/grpc/server.h"
#include "test/fuzz/fuzz.h"

struct grpc_call {
    unsigned n_ended;
    enum grpc_status code;
    void (*on_reply)(const ProtobufCMessage *response); /* may be NULL */
    void (*cancelled)(struct grpc_call *call, void *arg);
    void *arg;
};

/* The service that the code under test has added. */
static const struct grpc_service *fuzz_service;

void grpc_server_add_service(struct grpc_server *server, const struct grpc_service *service)
{
    (void)server;
    fuzz_service = service;
}

void grpc_call_reply(struct grpc_call *call, const ProtobufCMessage *response)
{
    call->n_ended++;
    call->code = GRPC_STATUS_OK;
    if (call->on_reply != NULL)
        call->on_reply(response);
}

void grpc_call_fail(struct grpc_call *call, const struct error *error)
{
    EXPECT(error_code(error) != GRPC_STATUS_OK && error_message(error)[0] != '\0');
    call->n_ended++;
    call->code = error_code(error);
}

void grpc_call_on_cancel(struct grpc_call *call, void (*cancelled)(struct grpc_call *call, void *arg),
                         void *arg)
{
    call->cancelled = cancelled;
    call->arg = arg;
}

/* No target asks for it. */
void grpc_call_on_released(struct grpc_call *call, void (*released)(void *arg), void *arg)
{
    (void)call;
    (void)released;
    (void)arg;
    EXPECT(false);
}

void grpc_call_forbid_retry(struct grpc_call *call)
{
    (void)call;
}

void grpc_call_cancel_early(struct grpc_call *call, uint64_t margin_ms)
{
    (void)call;
    (void)margin_ms;
}

enum grpc_status grpc_call_cancel_reason(const struct grpc_call *call)
{
    (void)call;
    return GRPC_STATUS_CANCELLED;
}

uint64_t grpc_call_time_left_ms(const struct grpc_call *call)
{
    (void)call;
    return UINT64_MAX;
}

/* Calls a method with a message in wire format; a message that the server itself refuses does not get there.
 * Returns the message, which the caller frees with message_free() when the call has ended. */
static ProtobufCMessage *fuzz_serve(struct grpc_call *call, size_t method, const uint8_t *bytes, size_t len)
{
    const struct grpc_method *chosen = &fuzz_service->methods[method % fuzz_service->n_methods];
    ProtobufCMessage *message = message_unpack(chosen->request, bytes, len, /* err= */ NULL);

    if (message != NULL)
        chosen->handler(call, message, fuzz_service->arg);
    return message;
}

#endif
