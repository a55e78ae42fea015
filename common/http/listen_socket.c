/*
 * listen_socket.c - listening TCP sockets.
 */
#include "common/http/listen_socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/cleanup.h"

enum { LISTEN_BACKLOG = 512 }; /* a full one costs a probe the second until the next SYN */

/* Splits "host:port", "[v6]:port" or ":port" in place. */
static int split_address(char *address, char **ret_host, char **ret_port)
{
    char *colon = strrchr(address, ':');
    if (colon == NULL || colon[1] == '\0' || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strlen(colon + 1) > 5 || strtoul(colon + 1, NULL, 10) > 65535)
        return -1;
    *colon = '\0';
    *ret_port = colon + 1;
    size_t len = strlen(address);
    if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
        address[len - 1] = '\0';
        address++;
    } else if (strchr(address, ':') != NULL) {
        return -1; /* IPv6 without brackets is ambiguous */
    }
    *ret_host = address;
    return 0;
}

static int bind_one(const struct addrinfo *ai, bool dual_stack)
{
    cleanup_close int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    int off = 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on,
                     sizeof(on)); /* a restart must not wait for TIME_WAIT */
    if (ai->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, dual_stack ? &off : &on, sizeof(on));
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
        int errnum = errno;
        (void)close(steal_fd(&fd));
        errno = errnum;
        return -1;
    }
    return steal_fd(&fd);
}

static int bind_address(const char *host, const char *port, const char *shown, struct error **err)
{
    bool all = *host == '\0';
    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    const char *candidates[] = {all ? "::" : host, all ? "0.0.0.0" : NULL};
    int errnum = 0;
    for (size_t i = 0; i < ARRAY_SIZE(candidates) && candidates[i] != NULL; i++) {
        const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                       .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
        struct addrinfo *list = NULL;
        if (getaddrinfo(candidates[i], port, &hints, &list) != 0)
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                             "listen address '%s' is not an IP address and port", shown);
        int fd = bind_one(list, all);
        errnum = errno;
        freeaddrinfo(list);
        if (fd >= 0)
            return fd;
        if (errnum == EADDRINUSE)
            break; /* the IPv4 half being free would only hide the conflict */
    }
    return error_set_errno(err, GRPC_STATUS_UNAVAILABLE, errnum, "listen on '%s'", shown);
}

int listen_socket_open(const char *address, struct error **err)
{
    char *host = NULL;
    char *port = NULL;
    cleanup_free char *copy = strdup(address);
    if (copy == NULL)
        return error_no_memory(err, "the admin server");
    if (split_address(copy, &host, &port) < 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "listen address '%s' is not host:port", address);
    return bind_address(host, port, address, err);
}

unsigned listen_socket_port(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}
