/*
 * published.c - what the driver remembers of the volumes it has published.
 */
#include "driver/publish/published.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver/volume/volume_record.h"

/* Chains of a fixed hash table: a node runs some hundred pods, a test some thousand. */
enum { BUCKETS = 256 };

struct published_volumes {
    struct published_volume *buckets[BUCKETS];
    size_t n;
};

static size_t bucket_of(const char *path)
{
    return rotation_seed(path) % BUCKETS;
}

static void volume_free(struct published_volume *volume)
{
    free(volume->target_path);
    string_map_finish(&volume->versions);
    free(volume->provider);
    free(volume);
}

struct published_volumes *published_volumes_create(struct error **err)
{
    struct published_volumes *volumes = calloc(1, sizeof(*volumes));

    if (volumes == NULL)
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
    return volumes;
}

void published_volumes_destroy(struct published_volumes *volumes)
{
    if (volumes == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (volumes->buckets[i] != NULL) {
            struct published_volume *volume = volumes->buckets[i];

            volumes->buckets[i] = volume->next;
            volume_free(volume);
        }
    }
    free(volumes);
}

struct published_volume *published_volumes_find(struct published_volumes *volumes, const char *target_path)
{
    struct published_volume *volume = volumes->buckets[bucket_of(target_path)];

    while (volume != NULL && strcmp(volume->target_path, target_path) != 0)
        volume = volume->next;
    return volume;
}

struct published_volume *published_volumes_get(struct published_volumes *volumes, const char *target_path,
                                               struct error **err)
{
    struct published_volume *volume = published_volumes_find(volumes, target_path);
    size_t bucket = bucket_of(target_path);

    if (volume != NULL)
        return volume;
    volume = calloc(1, sizeof(*volume));
    if (volume != NULL)
        volume->target_path = strdup(target_path);
    if (volume == NULL || volume->target_path == NULL) {
        free(volume);
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    volume->next = volumes->buckets[bucket];
    volumes->buckets[bucket] = volume;
    volumes->n++;
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
                                 const char *provider, const struct rotation_wish *wish,
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
    volume->met_wishing = false;
    volume->failed_mark[0] = '\0';
    volume->interval_s = wish->interval_s;
    memcpy(volume->mark, wish->mark, sizeof(volume->mark));
    string_map_finish(&volume->versions);
    volume->versions = *versions;
    *versions = (struct string_map){0};
    free(volume->provider);
    volume->provider = strdup(provider);
}

void published_volumes_failed(struct published_volumes *volumes, const char *target_path,
                              const struct rotation_wish *wish, uint32_t random, int64_t now_unix)
{
    struct published_volume *volume = published_volumes_get(volumes, target_path, /* err= */ NULL);

    if (volume == NULL)
        return;
    volume->failures++;
    volume->retry_unix = now_unix + rotation_backoff_s(volume->failures, wish->interval_s, random);
    volume->class_unread = wish->mark[0] == '\0';
    if (!volume->class_unread)
        memcpy(volume->failed_mark, wish->mark, sizeof(volume->failed_mark));
}

void published_volumes_classes_are_back(struct published_volumes *volumes)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct published_volume *volume = volumes->buckets[i]; volume != NULL; volume = volume->next) {
            if (!volume->class_unread)
                continue;
            volume->failures = 0;
            volume->retry_unix = 0;
        }
    }
}

bool published_volume_due(struct published_volume *volume, const struct rotation_wish *wish,
                          uint64_t last_checked_unix, int64_t now_unix)
{
    if (!volume->judged && wish->mark[0] != '\0') {
        volume->judged = true;
        volume->met_wishing = rotation_wished(volume->mark, wish);
    }
    return rotation_due(&(struct rotation_facts){.last_checked_unix = last_checked_unix,
                                                 .first_seen_unix = volume->first_seen_unix,
                                                 .met_wishing = volume->met_wishing,
                                                 .seed = rotation_seed(volume->target_path),
                                                 .mark = volume->mark,
                                                 .failed_mark = volume->failed_mark,
                                                 .retry_unix = volume->retry_unix},
                        wish, now_unix);
}

void published_volumes_remove(struct published_volumes *volumes, const char *target_path)
{
    struct published_volume **at = &volumes->buckets[bucket_of(target_path)];

    while (*at != NULL && strcmp((*at)->target_path, target_path) != 0)
        at = &(*at)->next;
    if (*at != NULL) {
        struct published_volume *volume = *at;

        *at = volume->next;
        volume_free(volume);
        volumes->n--;
    }
}

size_t published_volumes_count(const struct published_volumes *volumes)
{
    return volumes->n;
}
