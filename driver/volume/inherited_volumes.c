/*
 * inherited_volumes.c - volumes that were there before.
 */
#include "driver/volume/inherited_volumes.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "driver/volume/mount_table.h"
#include "driver/volume/volume_mount.h"

/* As in payload_footprint(): an inode with its entry, an empty volume. */
enum { INODE_BYTES = 1024, VOLUME_BYTES = 8192 };

struct inherited_volume {
    char *path;
    dev_t device;
};

struct inherited_volumes {
    size_t n;
    struct inherited_volume list[];
};

/* Takes the mount if it is a volume of ours, in the view of whoever stands at its path. */
static void take(struct inherited_volumes *volumes, const struct mount_info *mount)
{
    struct stat info;

    if (strcmp(mount->type, "tmpfs") != 0 || strcmp(mount->source, VOLUME_SOURCE) != 0 ||
        lstat(mount->point, &info) < 0)
        return;
    for (size_t i = 0; i < volumes->n; i++)
        if (volumes->list[i].device == info.st_dev)
            return; /* another mount of it */
    char *path = strdup(mount->point);
    if (path != NULL)
        volumes->list[volumes->n++] = (struct inherited_volume){.path = path, .device = info.st_dev};
}

struct inherited_volumes *inherited_volumes_find(void)
{
    cleanup_mount_table struct mount_table table = {0};

    if (mount_table_read(&table, /* err= */ NULL) < 0)
        return NULL;
    struct inherited_volumes *volumes =
        calloc(1, sizeof(*volumes) + table.n * sizeof(struct inherited_volume));
    for (size_t i = 0; volumes != NULL && i < table.n; i++)
        take(volumes, &table.list[i]);
    if (volumes != NULL && volumes->n == 0) {
        free(volumes);
        return NULL;
    }
    return volumes;
}

/* 0 when it has gone. */
static uint64_t memory_of(const struct inherited_volume *volume)
{
    struct stat info;
    struct statvfs fs;

    if (lstat(volume->path, &info) < 0 || info.st_dev != volume->device || statvfs(volume->path, &fs) < 0)
        return 0;
    return (fs.f_blocks - fs.f_bfree) * fs.f_frsize + (fs.f_files - fs.f_ffree) * INODE_BYTES + VOLUME_BYTES;
}

uint64_t inherited_volumes_memory(void *arg)
{
    struct inherited_volumes *volumes = arg;
    uint64_t bytes = 0;
    size_t kept = 0;

    for (size_t i = 0; i < volumes->n; i++) {
        uint64_t memory = memory_of(&volumes->list[i]);

        if (memory == 0) {
            free(volumes->list[i].path);
            continue;
        }
        bytes += memory;
        volumes->list[kept++] = volumes->list[i];
    }
    volumes->n = kept;
    return bytes;
}

void inherited_volumes_destroy(struct inherited_volumes *volumes)
{
    for (size_t i = 0; volumes != NULL && i < volumes->n; i++)
        free(volumes->list[i].path);
    free(volumes);
}
