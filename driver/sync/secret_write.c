/*
 * secret_write.c - brings one Secret to its desired state. See the drawing in the header.
 */
#include "driver/sync/secret_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "driver/kube/kube_refusal.h"
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
    bool data_written;
    bool owners_uncertain; /* the last request was not sent for that reason */
    secret_write_callback *callback;
    void *arg;

    /* what the API server does not take */
    unsigned omit;         /* enum secret_omit, of the next request */
    unsigned one_by_one;   /* parts of the metadata that are tried alone when the rest has been written */
    unsigned sent_parts;   /* of the last request, with SECRET_OMIT_DATA for data */
    bool creating;         /* the last request creates the Secret */
    cJSON *sent;           /* metadata of all requests, as a merge patch; NULL without memory */
    cJSON *object;         /* the Secret as it is now, its metadata only; NULL = not known */
    struct error *refusal; /* the first one */
    struct error *refused; /* what is to be reported of it */
    bool rest_tried;       /* what is not refused has been written, once the refused fields were known */
    bool data_changed;     /* the data is not what this node has written, and nobody else has */
};

static void write_free(struct secret_write *write)
{
    cJSON_Delete(write->field_owners);
    free(write->version);
    error_free(write->conflict);
    cJSON_Delete(write->sent);
    cJSON_Delete(write->object);
    error_free(write->refusal);
    error_free(write->refused);
    free(write);
}

static uint64_t now_ms(const struct secret_write *write)
{
    return uv_now(kube_client_loop(write->request.client));
}

static bool refused_fields_count(const struct secret_write *write)
{
    return now_ms(write) < write->request.state->refused_until_ms;
}

/* --- the end --- */

static const char *noun_of(const char *part)
{
    if (strcmp(part, REFUSED_OWNERS) == 0)
        return "owner reference";
    return strcmp(part, secret_part_name(SECRET_LABELS)) == 0 ? "label" : "annotation";
}

static void refused_error(const struct secret_write *write, const struct refused_field *first, size_t n,
                          struct error **error)
{
    char more[40] = "";

    if (n > 1)
        (void)snprintf(more, sizeof(more), " (and %zu more)", n - 1);
    if (write->refusal == NULL)
        (void)error_set(
            error, GRPC_STATUS_FAILED_PRECONDITION,
            "the data is up to date, but a webhook of the cluster changes the %s '%.253s'%s: the driver leaves it as it is",
            noun_of(first->part), first->key, more);
    else
        (void)error_set(error, GRPC_STATUS_FAILED_PRECONDITION,
                        "the data is up to date, but the API server refuses the %s '%.253s'%s: %s%s",
                        noun_of(first->part), first->key, more, error_message(write->refusal),
                        kube_refusal_hint(kube_refusal_of(write->refusal), /* rbac= */ ""));
}

static void note_changed_data(struct secret_write *write, struct error **error)
{
    if (!write->request.state->data_changed)
        (void)error_set(
            error, GRPC_STATUS_FAILED_PRECONDITION,
            "a webhook of the cluster changes the data: the driver leaves it as it is until it has new contents");
    write->request.state->data_changed = true;
}

/* Finds out which of the metadata was refused or changed. Returns what is to be reported: what was not known
 * before. */
static struct error *take_refused(struct secret_write *write)
{
    struct secret_state *state = write->request.state;
    bool known = refused_fields_count(write);
    cleanup_refused_fields struct refused_fields fields = {0};
    const struct refused_field *first;
    struct error *error = NULL;
    size_t n;

    if (write->data_changed)
        note_changed_data(write, &error);
    if (write->n_written == 0 && write->refusal == NULL)
        return error;
    if ((known && refused_fields_merge(&fields, &state->refused) < 0) ||
        refused_fields_compare(&fields, write->sent,
                               cJSON_GetObjectItemCaseSensitive(write->object, "metadata")) < 0)
        return error; /* it is found out next time */
    first = refused_fields_new(&fields, &state->refused, &n);
    if (first != NULL && error == NULL)
        refused_error(write, first, n, &error);
    secret_state_set_refused(state, &fields,
                             known ? state->refused_until_ms : now_ms(write) + REFUSED_FIELDS_RETRY_MS);
    return error;
}

