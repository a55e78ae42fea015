/*
 * proxy_allowlist.h - the proxies that a class may name in httpsProxy.
 *
 * The author of a class must not make the provider connect to any host and port of the node's network. So the
 * operator lists the proxies (--class-proxies); those of the provider's own environment are allowed as well.
 * The check comes before any connection and name lookup, and its error is the same whatever is behind the
 * address.
 */
#ifndef PROVIDER_AZURE_NETWORK_PROXY_ALLOWLIST_H
#define PROVIDER_AZURE_NETWORK_PROXY_ALLOWLIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

enum { PROXY_ALLOWLIST_MAX = 256 };

struct proxy_allowlist;

/* `list`: comma-separated, "host:port" each ("[address]:port" for IPv6), or a URL with one. `environment`:
 * `n` values of proxy variables; NULL, "" and malformed ones are skipped. INVALID_ARGUMENT names the entry.
 */
struct proxy_allowlist *proxy_allowlist_create(const char *list, const char *const *environment, size_t n,
                                               struct error **err);

/* Accepts NULL. */
void proxy_allowlist_destroy(struct proxy_allowlist *allowlist);

/* Whether host and port of the proxy's URL are in the list; hosts are compared without regard to case.
 * INVALID_ARGUMENT if not, or if the URL is malformed. `allowlist` NULL: no proxy is. */
int proxy_allowlist_check(const struct proxy_allowlist *allowlist, const char *url, struct error **err);

/* The ports of the list, for the sandbox; some may be equal. */
size_t proxy_allowlist_ports(const struct proxy_allowlist *allowlist, uint16_t *ports, size_t max);

#endif
