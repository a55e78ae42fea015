/*
 * field_owner_lookup.c - which field owners of a Secret are outdated.
 */
#include "driver/sync/field_owner_lookup.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/kube/kube_client.h"
#include "driver/sync/secret_field_owners.h"

struct field_owner_lookup {
    const struct class_source *classes;
    const char *ns;
    const char *class_name;
    const char *secret;
    cJSON *field_owners;
    char **others; /* the classes to read: pruning an owner may remove its name */
    size_t n_others;
    size_t at;
    bool outdated;
    struct class_lookup *lookup;
    field_owner_lookup_callback *callback;
    void *arg;
};

static void lookup_free(struct field_owner_lookup *lookup)
{
    for (size_t i = 0; i < lookup->n_others; i++)
        free(lookup->others[i]);
    free(lookup->others);
    cJSON_Delete(lookup->field_owners);
    free(lookup);
}

static void class_read(struct secret_provider_class *class, const struct error *error, void *arg);

static int read_class(struct field_owner_lookup *lookup, struct error **err)
{
    lookup->lookup = class_source_start(lookup->classes, lookup->ns, lookup->others[lookup->at],
                                        KUBE_TIMEOUT_MS, class_read, lookup, err);
    return lookup->lookup != NULL ? 0 : -1;
}

static void conclude(struct field_owner_lookup *lookup)
{
    cleanup_json cJSON *field_owners = steal_ptr(&lookup->field_owners);
    field_owner_lookup_callback *callback = lookup->callback;
    void *arg = lookup->arg;
    bool outdated = lookup->outdated;

    lookup_free(lookup);
    callback(&field_owners, outdated, arg);
}

static void class_read(struct secret_provider_class *class, const struct error *error, void *arg)
{
    cleanup_class struct secret_provider_class *found = class;
    struct field_owner_lookup *lookup = arg;
    const char *name = lookup->others[lookup->at];

    lookup->lookup = NULL;
    if (found != NULL || error_code(error) == GRPC_STATUS_NOT_FOUND)
        lookup->outdated =
            secret_field_owners_prune(lookup->field_owners, name, found, lookup->secret) || lookup->outdated;
    for (lookup->at++; lookup->at < lookup->n_others; lookup->at++) {
        if (read_class(lookup, /* err= */ NULL) == 0)
            return;
    }
    conclude(lookup);
}

static int fill(struct field_owner_lookup *lookup, struct error **err)
{
    const cJSON *owner = NULL;
    int n = cJSON_GetArraySize(lookup->field_owners);

    lookup->others = calloc((size_t)n + 1, sizeof(*lookup->others));
    if (lookup->others == NULL)
        return error_no_memory(err, NULL);
    cJSON_ArrayForEach(owner, lookup->field_owners)
    {
        if (strcmp(owner->string, lookup->class_name) == 0)
            continue;
        lookup->others[lookup->n_others] = strdup(owner->string);
        if (lookup->others[lookup->n_others] == NULL)
            return error_no_memory(err, NULL);
        lookup->n_others++;
    }
    return 0;
}

struct field_owner_lookup *field_owner_lookup_start(const struct class_source *classes, const char *ns,
                                                    const char *class_name, const char *secret,
                                                    cJSON *field_owners,
                                                    field_owner_lookup_callback *callback, void *arg,
                                                    struct error **err)
{
    struct field_owner_lookup *lookup = calloc(1, sizeof(*lookup));

    if (lookup == NULL) {
        cJSON_Delete(field_owners);
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *lookup = (struct field_owner_lookup){.classes = classes,
                                          .ns = ns,
                                          .class_name = class_name,
                                          .secret = secret,
                                          .field_owners = field_owners,
                                          .callback = callback,
                                          .arg = arg};
    if (fill(lookup, err) < 0 || read_class(lookup, err) < 0) {
        lookup_free(lookup);
        return NULL;
    }
    return lookup;
}

void field_owner_lookup_cancel(struct field_owner_lookup **lookup)
{
    if ((*lookup)->lookup != NULL)
        class_source_cancel((*lookup)->classes, &(*lookup)->lookup);
    lookup_free(*lookup);
    *lookup = NULL;
}
