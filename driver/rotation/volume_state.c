/*
 * volume_state.c - what the driver remembers of the volumes it has published.
 */
#include "driver/rotation/volume_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "driver/rotation/volume_metadata.h"

struct volume_states {
    struct volume_table table;    /* struct volume_state */
    struct version_sets versions; /* of the volumes */
};

static void volume_free(struct volume_states *volumes, struct volume_state *volume)
{
    volume_table_remove(&volumes->table, &volume->entry);
    version_set_unref(volume->versions);
    free(volume->provider);
    free(volume);
}

struct volume_states *volume_states_create(struct error **err)
{
    struct volume_states *volumes = alloc_zeroed(sizeof(*volumes), err);

    if (volumes == NULL)
        return NULL;
    volume_table_init(&volumes->table);
    version_sets_init(&volumes->versions);
    return volumes;
}

void volume_states_destroy(struct volume_states *volumes)
{
    if (volumes == NULL)
        return;
    while (!list_empty(&volumes->table.entries))
        volume_free(volumes,
                    container_of(volume_entry_at(volumes->table.entries.next), struct volume_state, entry));
    free(volumes);
}

struct volume_state *volume_states_find(struct volume_states *volumes, const char *target_path)
{
    struct volume_entry *entry = volume_table_find(&volumes->table, target_path);

    return entry != NULL ? container_of(entry, struct volume_state, entry) : NULL;
}

struct volume_state *volume_states_get(struct volume_states *volumes, const char *target_path,
                                       struct error **err)
{
    struct volume_state *volume = volume_states_find(volumes, target_path);

    if (volume != NULL)
        return volume;
    volume = calloc(1, sizeof(*volume));
    if (volume == NULL || volume_table_add(&volumes->table, &volume->entry, target_path) < 0) {
        free(volume);
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    return volume;
}

/* Takes *versions over. */
static void set_versions(struct volume_states *volumes, struct volume_state *volume,
                         struct string_map *versions)
{
    struct version_set *set = version_sets_get(&volumes->versions, versions);

    version_set_unref(volume->versions);
    volume->versions = set;
}

struct volume_state *volume_states_restore(struct volume_states *volumes, const char *target_path,
                                           const char *metadata, int64_t now_unix)
{
    struct volume_state *volume = volume_states_get(volumes, target_path, /* err= */ NULL);
    cleanup_volume_metadata struct volume_metadata known = {0};

    if (volume == NULL)
        return NULL;
    volume->first_seen_unix = now_unix;
    /* Metadata that cannot be read is as good as none. */
    if (metadata == NULL || volume_metadata_parse(metadata, strlen(metadata), &known, /* err= */ NULL) < 0)
        return volume;
    volume->provider = steal_ptr(&known.provider);
    memcpy(volume->spec_hash, known.spec_hash, sizeof(volume->spec_hash));
    set_versions(volumes, volume, &known.versions);
    return volume;
}

void volume_states_succeeded(struct volume_states *volumes, const char *target_path, const char *provider,
                             const struct rotation_spec *spec, struct string_map *versions, int64_t now_unix)
{
    struct volume_state *volume = volume_states_get(volumes, target_path, /* err= */ NULL);

    if (volume == NULL)
        return; /* nothing depends on it */
    if (volume->first_seen_unix == 0)
        volume->first_seen_unix = now_unix;
    volume->failures = 0;
    volume->retry_steady_s = 0;
    volume->class_unread = false;
    volume->class_seen = true;
    volume->spec_changed_when_found = false;
    volume->failed_spec_hash[0] = '\0';
    volume->interval_s = spec->interval_s;
    memcpy(volume->spec_hash, spec->hash, sizeof(volume->spec_hash));
    set_versions(volumes, volume, versions);
    free(volume->provider);
    volume->provider = strdup(provider);
}

void volume_states_failed(struct volume_states *volumes, const char *target_path,
                          const struct rotation_spec *spec, uint32_t random, int64_t steady_s)
{
    struct volume_state *volume = volume_states_get(volumes, target_path, /* err= */ NULL);

    if (volume == NULL)
        return;
    volume->failures++;
    volume->retry_steady_s = steady_s + rotation_backoff_s(volume->failures, spec->interval_s, random);
    volume->class_unread = spec->hash[0] == '\0';
    if (!volume->class_unread)
        memcpy(volume->failed_spec_hash, spec->hash, sizeof(volume->failed_spec_hash));
}

void volume_states_retry_class_errors(struct volume_states *volumes)
{
    const struct list *end = &volumes->table.entries;

    for (struct list *at = end->next; at != end; at = at->next) {
        struct volume_state *volume = container_of(volume_entry_at(at), struct volume_state, entry);

        if (!volume->class_unread)
            continue;
        volume->failures = 0;
        volume->retry_steady_s = 0;
    }
}

bool volume_state_waits(const struct volume_state *volume, int64_t steady_s)
{
    return volume->retry_steady_s > steady_s;
}

bool volume_state_due(struct volume_state *volume, const struct rotation_spec *spec,
                      uint64_t last_checked_unix, int64_t now_unix, int64_t steady_s)
{
    if (!volume->class_seen && spec->hash[0] != '\0') {
        volume->class_seen = true;
        volume->spec_changed_when_found = rotation_spec_changed(volume->spec_hash, spec);
    }
    return rotation_due(&(struct rotation_facts){.last_checked_unix = last_checked_unix,
                                                 .first_seen_unix = volume->first_seen_unix,
                                                 .spec_changed_when_found = volume->spec_changed_when_found,
                                                 .seed = rotation_seed(volume->entry.target_path),
                                                 .spec_hash = volume->spec_hash,
                                                 .failed_spec_hash = volume->failed_spec_hash,
                                                 .waits_after_failure = volume_state_waits(volume, steady_s)},
                        spec, now_unix);
}

void volume_states_remove(struct volume_states *volumes, const char *target_path)
{
    struct volume_state *volume = volume_states_find(volumes, target_path);

    if (volume != NULL)
        volume_free(volumes, volume);
}

size_t volume_states_count(const struct volume_states *volumes)
{
    return volumes->table.n;
}
