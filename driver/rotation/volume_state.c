/*
 * volume_state.c - what the driver remembers of the volumes it has published.
 */
#include "driver/rotation/volume_state.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/alloc.h"
#include "driver/rotation/volume_metadata.h"

struct volume_states {
    struct volume_table table;     /* struct volume_state */
    struct version_sets *versions; /* of the volumes; may be NULL */
    struct list providers;         /* struct provider_name; a handful */
};

/* --- names of providers, once for all volumes --- */

struct provider_name {
    struct list link;
    size_t users;
    char text[];
};

static struct provider_name *provider_find(const struct volume_states *volumes, const char *text)
{
    for (struct list *link = volumes->providers.next; link != &volumes->providers; link = link->next) {
        struct provider_name *name = container_of(link, struct provider_name, link);

        if (strcmp(name->text, text) == 0)
            return name;
    }
    return NULL;
}

/* The volume's own use ends. */
static void drop_provider(struct volume_states *volumes, struct volume_state *volume)
{
    struct provider_name *name = volume->provider != NULL ? provider_find(volumes, volume->provider) : NULL;

    volume->provider = NULL;
    if (name == NULL || --name->users > 0)
        return;
    list_remove(&name->link);
    free(name);
}

/* Without memory it is not known. */
static void set_provider(struct volume_states *volumes, struct volume_state *volume, const char *text)
{
    struct provider_name *name = provider_find(volumes, text);

    if (name == NULL) {
        size_t size = strlen(text) + 1;

        name = malloc(sizeof(*name) + size);
        if (name != NULL) {
            name->users = 0;
            memcpy(name->text, text, size);
            list_insert_before(&volumes->providers, &name->link);
        }
    }
    if (name != NULL)
        name->users++;
    drop_provider(volumes, volume);
    volume->provider = name != NULL ? name->text : NULL;
}

/* --- volumes --- */

static struct volume_state *volume_at(struct volume_entry *entry)
{
    return container_of(entry, struct volume_state, entry);
}

static void volume_free(struct volume_states *volumes, struct volume_state *volume)
{
    volume_table_remove(&volumes->table, &volume->entry);
    version_set_unref(volumes->versions, volume->versions);
    drop_provider(volumes, volume);
    free(volume);
}

struct volume_states *volume_states_create(struct volume_names_pool *names, struct version_sets *versions,
                                           struct error **err)
{
    struct volume_states *volumes = alloc_zeroed(sizeof(*volumes), err);

    if (volumes == NULL)
        return NULL;
    volume_table_init(&volumes->table, names);
    volumes->versions = versions;
    list_init(&volumes->providers);
    return volumes;
}

void volume_states_destroy(struct volume_states *volumes)
{
    struct volume_entry *entry;
    struct volume_entry *next;

    if (volumes == NULL)
        return;
    for (entry = volume_table_next(&volumes->table, NULL); entry != NULL; entry = next) {
        next = volume_table_next(&volumes->table, entry);
        volume_free(volumes, volume_at(entry));
    }
    volume_table_finish(&volumes->table);
    free(volumes);
}

struct volume_state *volume_states_find(struct volume_states *volumes, const char *target_path)
{
    struct volume_entry *entry = volume_table_find(&volumes->table, target_path);

    return entry != NULL ? volume_at(entry) : NULL;
}

struct volume_state *volume_states_get(struct volume_states *volumes, const struct volume_names *names,
                                       struct error **err)
{
    struct volume_state *volume = volume_states_find(volumes, names->target_path);

    if (volume != NULL)
        return volume;
    volume = calloc(1, sizeof(*volume));
    if (volume == NULL || volume_table_add(&volumes->table, &volume->entry, names) < 0) {
        free(volume);
        (void)error_no_memory(err, NULL);
        return NULL;
    }
    return volume;
}

static void set_versions(struct volume_states *volumes, struct volume_state *volume,
                         const struct string_map *versions)
{
    struct version_set *set = version_sets_get(volumes->versions, versions);

    version_set_unref(volumes->versions, volume->versions);
    volume->versions = set;
}

struct volume_state *volume_states_restore(struct volume_states *volumes, const struct volume_names *names,
                                           const char *metadata, int64_t now_unix)
{
    struct volume_state *volume = volume_states_get(volumes, names, /* err= */ NULL);
    cleanup_volume_metadata struct volume_metadata known = {0};

    if (volume == NULL)
        return NULL;
    volume->first_seen_unix = (uint32_t)now_unix;
    /* Metadata that cannot be read is as good as none. */
    if (metadata == NULL || volume_metadata_parse(metadata, strlen(metadata), &known, /* err= */ NULL) < 0)
        return volume;
    if (known.provider != NULL)
        set_provider(volumes, volume, known.provider);
    volume->spec_digest = rotation_spec_digest(known.spec_hash);
    set_versions(volumes, volume, &known.versions);
    return volume;
}

void volume_states_succeeded(struct volume_states *volumes, const struct volume_names *names,
                             const char *provider, const struct rotation_spec *spec,
                             const struct string_map *versions, int64_t now_unix)
{
    struct volume_state *volume = volume_states_get(volumes, names, /* err= */ NULL);

    if (volume == NULL)
        return; /* nothing depends on it */
    if (volume->first_seen_unix == 0)
        volume->first_seen_unix = (uint32_t)now_unix;
    volume->failures = 0;
    volume->retry_steady_s = 0;
    volume->class_unread = false;
    volume->class_seen = true;
    volume->spec_changed_when_found = false;
    volume->failed_spec_digest = 0;
    volume->interval_s = (int32_t)spec->interval_s;
    volume->spec_digest = rotation_spec_digest(spec->hash);
    set_versions(volumes, volume, versions);
    set_provider(volumes, volume, provider);
}

void volume_states_failed(struct volume_states *volumes, const struct volume_names *names,
                          const struct rotation_spec *spec, uint32_t random, int64_t steady_s)
{
    struct volume_state *volume = volume_states_get(volumes, names, /* err= */ NULL);

    if (volume == NULL)
        return;
    volume->failures++;
    volume->retry_steady_s =
        (uint32_t)(steady_s + rotation_backoff_s(volume->failures, spec->interval_s, random));
    volume->class_unread = spec->hash[0] == '\0';
    if (!volume->class_unread)
        volume->failed_spec_digest = rotation_spec_digest(spec->hash);
}

void volume_states_retry_class_errors(struct volume_states *volumes)
{
    for (struct volume_entry *at = NULL; (at = volume_table_next(&volumes->table, at)) != NULL;) {
        struct volume_state *volume = volume_at(at);

        if (!volume->class_unread)
            continue;
        volume->failures = 0;
        volume->retry_steady_s = 0;
    }
}

bool volume_state_spec_changed(const struct volume_state *volume, const struct rotation_spec *spec)
{
    return rotation_spec_changed(volume->spec_digest, spec);
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
        volume->spec_changed_when_found = volume_state_spec_changed(volume, spec);
    }
    return rotation_due(&(struct rotation_facts){.last_checked_unix = last_checked_unix,
                                                 .first_seen_unix = volume->first_seen_unix,
                                                 .spec_changed_when_found = volume->spec_changed_when_found,
                                                 .seed = shared_names_hash(volume->entry.names),
                                                 .spec_digest = volume->spec_digest,
                                                 .failed_spec_digest = volume->failed_spec_digest,
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
    return volume_table_count(&volumes->table);
}
