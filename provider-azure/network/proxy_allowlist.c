/*
 * proxy_allowlist.c - pairs of host and port.
 */
#include "provider-azure/network/proxy_allowlist.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/cleanup.h"
#include "common/http/client.h"

struct address {
    char *host;
    unsigned port;
};

struct proxy_allowlist {
    struct address addresses[PROXY_ALLOWLIST_MAX];
    size_t n;
};

static int add(struct proxy_allowlist *allowlist, const char *url, struct error **err)
{
    struct address *address = &allowlist->addresses[allowlist->n];

    if (allowlist->n == PROXY_ALLOWLIST_MAX)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "more than %d proxies", PROXY_ALLOWLIST_MAX);
    if (http_proxy_address(url, &address->host, &address->port, err) < 0)
        return -1;
    allowlist->n++;
    return 0;
}

/* "host:port", with the port: a default would depend on the scheme. */
static int add_entry(struct proxy_allowlist *allowlist, const char *entry, struct error **err)
{
    const char *colon = strrchr(entry, ':');
    cleanup_free char *url = NULL;

    if (strstr(entry, "://") != NULL)
        return add(allowlist, entry, err);
    if (colon == NULL || colon[1] == '\0' || colon[1 + strspn(colon + 1, "0123456789")] != '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "not host:port");
    if (asprintf(&url, "http://%s", entry) < 0) {
        url = NULL;
        return error_no_memory(err, NULL);
    }
    return add(allowlist, url, err);
}

static int add_list(struct proxy_allowlist *allowlist, const char *list, struct error **err)
{
    cleanup_free char *copy = strdup(list);
    char *rest = copy;

    if (copy == NULL)
        return error_no_memory(err, NULL);
    for (char *entry; (entry = strsep(&rest, ",")) != NULL;) {
        entry += strspn(entry, " ");
        if (*entry != '\0' && add_entry(allowlist, entry, err) < 0)
            return error_wrap(err, "--class-proxies: '%s'", entry);
    }
    return 0;
}

/* Blanks and line breaks at the ends do not count (common/http/proxy.h). A malformed value fails where it is
 * used. */
static int add_variable(struct proxy_allowlist *allowlist, const char *value, struct error **err)
{
    static const char blanks[] = " \t\r\n";
    const char *begin = value + strspn(value, blanks);
    size_t len = strlen(begin);
    cleanup_free char *url = NULL;

    while (len > 0 && strchr(blanks, begin[len - 1]) != NULL)
        len--;
    url = strndup(begin, len);
    if (url == NULL)
        return error_no_memory(err, NULL);
    if (len > 0)
        (void)add(allowlist, url, NULL);
    return 0;
}

struct proxy_allowlist *proxy_allowlist_create(const char *list, const char *const *environment, size_t n,
                                               struct error **err)
{
    struct proxy_allowlist *allowlist = calloc(1, sizeof(*allowlist));

    if (allowlist == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    int ret = add_list(allowlist, list, err);
    for (size_t i = 0; i < n && ret == 0; i++)
        ret = environment[i] != NULL ? add_variable(allowlist, environment[i], err) : 0;
    if (ret < 0) {
        proxy_allowlist_destroy(allowlist);
        return NULL;
    }
    return allowlist;
}

void proxy_allowlist_destroy(struct proxy_allowlist *allowlist)
{
    if (allowlist == NULL)
        return;
    for (size_t i = 0; i < allowlist->n; i++)
        free(allowlist->addresses[i].host);
    free(allowlist);
}

static bool has(const struct proxy_allowlist *allowlist, const char *host, unsigned port)
{
    for (size_t i = 0; allowlist != NULL && i < allowlist->n; i++) {
        if (allowlist->addresses[i].port == port && strcasecmp(allowlist->addresses[i].host, host) == 0)
            return true;
    }
    return false;
}

int proxy_allowlist_check(const struct proxy_allowlist *allowlist, const char *url, struct error **err)
{
    cleanup_free char *host = NULL;
    unsigned port = 0;

    if (http_proxy_address(url, &host, &port, err) < 0)
        return -1;
    return has(allowlist, host, port) ? 0
                                      : error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                                                  "the proxy is not one of the provider's --class-proxies");
}

size_t proxy_allowlist_ports(const struct proxy_allowlist *allowlist, uint16_t *ports, size_t max)
{
    size_t n = 0;

    for (; n < allowlist->n && n < max; n++)
        ports[n] = (uint16_t)allowlist->addresses[n].port;
    return n;
}
