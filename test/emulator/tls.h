/*
 * tls.h - an ephemeral certificate authority and the server certificate it signs (GnuTLS).
 */
#ifndef EMULATOR_TLS_H
#define EMULATOR_TLS_H

#include <stdbool.h>

/* The host for requests about login hosts that a client does not know; it serves these alone. */
#define DISCOVERY_HOST "login.microsoftonline.com"

/* The cluster's id, as it stands in the API server's certificate, and the name that clients have to make
 * of it. */
#define CLUSTER_ID      "696995ccb303450001b31a18"
#define TOKEN_PROXY_SNI "aeaf29ip1hi5q38ebc3u4daum81u0unk52t5bg50j25234fmuj78g.ests.aks"

struct tls_identity {
    char *ca_pem;          /* what clients trust */
    char *certificate_pem; /* the server's */
    char *key_pem;
};

/* Makes new RSA keys and certificates, the kind that the cloud has, for all host names of the emulator, those
 * below `domain` among them. -1 with a message on stderr. */
int tls_identity_create(struct tls_identity *identity, const char *domain);
void tls_identity_finish(struct tls_identity *identity);

/* Whether a client named that server (SNI). `session` is GnuTLS'. */
bool tls_server_name_is(void *session, const char *name);
/* Whether it continues an earlier session. */
bool tls_is_resumed(void *session);

#endif
