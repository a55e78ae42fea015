/*
 * auth.h - which identity a mount asks for, and the credential it brings along.
 *
 * Only decides and collects; identity.h turns the result into something that can obtain tokens.
 */
#ifndef PROVIDER_AZURE_CREDENTIALS_H
#define PROVIDER_AZURE_CREDENTIALS_H

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "common/base/secret.h"
#include "common/base/string_map.h"

enum auth_mode {
    AUTH_SERVICE_PRINCIPAL,
    AUTH_WORKLOAD,
    AUTH_POD_IDENTITY,
    AUTH_VM_IDENTITY,
    AUTH_IDENTITY_BINDING,
};

/* The three switches of the parameters; the other two modes follow from clientID. */
struct auth_switches {
    bool pod_identity;
    bool vm_identity;
    bool token_proxy;
};

enum auth_credential {
    AUTH_CREDENTIAL_NONE,
    AUTH_CREDENTIAL_SECRET,      /* a client secret */
    AUTH_CREDENTIAL_CERTIFICATE, /* key and certificate as they stand in the Secret: app_certificate.h */
    AUTH_CREDENTIAL_ASSERTION,   /* a service account token */
};

struct auth {
    enum auth_mode mode;
    char *client_id; /* "" when the mode has none (VM: system-assigned) */
    enum auth_credential kind;
    struct secret *credential; /* NULL for modes without */
    struct secret *password;   /* of a certificate; may be NULL */
    bool newline_trimmed;      /* a line break at the end of a Secret's value was not taken as part of it */
};

/* Reads what the mode needs from the attributes and from the Secret (`secrets` NULL: none was given).
 * Errors INVALID_ARGUMENT: "failed to build auth config for mode
 * <None|PodIdentity|VMManagedIdentity|AzureTokenProxy>: ...". They never quote a value. */
int auth_parse(const struct auth_switches *switches, const struct string_map *attributes,
               const struct string_map *secrets, struct auth *ret_auth, struct error **err);
void auth_finish(struct auth *auth);
#define cleanup_auth CLEANUP(auth_finish)

/* "service principal", "workload identity", ...: for messages and metrics. */
const char *auth_mode_name(enum auth_mode mode);

#endif
