/*
 * endpoint.h - listen addresses in the spelling of the Go software: "unix://<path>" and "tcp://<host:port>".
 *
 * The scheme is compared without case. A unix path gets a '/' in front unless it already starts with one, so
 * that both "unix://tmp/csi.sock" and "unix:///tmp/csi.sock" mean /tmp/csi.sock.
 */
#ifndef COMMON_PROCESS_ENDPOINT_H
#define COMMON_PROCESS_ENDPOINT_H

#include "common/base/error.h"

struct endpoint {
    enum { ENDPOINT_UNIX, ENDPOINT_TCP } kind;
    char *address; /* path, or host:port; owned */
};

/* The caller releases *ret_endpoint with endpoint_finish(). INVALID_ARGUMENT "invalid endpoint: <value>" for
 * anything else, also for an empty address and for a path of Windows. */
int endpoint_parse(const char *text, struct endpoint *ret_endpoint, struct error **err);
void endpoint_finish(struct endpoint *endpoint);

#endif
