/*
 * credentials.h - the identity mode of a mount, and its credential.
 *
 * It only decides and collects; identity.h turns the result into an identity that can obtain tokens.
 */
#ifndef PROVIDER_AZURE_IDENTITY_CREDENTIALS_H
#define PROVIDER_AZURE_IDENTITY_CREDENTIALS_H

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "common/base/secret.h"
#include "common/base/string_map.h"

enum identity_mode {
    IDENTITY_SERVICE_PRINCIPAL,
    IDENTITY_WORKLOAD,
    IDENTITY_POD,
    IDENTITY_MANAGED,
    IDENTITY_BINDING,
};

/* The parameters of a mount's identity. Borrowed; NULL or "" = not given. */
struct credential_parameters {
    bool use_pod_identity; /* at most one of the three; the other two modes follow from client_id */
    bool use_vm_identity;
    bool use_token_proxy;
    const char *client_id;
    const char *user_assigned_id;
    const char *service_account_tokens; /* the kubelet's JSON */
    const struct string_map *secrets;   /* nodePublishSecretRef; NULL: none was given */
};

enum credential_kind {
    CREDENTIAL_NONE,
    CREDENTIAL_CLIENT_SECRET, /* a client secret */
    CREDENTIAL_CERTIFICATE,   /* key and certificate, unparsed: app_certificate.h */
    CREDENTIAL_ASSERTION,     /* a service account token */
};

struct credentials {
    enum identity_mode mode;
    char *client_id; /* "" when the mode has none (VM: system-assigned) */
    enum credential_kind kind;
    struct secret *credential; /* NULL for modes without */
    struct secret *password;   /* of a certificate; may be NULL */
    bool newline_trimmed;      /* a line break at the end of a Secret's value was removed */
};

/* Picks the mode and takes the credential that it needs. INVALID_ARGUMENT: "failed to build auth config for
 * mode <None|PodIdentity|VMManagedIdentity|AzureTokenProxy>: ...". They never quote a value. */
int credentials_parse(const struct credential_parameters *parameters, struct credentials *ret_credentials,
                      struct error **err);

/* Wipes the credential and frees everything. Accepts one that is all zero. */
void credentials_finish(struct credentials *credentials);
#define cleanup_credentials CLEANUP(credentials_finish)

/* "service principal", "workload identity", ...: for messages and metrics. */
const char *identity_mode_name(enum identity_mode mode);

#endif
