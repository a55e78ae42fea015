/*
 * volume_attributes.c - what a volume remembers of itself.
 */
#include "driver/volume/volume_attributes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/decimal.h"
#include "driver/payload/payload_tree.h"

int volume_attributes_write(int fd, const struct volume_options *options)
{
    /* The metadata first: when the time is there, what belongs to it is there as well. */
    if (options->metadata != NULL &&
        payload_tree_set_attribute(fd, VOLUME_METADATA_ATTRIBUTE, options->metadata,
                                   strlen(options->metadata)) < 0)
        return errno;
    if (options->last_checked_unix != 0) {
        char text[DECIMAL_MAX];
        size_t len = decimal_write(text, options->last_checked_unix, 0, '0');
        if (payload_tree_set_attribute(fd, VOLUME_CHECKED_ATTRIBUTE, text, len) < 0)
            return errno;
    }
    return 0;
}

uint64_t volume_attributes_last_checked(int fd)
{
    char text[24];
    ssize_t len = payload_tree_get_attribute(fd, VOLUME_CHECKED_ATTRIBUTE, text, sizeof(text) - 1);
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
    ssize_t len = payload_tree_get_attribute(fd, VOLUME_METADATA_ATTRIBUTE, NULL, 0);
    if (len <= 0)
        return NULL;
    cleanup_free char *text = malloc((size_t)len + 1);
    ssize_t have =
        text == NULL ? -1 : payload_tree_get_attribute(fd, VOLUME_METADATA_ATTRIBUTE, text, (size_t)len);
    if (have < 0)
        return NULL;
    text[have] = '\0';
    return steal_ptr(&text);
}

bool volume_attributes_written(int fd)
{
    char text[1];
    return payload_tree_get_attribute(fd, VOLUME_WRITER_ATTRIBUTE, text, sizeof(text)) ==
           (ssize_t)sizeof(text);
}

int volume_attributes_set_written(int fd)
{
    return payload_tree_set_attribute(fd, VOLUME_WRITER_ATTRIBUTE, "1", 1) < 0 ? errno : 0;
}

void volume_attributes_clear_written(int fd)
{
    (void)payload_tree_remove_attribute(fd, VOLUME_WRITER_ATTRIBUTE);
}
