/*
 * egress.h - proxy and trusted certificates of one class, towards Entra ID and Key Vault.
 *
 * Parameters httpsProxy, noProxy and caBundleFile; each replaces a setting of the process's environment, or
 * adds to it, for the mounts of this class alone. The reasons:
 * - One pair of variables per node is too little where teams have proxies of their own, or where only some
 *   vaults are behind one.
 * - A proxy sees only the names of the hosts, because the servers prove their identity through it. But a
 *   class must not send the provider to any port of the network: it chooses among the proxies that the
 *   operator allows (proxy_allowlist.h; "none": none).
 * - The author of a trusted certificate can read tokens, and the tokens of a node's managed identity are not
 *   the class author's. So a class only chooses among the files that the operator put into --class-ca-dir, by
 *   a plain name.
 * - Mounts with different egress share nothing: the egress is part of the key of a token, a vault read and a
 *   back-off (the identity's key and principal), and libcurl shares no connection between different proxies
 *   or certificate files.
 * - IMDS and NMI are on the node: requests to them never use an egress.
 */
#ifndef PROVIDER_AZURE_NETWORK_EGRESS_H
#define PROVIDER_AZURE_NETWORK_EGRESS_H

#include "common/base/error.h"
#include "common/crypto/digest.h"
#include "common/http/client.h"
#include "provider-azure/network/proxy_allowlist.h"

/* Immutable; shared by the requests of a class. */
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

/* What the operator lets classes choose from. */
struct egress_choices {
    const char *ca_dir;                    /* --class-ca-dir; NULL or "" = none */
    const struct proxy_allowlist *proxies; /* NULL = none */
};

/* Sets *ret_egress: one reference, or NULL when no parameter is given. INVALID_ARGUMENT names the parameter.
 */
int egress_create(const struct egress_parameters *parameters, const struct egress_choices *choices,
                  struct egress **ret_egress, struct error **err);

/* Takes a reference and returns `egress`. Accepts NULL. */
struct egress *egress_ref(struct egress *egress);

/* Drops a reference. Accepts NULL. */
void egress_unref(struct egress *egress);

/* For cleanup_egress only. */
static inline void cleanup_egress_func(struct egress **egress)
{
    egress_unref(*egress);
}
#define cleanup_egress CLEANUP(cleanup_egress_func)

/* Sets the proxy and the certificates of a request, which borrows them. `egress` may be NULL: the
 * environment's. */
void egress_apply(const struct egress *egress, struct http_request *request);

#endif
