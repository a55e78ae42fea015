/*
 * proxy.h - the proxy of a URL by HTTPS_PROXY, HTTP_PROXY and NO_PROXY, read once. Private to common/http.
 *
 * The rules are those of Go programs, so that existing deployments keep their
 * settings: upper-case names win over lower-case ones; there is no ALL_PROXY; localhost and loopback
 * addresses are never proxied; NO_PROXY is a list of
 *   "*"              everything
 *   "10.0.0.0/8"     addresses in the network
 *   "10.1.2.3"       that address
 *   "example.com"    the name and every name below it
 *   ".example.com"   only names below it (also spelled "*.example.com")
 * each with an optional ":port". Blanks and line breaks separate rules as well as commas do: YAML block scalars
 * bring them.
 */
#ifndef COMMON_HTTP_PROXY_H
#define COMMON_HTTP_PROXY_H

#include <stdbool.h>

struct proxy_settings {
    char *http_proxy;          /* NULL = none */
    char *https_proxy;         /* NULL = none */
    char *no_proxy;            /* NULL = none */
    const char *http_variable; /* the names of the variables that gave them; literals, NULL = none */
    const char *https_variable;
};

/* Reads the environment; blanks and line breaks at the ends of values do not count. -1 on lack of memory. */
int proxy_settings_init(struct proxy_settings *settings);

/* Frees; empty and usable afterwards. */
void proxy_settings_finish(struct proxy_settings *settings);

/* The proxy's URL for a request, or NULL for a direct connection. `host` without brackets. Borrowed from
 * `settings`. */
const char *proxy_for(const struct proxy_settings *settings, bool https, const char *host, unsigned port);

/* The name of the variable that `proxy`, a value of proxy_for(), comes from; NULL if it is from none. */
const char *proxy_variable(const struct proxy_settings *settings, const char *proxy);

/* A copy of a proxy's URL in which user and password contain "%40" for each '@': the last '@' in front of the
 * host ends them. From the wiping allocator. NULL on lack of memory. */
char *proxy_escape_user(const char *url);

/* True for "localhost", names below it, and loopback addresses. */
bool proxy_is_loopback(const char *host);

#endif
