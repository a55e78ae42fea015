/*
 * credentials.c - picks the identity mode and its credential.
 */
#include "provider-azure/identity/credentials.h"

#include <string.h>
#include <strings.h>

#include "common/base/json.h"
#include "common/base/utf8.h"
#include "provider-azure/base/parameter_text.h"
#include "provider-azure/identity/timestamp.h"

#define AUDIENCE_WORKLOAD "api://AzureADTokenExchange"
#define AUDIENCE_BINDING  "api://AKSIdentityBinding"

/* A few audiences, each with a token of 1 to 2 KiB. */
enum { TOKENS_MAX_BYTES = 256 * 1024, SPELLING_MAX = 40 };

const char *identity_mode_name(enum identity_mode mode)
{
    static const char *const names[] = {
        [IDENTITY_SERVICE_PRINCIPAL] = "service principal",
        [IDENTITY_WORKLOAD] = "workload identity",
        [IDENTITY_POD] = "pod identity",
        [IDENTITY_MANAGED] = "VM managed identity",
        [IDENTITY_BINDING] = "identity binding",
    };
    return names[mode];
}

static int invalid(struct error **err, const char *text)
{
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s", text);
}

static bool given(const char *value)
{
    return value != NULL && *value != '\0';
}

static int set_client_id(struct credentials *credentials, const char *value, struct error **err)
{
    credentials->client_id = parameter_text_trim(value);
    return credentials->client_id == NULL ? error_no_memory(err, NULL) : 0;
}

/* The token for `audience` out of the kubelet's JSON: {"<audience>": {"token": "...", "expirationTimestamp":
 * "..."}}. */
static int pick_token(const char *tokens, const char *audience, struct credentials *credentials,
                      struct error **err)
{
    static const char unmarshal[] = "failed to unmarshal service account tokens, error";
    cleanup_json cJSON *root = json_parse(tokens, strlen(tokens), TOKENS_MAX_BYTES, err);
    const cJSON *entry = NULL;
    const char *found = NULL;

    if (root == NULL)
        return error_wrap(err, "%s", unmarshal);
    if (!cJSON_IsObject(root)) {
        invalid(err, "not a JSON object");
        return error_wrap(err, "%s", unmarshal);
    }
    cJSON_ArrayForEach(entry, root)
    {
        const char *token = NULL;
        const char *expires = NULL;
        if (!cJSON_IsObject(entry)) {
            invalid(err, "an audience's value is not an object");
            return error_wrap(err, "%s", unmarshal);
        }
        if (json_opt_string(entry, "token", &token, err) < 0 ||
            json_opt_string(entry, "expirationTimestamp", &expires, err) < 0)
            return error_wrap(err, "%s", unmarshal);
        if (expires != NULL && !timestamp_is_rfc3339(expires)) {
            invalid(err, "an expirationTimestamp is not a date and time of RFC 3339");
            return error_wrap(err, "%s", unmarshal);
        }
        if (strcmp(entry->string, audience) == 0)
            found = token;
    }
    if (found == NULL || *found == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "token for audience %s not found", audience);
    credentials->kind = CREDENTIAL_ASSERTION;
    credentials->credential = secret_from_bytes(found, strlen(found));
    return credentials->credential == NULL ? error_no_memory(err, NULL) : 0;
}

static int parse_binding(const char *tokens, struct credentials *credentials, struct error **err)
{
    if (*credentials->client_id == '\0')
        return invalid(err, "clientID is required for identity binding");
    if (!given(tokens))
        return invalid(err, "service account tokens are required for identity binding");
    if (pick_token(tokens, AUDIENCE_BINDING, credentials, err) < 0)
        return error_wrap(err, "failed to parse service account token for identity binding, error");
    return 0;
}

static int parse_workload(const char *tokens, struct credentials *credentials, struct error **err)
{
    if (!given(tokens))
        return invalid(err,
                       "failed to parse workload identity tokens, error: service account tokens not found");
    if (pick_token(tokens, AUDIENCE_WORKLOAD, credentials, err) < 0)
        return error_wrap(err, "failed to parse workload identity tokens, error");
    return 0;
}

/* The value of a Secret key in any case. Two keys that differ only in case are refused: the choice between
 * them would be arbitrary. */
static int secret_value(const struct string_map *secrets, const char *key, const char **ret,
                        struct error **err)
{
    *ret = NULL;
    for (size_t i = 0; i < secrets->n; i++) {
        if (strcasecmp(secrets->entries[i].key, key) != 0)
            continue;
        if (*ret != NULL)
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "more than one key named %s in secrets", key);
        *ret = secrets->entries[i].value;
    }
    return 0;
}

/* A copy of a Secret's value. `kubectl create secret --from-file` keeps the line break and the byte order
 * mark of the file: they are taken off, because Entra would refuse the value without saying why. */
static struct secret *copy_value(struct credentials *credentials, const char *value, struct error **err)
{
    size_t len = strlen(value), mark = utf8_mark_len(value, len);
    value += mark;
    len -= mark;
    if (len > 0 && value[len - 1] == '\n') {
        len--;
        credentials->newline_trimmed = true;
        if (len > 0 && value[len - 1] == '\r')
            len--;
    }
    struct secret *copy = secret_from_bytes(value, len);
    if (copy == NULL)
        (void)error_no_memory(err, NULL);
    return copy;
}

