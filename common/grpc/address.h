/*
 * address.h - socket addresses as configured: a Unix socket path, or "host:port" with a numeric host.
 */
#ifndef COMMON_GRPC_ADDRESS_H
#define COMMON_GRPC_ADDRESS_H

#include <sys/socket.h>
#include <sys/un.h>

#include "common/base/error.h"

/* Fills a sockaddr_un. INVALID_ARGUMENT when `path` is empty or longer than sun_path allows (107 bytes): the
 * kernel and libuv would cut it silently. */
int address_unix(const char *path, struct sockaddr_un *ret_address, struct error **err);

/* "1.2.3.4:80", ":80" (all interfaces), "[::1]:80", "localhost:80". INVALID_ARGUMENT for anything else. */
int address_tcp(const char *text, struct sockaddr_storage *ret_address, struct error **err);

#endif
