/*
 * emulator.h - the emulator as a whole, and one HTTP request on its way through it.
 *
 *   http1 | http2 ──> exchange ──> faults ──> entra | keyvault | kube | imds | nmi | control
 *                                                              │
 *   http1 | http2 <── faults <── exchange <───── response <────┘
 *
 * One lock protects all state below `struct emulator`: every service function runs with it held and never
 * blocks. A further service is one more file, one more value of enum service, and one more row in the table
 * of exchange.c.
 */
#ifndef EMULATOR_EMULATOR_H
#define EMULATOR_EMULATOR_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "test/emulator/connections.h"
#include "test/emulator/faults.h"
#include "test/emulator/parking.h"
#include "test/emulator/response.h"
#include "test/emulator/stamp.h"
#include "test/emulator/text.h"
#include "test/emulator/url.h"

enum service {
    SERVICE_NONE,
    SERVICE_ENTRA,
    SERVICE_VAULT,
    SERVICE_KUBE,
    SERVICE_IMDS,
    SERVICE_NMI,
    SERVICE_TOKEN_PROXY,
    SERVICE_CONTROL,
    SERVICE_COUNT
};

/* "entra", "vault", "kube", "imds", "nmi", "token-proxy", "control"; SERVICE_NONE is "unknown". */
const char *service_name(enum service service);

/* As request->host has them; what clients know ends in the emulator's domain. */
#define LOGIN_HOST   "login.localhost"
#define VAULT_SUFFIX "vault.localhost"
/* The same services under names that are not loopback: for clients behind a proxy that knows where they
 * are. */
#define REMOTE_LOGIN_HOST   "login.emulator.test"
#define REMOTE_VAULT_SUFFIX "vault.emulator.test"
#define HSM_SUFFIX          "managedhsm.localhost"

enum {
    MAX_BODY_BYTES = 4 * 1024 * 1024, /* the API server takes 3 MiB, Key Vault 25 KiB */
    MAX_HOST_BYTES = 128,
};

/* How the TLS port speaks on connections that are accepted from now on. */
struct http_settings {
    bool http1; /* what ALPN may choose */
    bool http2;
    uint32_t max_streams;    /* SETTINGS_MAX_CONCURRENT_STREAMS */
    uint32_t initial_window; /* SETTINGS_INITIAL_WINDOW_SIZE: how much of a body a client may send at first */
    bool window_updates;     /* false: and no more after it */
    uint32_t frame_bytes;    /* the most that goes into one DATA frame of a response */
};

struct emulator {
    pthread_mutex_t lock;
    bool verbose;
    const char *domain; /* what clients have for "localhost" in the host names of the TLS port */
    bool tls12;         /* no TLS 1.3 */
    unsigned short tls_port;
    unsigned short control_port;
    unsigned short node_port; /* IMDS and NMI, plain HTTP */
    char *login_url;          /* "https://login.localhost:PORT", also the issuer's base */
    char *resource;           /* "https://vault.localhost:PORT": the audience of the vaults */
    char *hsm_resource;       /* "https://managedhsm.localhost:PORT": the audience of Managed HSMs */
    char *kube_token;         /* the only bearer token the Kubernetes API takes */
    struct parking *parking;
    struct server *server; /* for wake-ups */
    struct http_settings http;
    struct http_settings http_defaults; /* of the command line */
    struct connections *connections;
    struct faults *faults;
    struct limits *limits;
    struct counters *counters;
    struct entra *entra;
    struct imds *imds;
    struct nmi *nmi;
    struct token_store *tokens;
    struct vault_store *vaults;
    struct kube_store *kube;
};

struct request;

/* What differs between HTTP/1.1 and HTTP/2 for whoever serves a request. */
struct transport {
    const char *protocol;                                                    /* as ALPN names it */
    const char *(*header)(const struct request *request, const char *name);  /* or NULL */
    bool (*server_name_is)(const struct request *request, const char *name); /* of TLS (SNI) */
};

struct request {
    struct emulator *emulator;
    const struct transport *transport;
    struct connection *connection; /* NULL: of the control port */
    enum service service;
    char method[16];
    char host[MAX_HOST_BYTES]; /* lower case, without the port */
    char *target;              /* as sent, with query */
    struct url url;
    struct text body;
    bool body_too_large;
    char client_id[64]; /* the application, once known, for the request log */
    struct fault_decision fault;
    double started_unix;
};

/* The request header, or NULL. */
const char *request_header(const struct request *request, const char *name);
/* The token of "Authorization: Bearer ...", or NULL. */
const char *request_bearer_token(const struct request *request);
bool request_is(const struct request *request, const char *method);
/* The body as JSON object; NULL when it is none. The caller deletes it. */
cJSON *request_json(const struct request *request);

/* The services. */
void entra_serve(struct emulator *emulator, struct request *request, struct response *response);
void keyvault_serve(struct emulator *emulator, struct request *request, struct response *response);
void kube_serve(struct emulator *emulator, struct request *request, struct response *response);
void imds_serve(struct emulator *emulator, struct request *request, struct response *response);
void nmi_serve(struct emulator *emulator, struct request *request, struct response *response);
void control_serve(struct emulator *emulator, struct request *request, struct response *response);

/* An error body of the service's own shape for a status that no rule of the service caused; the "status"
 * fault uses them. */
void entra_error_body(struct emulator *emulator, unsigned status, struct response *response);
void keyvault_error_body(struct emulator *emulator, unsigned status, struct response *response);
void kube_error_body(struct emulator *emulator, unsigned status, struct response *response);
void imds_error_body(struct emulator *emulator, unsigned status, struct response *response);
void nmi_error_body(struct emulator *emulator, unsigned status, struct response *response);

#endif
