/*
 * secret_record.c - what this node remembers of the Secrets it keeps.
 */
#include "driver/sync/secret_state.h"

#include <stdlib.h>
#include <string.h>

void secret_records_init(struct secret_records *records)
{
    list_init(&records->all);
}

static void record_free(struct secret_record *record)
{
    if (record == NULL)
        return;
    free(record->ns);
    free(record->class_name);
    free(record->name);
    owners_finish(&record->owners);
    free(record);
}

struct secret_record *secret_records_use(struct secret_records *records, const char *ns,
                                         const char *class_name, const char *name, struct error **err)
{
    struct secret_record *record;

    for (struct list *link = records->all.next; link != &records->all; link = link->next) {
        record = container_of(link, struct secret_record, link);
        if (strcmp(record->ns, ns) == 0 && strcmp(record->class_name, class_name) == 0 &&
            strcmp(record->name, name) == 0) {
            record->users++;
            return record;
        }
    }
    record = calloc(1, sizeof(*record));
    if (record != NULL)
        *record = (struct secret_record){
            .ns = strdup(ns), .class_name = strdup(class_name), .name = strdup(name), .users = 1};
    if (record == NULL || record->ns == NULL || record->class_name == NULL || record->name == NULL) {
        record_free(record);
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    list_init(&record->link);
    list_insert_before(&records->all, &record->link);
    return record;
}

void secret_record_release(struct secret_record *record)
{
    if (--record->users > 0)
        return;
    list_remove(&record->link);
    record_free(record);
}

bool secret_record_fulfils(const struct secret_record *record, const struct secret_wish *wish,
                           uint64_t now_ms, uint64_t max_age_ms)
{
    return record->known && now_ms - record->seen_ms <= max_age_ms &&
           (record->authority == SECRET_AUTHORITY_FULL || wish->authority == SECRET_AUTHORITY_REPAIR) &&
           memcmp(record->digest, wish->content->digest, DIGEST_SHA256_LEN) == 0 &&
           owners_have_all(&record->owners, wish->owners);
}

void secret_record_update(struct secret_record *record, const struct secret_wish *wish, const cJSON *object,
                          uint64_t now_ms)
{
    struct owners owners = {0};

    record->known = false;
    owners_finish(&record->owners);
    if (owners_from_object(object, &owners, /* err= */ NULL) < 0)
        return; /* it is asked for again next time */
    record->owners = owners;
    record->authority = wish->authority;
    memcpy(record->digest, wish->content->digest, DIGEST_SHA256_LEN);
    record->seen_ms = now_ms;
    record->known = true;
}

int secret_uses_add(struct secret_uses *uses, struct secret_record *record, struct error **err)
{
    struct secret_record **grown = reallocarray(uses->items, uses->n + 1, sizeof(struct secret_record *));

    if (grown == NULL) {
        secret_record_release(record);
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    }
    uses->items = grown;
    uses->items[uses->n++] = record;
    return 0;
}

void secret_uses_finish(struct secret_uses *uses)
{
    for (size_t i = 0; i < uses->n; i++)
        secret_record_release(uses->items[i]);
    free(uses->items);
    *uses = (struct secret_uses){0};
}
