/*
 * published.c - what the driver remembers of the volumes it has published.
 */
#include "driver/rotation/volume_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/rotation/volume_metadata.h"

struct published_volumes {
    struct volume_table table; /* struct published_volume */
};

static void volume_free(struct published_volumes *volumes, struct published_volume *volume)
{
    volume_table_remove(&volumes->table, &volume->entry);
    string_map_finish(&volume->versions);
    free(volume->provider);
    free(volume);
}

struct published_volumes *published_volumes_create(struct error **err)
{
    struct published_volumes *volumes = calloc(1, sizeof(*volumes));

    if (volumes == NULL) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    volume_table_init(&volumes->table);
    return volumes;
}

void published_volumes_destroy(struct published_volumes *volumes)
{
    if (volumes == NULL)
        return;
    while (!list_empty(&volumes->table.entries))
        volume_free(volumes, container_of(volume_entry_at(volumes->table.entries.next),
                                          struct published_volume, entry));
    free(volumes);
}

struct published_volume *published_volumes_find(struct published_volumes *volumes, const char *target_path)
{
    struct volume_entry *entry = volume_table_find(&volumes->table, target_path);

    return entry != NULL ? container_of(entry, struct published_volume, entry) : NULL;
}

struct published_volume *published_volumes_get(struct published_volumes *volumes, const char *target_path,
                                               struct error **err)
{
    struct published_volume *volume = published_volumes_find(volumes, target_path);

    if (volume != NULL)
        return volume;
    volume = calloc(1, sizeof(*volume));
    if (volume == NULL || volume_table_add(&volumes->table, &volume->entry, target_path) < 0) {
        free(volume);
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    return volume;
}

struct published_volume *published_volumes_recall(struct published_volumes *volumes, const char *target_path,
                                                  const char *record, int64_t now_unix)
{
    struct published_volume *volume = published_volumes_get(volumes, target_path, /* err= */ NULL);
    cleanup_volume_record struct volume_record known = {0};

    if (volume == NULL)
        return NULL;
    volume->first_seen_unix = now_unix;
    /* A record that can not be read is as good as none. */
    if (record == NULL || volume_record_parse(record, strlen(record), &known, /* err= */ NULL) < 0)
        return volume;
    volume->provider = steal_ptr(&known.provider);
    memcpy(volume->mark, known.mark, sizeof(volume->mark));
    volume->versions = known.versions;
    known.versions = (struct string_map){0};
    return volume;
}

void published_volumes_succeeded(struct published_volumes *volumes, const char *target_path,
                                 const char *provider, const struct rotation_spec *spec,
                                 struct string_map *versions, int64_t now_unix)
{
    struct published_volume *volume = published_volumes_get(volumes, target_path, /* err= */ NULL);

    if (volume == NULL)
        return; /* nothing depends on it */
    if (volume->first_seen_unix == 0)
        volume->first_seen_unix = now_unix;
    volume->failures = 0;
    volume->retry_unix = 0;
    volume->class_unread = false;
    volume->judged = true;
    volume->met_changed = false;
    volume->failed_mark[0] = '\0';
    volume->interval_s = spec->interval_s;
    memcpy(volume->mark, spec->hash, sizeof(volume->mark));
    string_map_finish(&volume->versions);
    volume->versions = *versions;
    *versions = (struct string_map){0};
    free(volume->provider);
    volume->provider = strdup(provider);
}

void published_volumes_failed(struct published_volumes *volumes, const char *target_path,
                              const struct rotation_spec *spec, uint32_t random, int64_t now_unix)
{
    struct published_volume *volume = published_volumes_get(volumes, target_path, /* err= */ NULL);

    if (volume == NULL)
        return;
    volume->failures++;
    volume->retry_unix = now_unix + rotation_backoff_s(volume->failures, spec->interval_s, random);
    volume->class_unread = spec->hash[0] == '\0';
    if (!volume->class_unread)
        memcpy(volume->failed_mark, spec->hash, sizeof(volume->failed_mark));
}

void published_volumes_classes_are_back(struct published_volumes *volumes)
{
    const struct list *end = &volumes->table.entries;

    for (struct list *at = end->next; at != end; at = at->next) {
        struct published_volume *volume = container_of(volume_entry_at(at), struct published_volume, entry);

        if (!volume->class_unread)
            continue;
        volume->failures = 0;
        volume->retry_unix = 0;
    }
}

bool published_volume_due(struct published_volume *volume, const struct rotation_spec *spec,
                          uint64_t last_checked_unix, int64_t now_unix)
{
    if (!volume->judged && spec->hash[0] != '\0') {
        volume->judged = true;
        volume->met_changed = rotation_spec_changed(volume->mark, spec);
    }
    return rotation_due(&(struct rotation_facts){.last_checked_unix = last_checked_unix,
                                                 .first_seen_unix = volume->first_seen_unix,
                                                 .met_changed = volume->met_changed,
                                                 .seed = rotation_seed(volume->entry.target_path),
                                                 .mark = volume->mark,
                                                 .failed_mark = volume->failed_mark,
                                                 .retry_unix = volume->retry_unix},
                        spec, now_unix);
}

void published_volumes_remove(struct published_volumes *volumes, const char *target_path)
{
    struct published_volume *volume = published_volumes_find(volumes, target_path);

    if (volume != NULL)
        volume_free(volumes, volume);
}

size_t published_volumes_count(const struct published_volumes *volumes)
{
    return volumes->table.n;
}
