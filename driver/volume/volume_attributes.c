/*
 * volume_attributes.c - what a volume remembers of itself.
 */
#include "driver/volume/volume_attributes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "common/base/cleanup.h"
#include "driver/payload/payload_tree.h"

int volume_attributes_write(int fd, const struct volume_options *options)
{
    cleanup_close int root = payload_tree_open_dir(fd, "."); /* attributes cannot be set through O_PATH */
    if (root < 0)
        return errno;
    /* The metadata first: when the time is there, what belongs to it is there as well. */
    if (options->metadata != NULL &&
        fsetxattr(root, VOLUME_METADATA_ATTRIBUTE, options->metadata, strlen(options->metadata), 0) < 0)
        return errno;
    if (options->last_checked_unix != 0) {
        char text[24];
        int len = snprintf(text, sizeof(text), "%" PRIu64, options->last_checked_unix);
        if (fsetxattr(root, VOLUME_CHECKED_ATTRIBUTE, text, (size_t)len, 0) < 0)
            return errno;
    }
    return 0;
}

uint64_t volume_attributes_last_checked(int fd)
{
    char text[24];
    cleanup_close int root = payload_tree_open_dir(fd, ".");
    ssize_t len = root < 0 ? -1 : fgetxattr(root, VOLUME_CHECKED_ATTRIBUTE, text, sizeof(text) - 1);
    if (len <= 0)
        return 0;
    text[len] = '\0';
    char *end = NULL;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && text[0] >= '0' && text[0] <= '9' ? value : 0;
}

char *volume_attributes_metadata(int fd)
{
    cleanup_close int root = payload_tree_open_dir(fd, ".");
    ssize_t len = root < 0 ? -1 : fgetxattr(root, VOLUME_METADATA_ATTRIBUTE, NULL, 0);
    if (len <= 0)
        return NULL;
    cleanup_free char *text = malloc((size_t)len + 1);
    ssize_t have = text == NULL ? -1 : fgetxattr(root, VOLUME_METADATA_ATTRIBUTE, text, (size_t)len);
    if (have < 0)
        return NULL;
    text[have] = '\0';
    return steal_ptr(&text);
}

bool volume_attributes_written(int fd)
{
    char text[1];
    cleanup_close int root = payload_tree_open_dir(fd, ".");
    return root >= 0 && fgetxattr(root, VOLUME_WRITER_ATTRIBUTE, text, sizeof(text)) == (ssize_t)sizeof(text);
}

int volume_attributes_set_written(int fd)
{
    cleanup_close int root = payload_tree_open_dir(fd, ".");
    return root < 0 || fsetxattr(root, VOLUME_WRITER_ATTRIBUTE, "1", 1, 0) < 0 ? errno : 0;
}

void volume_attributes_clear_written(int fd)
{
    cleanup_close int root = payload_tree_open_dir(fd, ".");
    if (root >= 0)
        (void)fremovexattr(root, VOLUME_WRITER_ATTRIBUTE);
}
