/*
 * identity.h - who a mount is towards Azure: one interface, one file per mode.
 *
 * Every mode obtains a token by one HTTP exchange, so an identity is two pure functions: prepare() says what
 * to ask, understand() reads the answer. Retries, deadlines, single flight and caching are the token cache's
 * (token_cache.h). To add a mode, write a file with the three operations and a line in identity_create().
 */
#ifndef PROVIDER_AZURE_IDENTITY_IDENTITY_H
#define PROVIDER_AZURE_IDENTITY_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buffer.h"
#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "provider-azure/cloud/cloud.h"
#include "provider-azure/crypto/crypto.h"
#include "provider-azure/identity/credentials.h"
#include "provider-azure/identity/token.h"
#include "provider-azure/identity/token_proxy.h"
#include "provider-azure/network/http_retry.h"

struct identity;

/* The request, owned by whoever called prepare(). All texts are from the wiping allocator. */
struct token_request {
    const char *service; /* literal, see struct http_retry_request */
    const char *method;  /* literal */
    char *host;
    char *url;
    char *headers[HTTP_RETRY_MAX_HEADERS + 1];
    struct buffer body;
    enum http_proxy_policy proxy;
    const struct retry_policy *policy;
    char *connect_to; /* NULL: where the URL says */
    char *ca_pem;     /* NULL: the system's */
    size_t ca_pem_len;
};

/* What a question depends on besides the identity. */
struct token_request_context {
    int64_t now_unix;
    const struct token_proxy_endpoint *endpoint; /* of an identity that has a token_proxy, else NULL */
};
void token_request_finish(struct token_request *request);

struct identity_ops {
    enum identity_mode mode;
    const char *no_response; /* told in front of the network's words when nobody answers; may be NULL */
    bool build_in_thread; /* prepare() may take long and runs in another thread: it only reads the identity */
    /* Fills an empty request; called for each request, so that what must be new each time is. Errors:
     * INVALID_ARGUMENT, FAILED_PRECONDITION for a credential that can not be used. */
    int (*build_request)(const struct identity *identity, const struct token_request_context *context,
                         struct token_request *ret_request, struct error **err);
    /* Reads an answer of any status. Errors: UNAUTHENTICATED, RESOURCE_EXHAUSTED (429), UNAVAILABLE; texts
     * name the hop and never quote a token. */
    struct token *(*parse_response)(const struct identity *identity, const struct http_reply *reply,
                                    int64_t now_unix, struct error **err);
};

/* Where the node-local token services are; the defaults are fixed addresses of the platform. */
struct identity_endpoints {
    const char *imds;                /* "http://169.254.169.254" */
    const char *nmi;                 /* "http://127.0.0.1:2579" */
    struct token_proxy *token_proxy; /* for identity bindings; NULL: there is none. Outlives all identities */
};

/* Immutable once made; shared by the mount and by a token request that may outlive it. */
struct identity {
    unsigned refs;
    const struct identity_ops *ops;
    char *authority; /* cloud's Active Directory endpoint; "" where unused */
    char *tenant;
    char *client_id;
    char *scope;                     /* "<resource>/.default" */
    char *resource;                  /* without the ending */
    char *endpoint;                  /* IMDS or NMI */
    struct token_proxy *token_proxy; /* borrowed; NULL for modes that ask directly */
    char *pod_name;                  /* pod identity */
    char *pod_namespace;
    char *
        pod_uid; /* pod identity; "" = not told. Part of the key only: a new pod of an old name proves anew */
    struct egress *egress; /* of the class; NULL: the environment's */
    struct secret *credential;
    struct secret *password;       /* of a certificate; may be NULL */
    uint8_t key[DIGEST_LEN];       /* everything above: cache key; includes the credential */
    uint8_t principal[DIGEST_LEN]; /* the same without credential: see struct token */
};

struct identity_input {
    const struct credentials *credentials;
    const struct cloud *cloud;
    const char *audience; /* whom the token is for, without a trailing slash; NULL: the cloud's Key Vault */
    const char *tenant;
    const char *pod_name;
    const char *pod_namespace;
    const char *pod_uid; /* may be NULL */
    struct identity_endpoints endpoints;
    struct egress *egress; /* may be NULL; a reference is taken */
};

/* Copies what it needs (the credential into memory of its own). NULL with err set: INVALID_ARGUMENT for a
 * tenant that can not be one or an authority without https, UNIMPLEMENTED for identity binding without a
 * token proxy.
 */
struct identity *identity_create(const struct identity_input *input, struct error **err);
struct identity *identity_ref(struct identity *identity);
void identity_unref(struct identity *identity); /* accepts NULL */

static inline void cleanup_identity_func(struct identity **identity)
{
    identity_unref(*identity);
}
#define cleanup_identity CLEANUP(cleanup_identity_func)

/* --- for the modes
 * --------------------------------------------------------------------------------------------------- */

extern const struct identity_ops client_secret_ops;
extern const struct identity_ops client_certificate_ops;
extern const struct identity_ops workload_identity_ops;
extern const struct identity_ops identity_binding_ops;
extern const struct identity_ops managed_identity_ops;
extern const struct identity_ops pod_identity_ops;

/* Sets url and host, and adds headers, with error checks. `format` makes the URL. */
int token_request_set_url(struct token_request *request, const char *url, struct error **err);
int token_request_add_header(struct token_request *request, const char *name, const char *value,
                             struct error **err);

/* What a service may say: Entra's tokens live a day at most, and have some KiB. */
enum { TOKEN_LIFE_MAX_S = 7 * 24 * 3600, TOKEN_TEXT_MAX = 48 * 1024 };

/* A number of seconds that a service gave, cut to 0 ... TOKEN_LIFE_MAX_S: safe to add to a time. */
int64_t token_life(int64_t seconds);

/* A token for `text`; refresh_in 0 = unknown. It ends TOKEN_LIFE_MAX_S from now at the latest. NULL with err
 * set: UNAVAILABLE for a text that can not be sent in a header, RESOURCE_EXHAUSTED. */
struct token *token_make(const struct identity *identity, const char *text, int64_t expires_unix,
                         int64_t refresh_in, int64_t now_unix, struct error **err);

#endif