/* The Secret is as desired, as far as the API server lets it be. */
static void settle(struct secret_write *write)
{
    const struct secret_write_request *request = &write->request;
    struct error *refused = take_refused(write);

    if (write->refused == NULL)
        write->refused = refused;
    else
        error_free(refused);
    if (write->object != NULL)
        secret_state_update(request->state, &request->desired, write->object, now_ms(write));
    if (write->conflict != NULL)
        request->state->known = false;
}

static void conclude(struct secret_write *write, const struct error *cause)
{
    secret_write_callback *callback = write->callback;
    void *arg = write->arg;
    cleanup_error struct error *error = error_copy(cause); /* it may be the write's */
    cleanup_error struct error *conflict = steal_ptr(&write->conflict);
    cleanup_error struct error *refused = steal_ptr(&write->refused);
    const struct secret_write_result result = {.n_written = write->n_written,
                                               .data_written = write->data_written,
                                               .owners_uncertain = write->owners_uncertain,
                                               .error = error,
                                               .conflict = conflict,
                                               .refused = refused};

    write_free(write);
    callback(&result, arg);
}

static int start_upsert(struct secret_write *write, struct error **err);

/* Success. After a refusal that is new, the rest is written: the annotation of the field owners leaves out
 * what was refused, and parts of which only one field was. */
static void finish(struct secret_write *write)
{
    cleanup_error struct error *error = NULL;

    settle(write);
    if (write->refusal != NULL && !write->rest_tried) {
        write->rest_tried = true;
        write->omit = 0;
        if (start_upsert(write, &error) == 0)
            return;
    }
    conclude(write, error);
}

/* --- the fields of other classes --- */

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
        conclude(write, error);
        return;
    }
    finish(write);
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

/* --- what a request contains --- */

static bool has_members(const cJSON *object, const char *name)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);

    return member != NULL && member->child != NULL;
}

/* Is there a label besides the managed one, which stays? */
static bool has_labels(const struct secret_write *write, const cJSON *metadata)
{
    const cJSON *labels = cJSON_GetObjectItemCaseSensitive(metadata, secret_part_name(SECRET_LABELS));

    return write->creating ? cJSON_GetArraySize(labels) > 1 : cJSON_GetArraySize(labels) > 0;
}

static unsigned parts_of(const struct secret_write *write, const cJSON *body)
{
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(body, "metadata");

    return (has_members(metadata, REFUSED_OWNERS) ? SECRET_OMIT_OWNERS : 0) |
           (has_labels(write, metadata) ? SECRET_OMIT_LABELS : 0) |
           (has_members(metadata, secret_part_name(SECRET_ANNOTATIONS)) ? SECRET_OMIT_ANNOTATIONS : 0) |
           (write->creating || has_members(body, secret_part_name(SECRET_DATA)) ? SECRET_OMIT_DATA : 0);
}

/* Adds the members of `from` to those of `to`. What cannot be kept is not found refused. */
static void keep_members(cJSON *to, const cJSON *from, const char *name)
{
    const cJSON *item = NULL;
    cJSON *kept = cJSON_GetObjectItemCaseSensitive(to, name);

    if (kept == NULL)
        kept = cJSON_AddObjectToObject(to, name);
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(from, name))
    {
        cJSON_DeleteItemFromObjectCaseSensitive(kept, item->string);
        (void)cJSON_AddItemToObject(kept, item->string, cJSON_Duplicate(item, /* recurse= */ 1));
    }
}

