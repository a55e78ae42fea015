/*
 * claim_lookup.c - which claims to a Secret are outdated.
 */
#include "driver/sync/field_owner_lookup.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "driver/kube/kube_client.h"
#include "driver/sync/secret_field_owners.h"

struct claim_lookup {
    const struct class_source *classes;
    const char *ns;
    const char *class_name;
    const char *secret;
    cJSON *claims;
    char **others; /* the classes to look up: pruning a claim may remove its name */
    size_t n_others;
    size_t at;
    bool outdated;
    struct class_lookup *lookup;
    claim_lookup_callback *callback;
    void *arg;
};

static void lookup_free(struct claim_lookup *lookup)
{
    for (size_t i = 0; i < lookup->n_others; i++)
        free(lookup->others[i]);
    free(lookup->others);
    cJSON_Delete(lookup->claims);
    free(lookup);
}

static void class_read(struct secret_provider_class *class, const struct error *error, void *arg);

static int look_at(struct claim_lookup *lookup, struct error **err)
{
    lookup->lookup = class_source_start(lookup->classes, lookup->ns, lookup->others[lookup->at],
                                        KUBE_TIMEOUT_MS, class_read, lookup, err);
    return lookup->lookup != NULL ? 0 : -1;
}

static void conclude(struct claim_lookup *lookup)
{
    cleanup_json cJSON *claims = steal_ptr(&lookup->claims);
    claim_lookup_callback *callback = lookup->callback;
    void *arg = lookup->arg;
    bool outdated = lookup->outdated;

    lookup_free(lookup);
    callback(&claims, outdated, arg);
}

static void class_read(struct secret_provider_class *class, const struct error *error, void *arg)
{
    cleanup_class struct secret_provider_class *found = class;
    struct claim_lookup *lookup = arg;
    const char *name = lookup->others[lookup->at];

    lookup->lookup = NULL;
    if (found != NULL || error_code(error) == GRPC_STATUS_NOT_FOUND)
        lookup->outdated =
            secret_claims_prune(lookup->claims, name, found, lookup->secret) || lookup->outdated;
    for (lookup->at++; lookup->at < lookup->n_others; lookup->at++) {
        if (look_at(lookup, /* err= */ NULL) == 0)
            return;
    }
    conclude(lookup);
}

static int fill(struct claim_lookup *lookup, struct error **err)
{
    const cJSON *claim = NULL;
    int n = cJSON_GetArraySize(lookup->claims);

    lookup->others = calloc((size_t)n + 1, sizeof(*lookup->others));
    if (lookup->others == NULL)
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    cJSON_ArrayForEach(claim, lookup->claims)
    {
        if (strcmp(claim->string, lookup->class_name) == 0)
            continue;
        lookup->others[lookup->n_others] = strdup(claim->string);
        if (lookup->others[lookup->n_others] == NULL)
            return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        lookup->n_others++;
    }
    return 0;
}

struct claim_lookup *claim_lookup_start(const struct class_source *classes, const char *ns,
                                        const char *class_name, const char *secret, cJSON *claims,
                                        claim_lookup_callback *callback, void *arg, struct error **err)
{
    struct claim_lookup *lookup = calloc(1, sizeof(*lookup));

    if (lookup == NULL) {
        cJSON_Delete(claims);
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    *lookup = (struct claim_lookup){.classes = classes,
                                    .ns = ns,
                                    .class_name = class_name,
                                    .secret = secret,
                                    .claims = claims,
                                    .callback = callback,
                                    .arg = arg};
    if (fill(lookup, err) < 0 || look_at(lookup, err) < 0) {
        lookup_free(lookup);
        return NULL;
    }
    return lookup;
}

void claim_lookup_cancel(struct claim_lookup **lookup)
{
    if ((*lookup)->lookup != NULL)
        class_source_cancel((*lookup)->classes, &(*lookup)->lookup);
    lookup_free(*lookup);
    *lookup = NULL;
}
