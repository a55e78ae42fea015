/*
 * endpoint.c - listen addresses: "unix://<path>" and "tcp://<host:port>".
 */
#include "common/process/endpoint.h"

#include <string.h>
#include <strings.h>

#include "common/base/cleanup.h"

/* The text after `scheme`, or NULL. */
static const char *strip_scheme(const char *text, const char *scheme)
{
    size_t len = strlen(scheme);
    return strncasecmp(text, scheme, len) == 0 ? text + len : NULL;
}

int endpoint_parse(const char *text, struct endpoint *ret_endpoint, struct error **err)
{
    const char *path = strip_scheme(text, "unix://");
    const char *rest = path != NULL ? path : strip_scheme(text, "tcp://");
    if (rest == NULL || rest[0] == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid endpoint: %s", text);

    if (rest[1] == ':' && rest[2] == '\\')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "invalid endpoint: %s: paths of Windows are not supported", text);

    const char *prefix = path != NULL && path[0] != '/' ? "/" : "";
    char *address = NULL;
    if (asprintf(&address, "%s%s", prefix, rest) < 0)
        return error_no_memory(err, "an endpoint");
    *ret_endpoint =
        (struct endpoint){.kind = path != NULL ? ENDPOINT_UNIX : ENDPOINT_TCP, .address = address};
    return 0;
}

void endpoint_finish(struct endpoint *endpoint)
{
    free(endpoint->address);
    *endpoint = (struct endpoint){0};
}
