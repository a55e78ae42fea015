/*
 * address.c - socket addresses as configured.
 */
#include "common/grpc/address.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

int address_unix(const char *path, struct sockaddr_un *ret_address, struct error **err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = path == NULL ? 0 : strlen(path);

    if (len == 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "empty socket path");
    if (len >= sizeof(address.sun_path))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "socket path %s is %zu bytes long, at most %zu are possible",
                         path, len, sizeof(address.sun_path) - 1);
    memcpy(address.sun_path, path, len);
    *ret_address = address;
    return 0;
}

static int parse_port(const char *text, int *ret_port)
{
    int port = 0;

    if (*text == '\0' || strlen(text) > 5)
        return -1;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return -1;
        port = port * 10 + (*text - '0');
    }
    if (port > 65535)
        return -1;
    *ret_port = port;
    return 0;
}

int address_tcp(const char *text, struct sockaddr_storage *ret_address, struct error **err)
{
    const char *colon = strrchr(text, ':');
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    cleanup_free char *host = NULL;
    char *bare;
    int port = 0;
    int rc;

    if (colon == NULL || parse_port(colon + 1, &port) < 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid address '%s': host:port expected", text);
    host = strndup(text, (size_t)(colon - text));
    if (host == NULL)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "no memory");
    bare = host;
    if (host[0] == '[' && host[strlen(host) - 1] == ']') {
        host[strlen(host) - 1] = '\0';
        bare++;
        rc = uv_ip6_addr(bare, port, (struct sockaddr_in6 *)&address);
    } else if (*bare == '\0') {
        rc = uv_ip6_addr("::", port, (struct sockaddr_in6 *)&address);
    } else {
        rc = uv_ip4_addr(strcmp(bare, "localhost") == 0 ? "127.0.0.1" : bare, port, (struct sockaddr_in *)&address);
    }
    if (rc < 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid address '%s': numeric host expected", text);
    *ret_address = address;
    return 0;
}
