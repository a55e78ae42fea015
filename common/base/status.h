/*
 * status.h - gRPC status codes (https://grpc.io/docs/guides/status-codes/), the error categories of
 * this project. The numbers are the wire format.
 */
#ifndef COMMON_BASE_STATUS_H
#define COMMON_BASE_STATUS_H

enum grpc_status {
    GRPC_STATUS_OK = 0,
    GRPC_STATUS_CANCELLED = 1,
    GRPC_STATUS_UNKNOWN = 2,
    GRPC_STATUS_INVALID_ARGUMENT = 3,
    GRPC_STATUS_DEADLINE_EXCEEDED = 4,
    GRPC_STATUS_NOT_FOUND = 5,
    GRPC_STATUS_ALREADY_EXISTS = 6,
    GRPC_STATUS_PERMISSION_DENIED = 7,
    GRPC_STATUS_RESOURCE_EXHAUSTED = 8,
    GRPC_STATUS_FAILED_PRECONDITION = 9,
    GRPC_STATUS_ABORTED = 10,
    GRPC_STATUS_OUT_OF_RANGE = 11,
    GRPC_STATUS_UNIMPLEMENTED = 12,
    GRPC_STATUS_INTERNAL = 13,
    GRPC_STATUS_UNAVAILABLE = 14,
    GRPC_STATUS_DATA_LOSS = 15,
    GRPC_STATUS_UNAUTHENTICATED = 16,
};

/* Canonical upper-case name ("INVALID_ARGUMENT"); numbers outside the table give
 * "UNKNOWN". A string literal. */
const char *grpc_status_name(enum grpc_status status);

/* The name as grpc-go prints it ("InvalidArgument", "OK", "Canceled"), the label of metrics in the Go
 * software. A string literal. */
const char *grpc_status_go_name(enum grpc_status status);

#endif
