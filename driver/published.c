/*
 * published.c - what the driver remembers of the volumes it has published.
 */
#include "driver/published.h"

#include <stdlib.h>
#include <string.h>

/* Chains of a fixed hash table: a node runs some hundred pods, a test some thousand. */
enum { BUCKETS = 256 };

struct published_volumes {
    struct published_volume *buckets[BUCKETS];
    size_t n;
};

/* FNV-1a; paths are given by the kubelet, not by an attacker. */
static size_t bucket_of(const char *path)
{
    uint32_t hash = 2166136261U;

    for (; *path != '\0'; path++)
        hash = (hash ^ (uint8_t)*path) * 16777619U;
    return hash % BUCKETS;
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