/* Is the key that of a credential in another spelling ("AZURE_CLIENT_ID", "client-id" of clientid)? */
static bool is_spelling_of(const char *key, const char *name)
{
    static const char *const prefixes[] = {"", "azure", "arm", "aad", "sp"};
    char letters[SPELLING_MAX + 1];
    size_t len = 0;

    for (; *key != '\0' && len < SPELLING_MAX; key++)
        if (*key != '_' && *key != '-' && *key != '.')
            letters[len++] = *key;
    letters[len] = '\0';
    for (size_t i = 0; *key == '\0' && i < ARRAY_SIZE(prefixes); i++) {
        size_t prefix = strlen(prefixes[i]);
        if (strncasecmp(letters, prefixes[i], prefix) == 0 && strcasecmp(letters + prefix, name) == 0)
            return true;
    }
    return false;
}

/* `instead` would do as well, if not NULL. A key of the Secret is a name in public; only one that is known to
 * be none of a secret's is named. */
static int not_found(const struct string_map *secrets, const char *name, const char *instead,
                     struct error **err)
{
    const char *const wanted[] = {name, instead};

    (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "could not find %s in secrets", name);
    for (size_t i = 0; i < secrets->n * ARRAY_SIZE(wanted); i++) {
        const char *key = secrets->entries[i / ARRAY_SIZE(wanted)].key;
        const char *right = wanted[i % ARRAY_SIZE(wanted)];
        if (right != NULL && strcasecmp(key, right) != 0 && is_spelling_of(key, right))
            return error_hint(err, "the Secret has %s, the key is %s", key, right);
    }
    return -1;
}

static int parse_service_principal(const struct string_map *secrets, struct credentials *credentials,
                                   struct error **err)
{
    const char *id = NULL, *client_secret = NULL, *certificate = NULL, *password = NULL;

    if (secrets == NULL)
        return invalid(err, "failed to get credentials, nodePublishSecretRef secret is not set");
    if (secret_value(secrets, "clientid", &id, err) < 0 ||
        secret_value(secrets, "clientsecret", &client_secret, err) < 0 ||
        secret_value(secrets, "clientcertificate", &certificate, err) < 0 ||
        secret_value(secrets, "clientcertificatepassword", &password, err) < 0)
        return -1;
    if (!given(id))
        return not_found(secrets, "clientid", /* instead= */ NULL, err);
    if (given(client_secret) && given(certificate))
        return invalid(err, "both clientsecret and clientcertificate are in secrets: keep one of them");
    if (!given(client_secret) && !given(certificate))
        return not_found(secrets, "clientsecret", "clientcertificate", err); /* the text people know */

    free(steal_ptr(&credentials->client_id));
    if (set_client_id(credentials, id + utf8_mark_len(id, strlen(id)), err) < 0)
        return -1;
    credentials->kind = given(certificate) ? CREDENTIAL_CERTIFICATE : CREDENTIAL_CLIENT_SECRET;
    credentials->credential = copy_value(credentials, given(certificate) ? certificate : client_secret, err);
    if (credentials->credential == NULL)
        return -1;
    if (secret_len(credentials->credential) == 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "could not find %s in secrets",
                         given(certificate) ? "clientcertificate" : "clientsecret");
    if (given(certificate) && given(password)) {
        credentials->password = copy_value(credentials, password, err);
        if (credentials->password == NULL)
            return -1;
    }
    return 0;
}

int credentials_parse(const struct credential_parameters *parameters, struct credentials *ret_credentials,
                      struct error **err)
{
    const char *tokens = parameters->service_account_tokens;
    cleanup_credentials struct credentials credentials = {0};
    const char *label = "None";
    int result = 0;

    if (set_client_id(&credentials, parameters->client_id, err) < 0)
        return -1;
    if (parameters->use_pod_identity) {
        label = "PodIdentity";
        credentials.mode = IDENTITY_POD;
    } else if (parameters->use_vm_identity) {
        label = "VMManagedIdentity";
        credentials.mode = IDENTITY_MANAGED;
        free(steal_ptr(&credentials.client_id));
        result = set_client_id(&credentials, parameters->user_assigned_id, err);
    } else if (parameters->use_token_proxy) {
        label = "AzureTokenProxy";
        credentials.mode = IDENTITY_BINDING;
        result = parse_binding(tokens, &credentials, err);
    } else if (*credentials.client_id != '\0') {
        credentials.mode = IDENTITY_WORKLOAD;
        result = parse_workload(tokens, &credentials, err);
    } else {
        credentials.mode = IDENTITY_SERVICE_PRINCIPAL;
        result = parse_service_principal(parameters->secrets, &credentials, err);
    }
    if (result < 0)
        return error_wrap(err, "failed to build auth config for mode %s", label);
    *ret_credentials = credentials;
    credentials = (struct credentials){0};
    return 0;
}

void credentials_finish(struct credentials *credentials)
{
    free(credentials->client_id);
    secret_destroy(credentials->credential);
    secret_destroy(credentials->password);
    *credentials = (struct credentials){0};
}
