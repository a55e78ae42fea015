/*
 * endpoint.h - listen addresses as the systems we replace spell them: "unix://<path>" and
 * "tcp://<host:port>".
 *
 * The scheme is compared without case. For unix a '/' is put in front of what follows "unix://" unless it
 * already starts with one, so that both "unix://tmp/csi.sock" and "unix:///tmp/csi.sock" mean /tmp/csi.sock.
 */
#ifndef COMMON_PROCESS_ENDPOINT_H
#define COMMON_PROCESS_ENDPOINT_H

#include "common/base/error.h"

struct endpoint {
    enum { ENDPOINT_UNIX, ENDPOINT_TCP } kind;
    char *address; /* path, or host:port; owned */
};

/* INVALID_ARGUMENT "invalid endpoint: <value>" for anything else, also for an empty address. A path of
 * Windows is refused as such. */
int endpoint_parse(const char *text, struct endpoint *ret_endpoint, struct error **err);
void endpoint_finish(struct endpoint *endpoint);

#endif
