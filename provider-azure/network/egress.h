/*
 * route.h - the way of one class to Entra ID and Key Vault: proxy and trusted certificates.
 *
 * Parameters httpsProxy, noProxy and caBundleFile; each replaces or adds to what the process has from its
 * environment, for the mounts of this class alone. Why this shape:
 * - One pair of variables per node does not do where teams have proxies of their own, or where only some
 *   vaults are behind one.
 * - A proxy sees the names of the hosts and nothing else, because the servers still have to prove who they
 *   are. So a class may name any proxy ("none": none).
 * - Whoever may say which certificates are trusted, may read tokens; and the tokens of a node's managed
 *   identity are not the class author's. So a class only chooses among the files that the operator put
 *   into --class-ca-dir, by a plain name.
 * - Nothing that came by one route is given to a mount with another: the route is part of what names a
 *   token, a vault read and a back-off (the identity's key and principal), and libcurl shares no
 *   connection between different proxies or certificate files.
 * - IMDS and NMI are on the node: never by a route.
 */
#ifndef PROVIDER_AZURE_NETWORK_EGRESS_H
#define PROVIDER_AZURE_NETWORK_EGRESS_H

#include "common/base/error.h"
#include "common/crypto/digest.h"
#include "common/http/client.h"

/* Immutable; shared by whoever sends requests. */
struct egress {
    unsigned refs;
    char *proxy;    /* NULL: the environment's; "": none */
    char *no_proxy; /* NULL: the environment's */
    char *ca_file;  /* path; NULL: no additional certificates */
    uint8_t digest[DIGEST_SHA256_LEN];
};

/* Parameters of a class; NULL or "" = not given. */
struct egress_parameters {
    const char *https_proxy;
    const char *no_proxy;
    const char *ca_bundle_file;
};

/* Sets *ret_egress, NULL when the class says nothing about it. `ca_dir` is --class-ca-dir, NULL or "" = none.
 * INVALID_ARGUMENT names the parameter. */
int egress_create(const struct egress_parameters *parameters, const char *ca_dir, struct egress **ret_egress,
                  struct error **err);

/* Both accept NULL. */
struct egress *egress_ref(struct egress *egress);
void egress_unref(struct egress *egress);

static inline void cleanup_egress_func(struct egress **egress)
{
    egress_unref(*egress);
}
#define cleanup_egress CLEANUP(cleanup_egress_func)

/* Fills the request's policy for proxies and certificates. `route` may be NULL: the environment's. */
void egress_apply(const struct egress *egress, struct http_request *request);

#endif