static void keep_sent(struct secret_write *write, const cJSON *body)
{
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(body, "metadata");
    const cJSON *owners = cJSON_GetObjectItemCaseSensitive(metadata, REFUSED_OWNERS);

    write->sent_parts = parts_of(write, body);
    if (write->sent == NULL)
        write->sent = cJSON_CreateObject();
    keep_members(write->sent, metadata, secret_part_name(SECRET_LABELS));
    keep_members(write->sent, metadata, secret_part_name(SECRET_ANNOTATIONS));
    if (owners != NULL && write->sent != NULL) {
        cJSON_DeleteItemFromObjectCaseSensitive(write->sent, REFUSED_OWNERS);
        (void)cJSON_AddItemToObject(write->sent, REFUSED_OWNERS, cJSON_Duplicate(owners, /* recurse= */ 1));
    }
}

/* Data that is not as this node's last write should have left it was changed on the way: not again. */
static void leave_changed_data(struct secret_write *write, const cJSON *current, cJSON **patch)
{
    cJSON *data = cJSON_GetObjectItemCaseSensitive(*patch, secret_part_name(SECRET_DATA));
    cJSON *next = NULL;

    if (write->checked || !secret_state_is_last_write(write->request.state, &write->request.desired, current))
        return;
    for (cJSON *item = data != NULL ? data->child : NULL; item != NULL; item = next) {
        next = item->next;
        if (cJSON_IsNull(item)) /* is removed now that its owners are known */
            continue;
        write->data_changed = true;
        cJSON_Delete(cJSON_DetachItemViaPointer(data, item));
    }
    if (data != NULL && data->child == NULL)
        cJSON_Delete(cJSON_DetachItemViaPointer(*patch, data));
    if (*patch != NULL && (*patch)->child == NULL) {
        cJSON_Delete(*patch);
        *patch = NULL;
    }
}

/* Keeps the metadata of the Secret as it is now. */
static void keep_object(struct secret_write *write, const cJSON *object)
{
    cJSON *metadata = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(object, "metadata"), /* recurse= */ 1);

    cJSON_Delete(write->object);
    write->object = cJSON_CreateObject();
    if (metadata == NULL || !cJSON_AddItemToObject(write->object, "metadata", metadata))
        cJSON_Delete(metadata);
}

static cJSON *build(enum kube_upsert_step step, const cJSON *current, void *arg, struct error **err)
{
    struct secret_write *write = arg;
    struct desired_secret desired = write->request.desired;
    cleanup_secret_patch struct secret_patch patch = {0};

    desired.field_owners = write->field_owners;
    desired.field_owners_version = write->version;
    desired.omit = write->omit;
    desired.refused = refused_fields_count(write) ? &write->request.state->refused : NULL;
    error_free(steal_ptr(&write->conflict)); /* of an earlier try */
    write->creating = step == KUBE_UPSERT_CREATE;
    if (write->creating) {
        patch.json = secret_patch_new_object(write->request.ns, &desired, err);
    } else if (secret_patch_build(&desired, current, &patch, err) == 0) {
        keep_object(write, current);
        leave_changed_data(write, current, &patch.json);
    }
    write->conflict = steal_ptr(&patch.conflict);
    if (patch.json == NULL)
        return NULL;
    keep_sent(write, patch.json);
    write->owners_uncertain = write->request.owners_cached && (write->sent_parts & SECRET_OMIT_OWNERS) != 0;
    if (write->owners_uncertain)
        return NULL;
    return steal_ptr(&patch.json);
}

/* --- refusals --- */

/* The parts of the metadata that may be the reason of a refusal. */
static unsigned suspects(enum kube_refusal refusal)
{
    switch (refusal) {
    case KUBE_REFUSAL_OWNERS:
        return SECRET_OMIT_OWNERS;
    case KUBE_REFUSAL_LABELS:
        return SECRET_OMIT_LABELS;
    case KUBE_REFUSAL_ANNOTATIONS:
        return SECRET_OMIT_ANNOTATIONS;
    case KUBE_REFUSAL_POLICY:
        return SECRET_OMIT_METADATA;
    default:
        return 0;
    }
}

