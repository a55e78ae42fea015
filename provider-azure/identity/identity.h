/*
 * identity.h - the identity of a mount towards Azure: one interface, one file per mode.
 *
 * Every mode obtains a token by one HTTP request, so a mode is two pure functions: build_request() makes the
 * request, parse_response() reads the token from the response. Retries, deadlines, single flight and caching
 * are the token cache's (token_cache.h). A new mode is a file with an `identity_ops` and a case in
 * identity_create().
 */
#ifndef PROVIDER_AZURE_IDENTITY_IDENTITY_H
#define PROVIDER_AZURE_IDENTITY_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "common/crypto/digest.h"
#include "common/crypto/pkcs12_cost.h"
#include "provider-azure/cloud/cloud.h"
#include "provider-azure/identity/credentials.h"
#include "provider-azure/identity/token.h"
#include "provider-azure/identity/token_proxy.h"
#include "provider-azure/identity/token_request.h"
#include "provider-azure/network/egress.h"

struct identity;

/* The inputs of a request besides the identity. */
struct token_request_context {
    int64_t now_unix;
    const struct token_proxy_endpoint *endpoint; /* of an identity that has a token_proxy, else NULL */
    struct pkcs12_run *run; /* with build_in_thread; with run->later the request is built again */
};

struct identity_ops {
    enum identity_mode mode;
    /* Put in front of the network's error when the service sends no response; may be NULL. */
    const char *no_response;
    /* build_request() may take long and runs in another thread: it only reads the identity. */
    bool build_in_thread;
    /* Fills an empty request. It is called for each request, so that an assertion is new each time. Errors:
     * INVALID_ARGUMENT, FAILED_PRECONDITION for an unusable credential. */
    int (*build_request)(const struct identity *identity, const struct token_request_context *context,
                         struct token_request *ret_request, struct error **err);
    /* Reads a response of any status. `sent` is the credential as the request had it, NULL if there was none.
     * Returns a token with one reference, or NULL with err set: UNAUTHENTICATED, RESOURCE_EXHAUSTED (429),
     * UNAVAILABLE. The texts name the hop and quote neither a token nor what was sent. */
    struct token *(*parse_response)(const struct identity *identity, const struct http_reply *reply,
                                    const struct secret *sent, int64_t now_unix, struct error **err);
};

/* The addresses of the node's token services; the defaults are fixed by the platform. */
struct identity_endpoints {
    const char *imds;                /* "http://169.254.169.254" */
    const char *nmi;                 /* "http://127.0.0.1:2579" */
    struct token_proxy *token_proxy; /* for identity bindings; NULL: there is none. Outlives all identities */
};

/* Immutable; shared by the mount and by a token request that may outlive it. */
struct identity {
    unsigned refs;
    const struct identity_ops *ops;
    char *authority; /* the cloud's Active Directory endpoint; "" where unused */
    char *tenant;
    char *client_id;
    char *scope;                     /* "<resource>/.default" */
    char *resource;                  /* without the ending */
    char *endpoint;                  /* IMDS or NMI */
    struct token_proxy *token_proxy; /* borrowed; NULL for modes that need none */
    char *pod_name;                  /* pod identity */
    char *pod_namespace;
    char *
        pod_uid; /* pod identity; "" = unknown. In the key only: a new pod of an old name gets its own token */
    struct egress *egress; /* of the class; NULL: the environment's */
    enum credential_kind kind;
    struct secret *credential;
    struct secret *password;              /* of a certificate; may be NULL */
    uint8_t key[DIGEST_SHA256_LEN];       /* everything above: cache key; includes the credential */
    uint8_t principal[DIGEST_SHA256_LEN]; /* the same without credential: see struct token */
};

struct identity_input {
    const struct credentials *credentials;
    const struct cloud *cloud;
    const char
        *audience; /* the resource of the token, without a trailing slash; NULL: the cloud's Key Vault */
    const char *tenant;
    const char *pod_name;
    const char *pod_namespace;
    const char *pod_uid; /* may be NULL */
    struct identity_endpoints endpoints;
    struct egress *egress; /* may be NULL; a reference is taken */
};

/* Copies what it needs (the credential into memory of its own) and returns one reference. NULL with err set:
 * INVALID_ARGUMENT for a malformed tenant or an authority without https, UNIMPLEMENTED for identity binding
 * without a token proxy. */
struct identity *identity_create(const struct identity_input *input, struct error **err);

/* The same identity for tokens of another resource (without a trailing slash), with one reference. NULL
 * with err set on lack of memory. */
struct identity *identity_for_resource(const struct identity *identity, const char *resource,
                                       struct error **err);

/* Takes a reference and returns `identity`. */
struct identity *identity_ref(struct identity *identity);

/* Drops a reference; the last one frees the identity and wipes its credential. Accepts NULL. */
void identity_unref(struct identity *identity);

/* For cleanup_identity only. */
static inline void cleanup_identity_func(struct identity **identity)
{
    identity_unref(*identity);
}
#define cleanup_identity CLEANUP(cleanup_identity_func)

/* --- the modes --- */

extern const struct identity_ops client_secret_ops;
extern const struct identity_ops client_certificate_ops;
extern const struct identity_ops workload_identity_ops;
extern const struct identity_ops identity_binding_ops;
extern const struct identity_ops managed_identity_ops;
extern const struct identity_ops pod_identity_ops;

#endif
