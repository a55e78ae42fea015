/*
 * identity.c - creating identities, and their keys.
 */
#include "provider-azure/identity/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/secret.h"

static char *copy(const char *text, bool *ok)
{
    char *made = strdup(text != NULL ? text : "");
    *ok = *ok && made != NULL;
    return made;
}

/* The cache key covers every input of the token request, each with its length. */
static void compute_keys(struct identity *identity)
{
    uint8_t kind = (uint8_t)identity->kind;
    uint8_t mode = (uint8_t)identity->ops->mode;
    const char *texts[] = {identity->authority, identity->tenant,   identity->client_id,    identity->scope,
                           identity->endpoint,  identity->pod_name, identity->pod_namespace};
    struct digest_field fields[6 + ARRAY_SIZE(texts)];
    size_t n = 0;

    fields[n++] = (struct digest_field){&mode, sizeof(mode)};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        fields[n++] = (struct digest_field){texts[i], strlen(texts[i])};
    if (identity->egress != NULL) /* classes with different egress share nothing */
        fields[n++] = (struct digest_field){identity->egress->digest, DIGEST_SHA256_LEN};
    digest_fields(fields, n, identity->principal);
    fields[n++] = (struct digest_field){identity->pod_uid, strlen(identity->pod_uid)};
    fields[n++] = (struct digest_field){&kind, sizeof(kind)};
    fields[n++] = (struct digest_field){secret_bytes(identity->credential), secret_len(identity->credential)};
    fields[n++] = (struct digest_field){secret_bytes(identity->password), secret_len(identity->password)};
    digest_fields(fields, n, identity->key);
}

static bool tenant_valid(const char *tenant)
{
    static const char allowed[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-.";
    return *tenant != '\0' && tenant[strspn(tenant, allowed)] == '\0' && strcmp(tenant, ".") != 0 &&
           strcmp(tenant, "..") != 0;
}

static int check_entra(const struct identity_input *input, struct error **err)
{
    if (strncasecmp(input->cloud->authority, "https://", 8) != 0)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "cannot use an authority host without https");
    if (!tenant_valid(input->tenant))
        return error_set(
            err, GRPC_STATUS_INVALID_ARGUMENT,
            "invalid tenantID. You can locate your tenantID by following the instructions listed here: https://learn.microsoft.com/partner-center/find-ids-and-domain-names");
    return 0;
}

static const struct identity_ops *choose_ops(const struct credentials *credentials)
{
    switch (credentials->mode) {
    case IDENTITY_SERVICE_PRINCIPAL:
        return credentials->kind == CREDENTIAL_CERTIFICATE ? &client_certificate_ops : &client_secret_ops;
    case IDENTITY_WORKLOAD:
        return &workload_identity_ops;
    case IDENTITY_MANAGED:
        return &managed_identity_ops;
    case IDENTITY_POD:
        return &pod_identity_ops;
    case IDENTITY_BINDING:
        return &identity_binding_ops;
    }
    return NULL;
}

static struct secret *copy_secret(const struct secret *secret, bool *ok)
{
    if (secret == NULL)
        return NULL;
    struct secret *made = secret_from_bytes(secret_bytes(secret), secret_len(secret));
    *ok = *ok && made != NULL;
    return made;
}

struct identity *identity_create(const struct identity_input *input, struct error **err)
{
    enum identity_mode mode = input->credentials->mode;
    const struct identity_ops *ops = choose_ops(input->credentials);
    bool binding = mode == IDENTITY_BINDING;
    bool entra = mode == IDENTITY_SERVICE_PRINCIPAL || mode == IDENTITY_WORKLOAD || binding;
    bool pod = mode == IDENTITY_POD;
    const char *audience = input->audience != NULL ? input->audience : input->cloud->vault;
    bool ok = true;

    if (ops == NULL || (binding && input->endpoints.token_proxy == NULL)) {
        error_set(err, GRPC_STATUS_UNIMPLEMENTED, "identity mode %s is not available",
                  identity_mode_name(mode));
        return NULL;
    }
    if (entra && check_entra(input, err) < 0)
        return NULL;

    cleanup_identity struct identity *identity = calloc(1, sizeof(*identity));
    if (identity == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *identity = (struct identity){
        .refs = 1,
        .egress = egress_ref(input->egress),
        .ops = ops,
        .authority = copy(entra ? input->cloud->authority : "", &ok),
        .tenant = copy(entra ? input->tenant : "", &ok),
        .client_id = copy(pod ? "" : input->credentials->client_id, &ok),
        .scope = cloud_scope(audience),
        .resource = copy(audience, &ok),
        .endpoint = copy(entra ? ""
                         : pod ? input->endpoints.nmi
                               : input->endpoints.imds,
                         &ok),
        .token_proxy = binding ? input->endpoints.token_proxy : NULL,
        .pod_name = copy(pod ? input->pod_name : "", &ok),
        .pod_namespace = copy(pod ? input->pod_namespace : "", &ok),
        .pod_uid = copy(pod ? input->pod_uid : "", &ok),
        .kind = input->credentials->kind,
        .credential = copy_secret(input->credentials->credential, &ok),
        .password = copy_secret(input->credentials->password, &ok),
    };
    if (!ok || identity->scope == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    compute_keys(identity);
    return steal_ptr(&identity);
}

struct identity *identity_for_resource(const struct identity *identity, const char *resource,
                                       struct error **err)
{
    cleanup_identity struct identity *other = calloc(1, sizeof(*other));
    bool ok = true;
    if (other == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *other = (struct identity){
        .refs = 1,
        .egress = egress_ref(identity->egress),
        .ops = identity->ops,
        .authority = copy(identity->authority, &ok),
        .tenant = copy(identity->tenant, &ok),
        .client_id = copy(identity->client_id, &ok),
        .scope = cloud_scope(resource),
        .resource = copy(resource, &ok),
        .endpoint = copy(identity->endpoint, &ok),
        .token_proxy = identity->token_proxy,
        .pod_name = copy(identity->pod_name, &ok),
        .pod_namespace = copy(identity->pod_namespace, &ok),
        .pod_uid = copy(identity->pod_uid, &ok),
        .kind = identity->kind,
        .credential = copy_secret(identity->credential, &ok),
        .password = copy_secret(identity->password, &ok),
    };
    if (!ok || other->scope == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    compute_keys(other);
    return steal_ptr(&other);
}

struct identity *identity_ref(struct identity *identity)
{
    identity->refs++;
    return identity;
}

void identity_unref(struct identity *identity)
{
    if (identity == NULL || --identity->refs > 0)
        return;
    free(identity->authority);
    free(identity->tenant);
    free(identity->client_id);
    free(identity->scope);
    free(identity->resource);
    free(identity->endpoint);
    free(identity->pod_name);
    free(identity->pod_namespace);
    free(identity->pod_uid);
    egress_unref(identity->egress);
    secret_destroy(identity->credential);
    secret_destroy(identity->password);
    free(identity);
}
