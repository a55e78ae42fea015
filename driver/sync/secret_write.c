/*
 * secret_write.c - brings one Secret to its desired state. See the drawing in the header.
 */
#include "driver/sync/secret_write.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "driver/kube/kube_upsert.h"
#include "driver/sync/field_owner_lookup.h"
#include "driver/sync/secret_field_owners.h"

struct secret_write {
    struct secret_write_request request;
    struct kube_upsert *upsert;        /* owned; at most one of the two runs */
    struct field_owner_lookup *lookup; /* owned */
    bool checked;                      /* the fields of other classes have been checked */
    cJSON *field_owners;               /* without the outdated ones; NULL = none is outdated */
    char *version;                     /* the resourceVersion of the Secret with these owners */
    struct error *conflict;
    unsigned n_written;
    secret_write_callback *callback;
    void *arg;
};

static void write_free(struct secret_write *write)
{
    cJSON_Delete(write->field_owners);
    free(write->version);
    error_free(write->conflict);
    free(write);
}

static void conclude(struct secret_write *write, const struct error *error)
{
    secret_write_callback *callback = write->callback;
    void *arg = write->arg;
    cleanup_error struct error *conflict = steal_ptr(&write->conflict);
    const struct secret_write_result result = {
        .n_written = write->n_written, .error = error, .conflict = conflict};

    if (conflict != NULL)
        write->request.state->known = false; /* it is not as desired */
    write_free(write);
    callback(&result, arg);
}

/* --- the fields of other classes --- */

static int start_upsert(struct secret_write *write, struct error **err);

/* The fields of outdated owners become this class's, or are removed. */
static void field_owners_checked(cJSON **field_owners, bool outdated, void *arg)
{
    struct secret_write *write = arg;
    cleanup_error struct error *error = NULL;

    write->lookup = NULL;
    write->checked = true;
    if (outdated) {
        write->field_owners = steal_ptr(field_owners);
        if (start_upsert(write, &error) == 0)
            return;
    }
    conclude(write, error);
}

/* Returns true when the fields of other classes in `secret` are being checked. */
static bool check_field_owners(struct secret_write *write, const cJSON *secret)
{
    const struct desired_secret *desired = &write->request.desired;
    cleanup_json cJSON *field_owners = secret_field_owners_read(secret);

    if (write->checked || field_owners == NULL ||
        !secret_field_owners_shared(field_owners, desired->class_name))
        return false;
    write->version = strdup(kube_metadata_string(secret, "resourceVersion"));
    if (write->version != NULL)
        write->lookup = field_owner_lookup_start(write->request.classes, write->request.ns,
                                                 desired->class_name, write->request.state->name,
                                                 steal_ptr(&field_owners), field_owners_checked, write,
                                                 /* err= */ NULL);
    return write->lookup != NULL;
}

/* --- the write --- */

static cJSON *build(enum kube_upsert_step step, const cJSON *current, void *arg, struct error **err)
{
    struct secret_write *write = arg;
    struct desired_secret desired = write->request.desired;
    cleanup_secret_patch struct secret_patch patch = {0};

    desired.field_owners = write->field_owners;
    desired.field_owners_version = write->version;
    error_free(steal_ptr(&write->conflict)); /* of an earlier try */
    if (step == KUBE_UPSERT_CREATE)
        return secret_patch_new_object(write->request.ns, &desired, err);
    (void)secret_patch_build(&desired, current, &patch, err);
    write->conflict = steal_ptr(&patch.conflict);
    return steal_ptr(&patch.json);
}

static void upsert_done(struct kube_upsert_result *result, const struct error *error, void *arg)
{
    struct secret_write *write = arg;
    const struct secret_write_request *request = &write->request;

    write->upsert = NULL;
    if (error == NULL) {
        secret_state_update(request->state, &request->desired, result->object,
                            uv_now(kube_client_loop(request->client)));
        if (result->wrote)
            write->n_written++;
        if (check_field_owners(write, result->object))
            return;
    }
    conclude(write, error);
}

static int start_upsert(struct secret_write *write, struct error **err)
{
    write->upsert = kube_upsert_start(write->request.client,
                                      &(struct kube_upsert_request){.group = "",
                                                                    .version = "v1",
                                                                    .ns = write->request.ns,
                                                                    .resource = "secrets",
                                                                    .name = write->request.state->name,
                                                                    .first = KUBE_UPSERT_READ,
                                                                    .build = build,
                                                                    .metadata_only = true},
                                      upsert_done, write, err);
    return write->upsert != NULL ? 0 : -1;
}

/* --- start, cancel --- */

struct secret_write *secret_write_start(const struct secret_write_request *request,
                                        secret_write_callback *callback, void *arg, struct error **err)
{
    struct secret_write *write = calloc(1, sizeof(*write));

    if (write == NULL) {
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    *write = (struct secret_write){.request = *request, .callback = callback, .arg = arg};
    if (start_upsert(write, err) < 0) {
        write_free(write);
        return NULL;
    }
    return write;
}

void secret_write_cancel(struct secret_write **write)
{
    if ((*write)->upsert != NULL)
        kube_upsert_cancel(&(*write)->upsert);
    if ((*write)->lookup != NULL)
        field_owner_lookup_cancel(&(*write)->lookup);
    write_free(*write);
    *write = NULL;
}
