/*
 * status.c - names of gRPC status codes.
 */
#include "common/base/status.h"

#include <stddef.h>

#include "common/base/cleanup.h"

struct status_names {
    const char *canonical;
    const char *go;
};

static const struct status_names names[] = {
    [GRPC_STATUS_OK] = {"OK", "OK"},
    [GRPC_STATUS_CANCELLED] = {"CANCELLED", "Canceled"},
    [GRPC_STATUS_UNKNOWN] = {"UNKNOWN", "Unknown"},
    [GRPC_STATUS_INVALID_ARGUMENT] = {"INVALID_ARGUMENT", "InvalidArgument"},
    [GRPC_STATUS_DEADLINE_EXCEEDED] = {"DEADLINE_EXCEEDED", "DeadlineExceeded"},
    [GRPC_STATUS_NOT_FOUND] = {"NOT_FOUND", "NotFound"},
    [GRPC_STATUS_ALREADY_EXISTS] = {"ALREADY_EXISTS", "AlreadyExists"},
    [GRPC_STATUS_PERMISSION_DENIED] = {"PERMISSION_DENIED", "PermissionDenied"},
    [GRPC_STATUS_RESOURCE_EXHAUSTED] = {"RESOURCE_EXHAUSTED", "ResourceExhausted"},
    [GRPC_STATUS_FAILED_PRECONDITION] = {"FAILED_PRECONDITION", "FailedPrecondition"},
    [GRPC_STATUS_ABORTED] = {"ABORTED", "Aborted"},
    [GRPC_STATUS_OUT_OF_RANGE] = {"OUT_OF_RANGE", "OutOfRange"},
    [GRPC_STATUS_UNIMPLEMENTED] = {"UNIMPLEMENTED", "Unimplemented"},
    [GRPC_STATUS_INTERNAL] = {"INTERNAL", "Internal"},
    [GRPC_STATUS_UNAVAILABLE] = {"UNAVAILABLE", "Unavailable"},
    [GRPC_STATUS_DATA_LOSS] = {"DATA_LOSS", "DataLoss"},
    [GRPC_STATUS_UNAUTHENTICATED] = {"UNAUTHENTICATED", "Unauthenticated"},
};

static const struct status_names *find(enum grpc_status status)
{
    size_t index = (size_t)status;
    return &names[index < ARRAY_SIZE(names) ? index : GRPC_STATUS_UNKNOWN];
}

const char *grpc_status_name(enum grpc_status status)
{
    return find(status)->canonical;
}

const char *grpc_status_go_name(enum grpc_status status)
{
    return find(status)->go;
}