static bool is_one_part(unsigned parts)
{
    return (parts & (parts - 1)) == 0;
}

/* The next part that is tried alone. Returns false when there is none. */
static bool try_next_part(struct secret_write *write, struct error **err)
{
    unsigned part = write->one_by_one & -write->one_by_one;

    if (part == 0)
        return false;
    write->one_by_one &= ~part;
    write->omit = (SECRET_OMIT_METADATA | SECRET_OMIT_DATA) & ~part;
    return start_upsert(write, err) == 0;
}

/* Returns true when a request without the refused metadata is on its way. */
static bool try_without(struct secret_write *write, const struct error *refusal)
{
    enum kube_refusal reason = kube_refusal_of(refusal);
    unsigned parts = suspects(reason) & write->sent_parts;

    if (parts == 0)
        return false;
    if (write->refusal == NULL)
        write->refusal = error_copy(refusal);
    if ((write->omit & SECRET_OMIT_DATA) != 0) /* the data is written, and this part was alone */
        return try_next_part(write, /* err= */ NULL);
    if (write->creating && !is_one_part(parts))
        parts &= ~(unsigned)SECRET_OMIT_OWNERS;
    if ((write->sent_parts & ~parts) == 0) /* nothing is left that could be written */
        return false;
    write->omit |= parts;
    if (reason == KUBE_REFUSAL_POLICY && !is_one_part(write->omit)) /* which of them? */
        write->one_by_one = write->omit;
    return start_upsert(write, /* err= */ NULL) == 0;
}

/* The data is written, or was right before. */
static bool is_only_metadata(const struct secret_write *write, const struct error *error)
{
    return write->object != NULL && suspects(kube_refusal_of(error)) != 0 &&
           (write->sent_parts & SECRET_OMIT_DATA) == 0;
}

static void write_refused(struct secret_write *write, const struct error *error)
{
    if (try_without(write, error))
        return;
    if (is_only_metadata(write, error))
        finish(write);
    else
        conclude(write, write->refusal != NULL && kube_refusal_of(error) != KUBE_REFUSAL_NONE ? write->refusal
                                                                                              : error);
}

/* --- the write --- */

static void note_written(struct secret_write *write)
{
    const struct desired_secret *desired = &write->request.desired;
    bool data = (write->sent_parts & SECRET_OMIT_DATA) != 0;

    write->n_written++;
    write->data_written = write->data_written || data;
    if (desired->mode == SECRET_APPLY || data)
        secret_state_written(write->request.state, desired, write->conflict == NULL ? write->object : NULL);
}

static void write_succeeded(struct secret_write *write, const cJSON *object, bool wrote)
{
    cleanup_error struct error *error = NULL;

    keep_object(write, object);
    if (wrote)
        note_written(write);
    write->creating = false;
    if (try_next_part(write, &error))
        return;
    if (error != NULL)
        conclude(write, error);
    else if (write->refusal != NULL || !check_field_owners(write, object))
        finish(write);
}

static void upsert_done(struct kube_upsert_result *result, const struct error *error, void *arg)
{
    struct secret_write *write = arg;

    write->upsert = NULL;
    if (write->owners_uncertain)
        conclude(write, NULL);
    else if (error == NULL)
        write_succeeded(write, result->object, result->wrote);
    else
        write_refused(write, error);
}

static int start_upsert(struct secret_write *write, struct error **err)
{
    write->upsert = kube_upsert_start(
        write->request.client,
        &(struct kube_upsert_request){.group = "",
                                      .version = "v1",
                                      .ns = write->request.ns,
                                      .resource = "secrets",
                                      .name = write->request.state->name,
                                      .first = write->creating ? KUBE_UPSERT_CREATE : KUBE_UPSERT_READ,
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
