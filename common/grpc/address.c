/*
 * address.c - socket addresses as configured.
 */
#include "common/grpc/address.h"

#include <netinet/in.h>
#include <string.h>
#include <uv.h>

int address_unix(const char *path, struct sockaddr_un *ret_address, struct error **err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = path == NULL ? 0 : strlen(path);

    if (len == 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "empty socket path");
    if (len >= sizeof(address.sun_path))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "socket path %s is %zu bytes long, at most %zu are possible", path, len,
                         sizeof(address.sun_path) - 1);
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

/* Numeric, in brackets for IPv6, empty for all interfaces, or "localhost". Cuts the closing bracket off. */
static int parse_host(char *host, int port, struct sockaddr_storage *ret_address)
{
    size_t len = strlen(host);

    if (len == 0)
        return uv_ip6_addr("::", port, (struct sockaddr_in6 *)ret_address);
    if (host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        return uv_ip6_addr(host + 1, port, (struct sockaddr_in6 *)ret_address);
    }
    return uv_ip4_addr(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, port,
                       (struct sockaddr_in *)ret_address);
}

int address_tcp(const char *text, struct sockaddr_storage *ret_address, struct error **err)
{
    const char *colon = strrchr(text, ':');
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    char host[INET6_ADDRSTRLEN + 2] = ""; /* with brackets */
    int port = 0;

    if (colon == NULL || parse_port(colon + 1, &port) < 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid address '%s': host:port expected", text);
    if ((size_t)(colon - text) < sizeof(host))
        memcpy(host, text, (size_t)(colon - text));
    if ((size_t)(colon - text) >= sizeof(host) || parse_host(host, port, &address) < 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid address '%s': numeric host expected",
                         text);
    *ret_address = address;
    return 0;
}
