/*
 * fuzz_mount_table.c - one line of /proc/self/mountinfo: mount points and sources are texts of other
 * programs.
 *
 * The fields of an accepted line lie within it, in order, and hold no field separator but one that was
 * escaped.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "driver/volume/mount_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define EXPECT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            __builtin_trap();                                                                                \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mount_info info;
    const char *value = NULL;
    cleanup_free char *line = malloc(size + 1);
    if (line == NULL)
        return 0;
    if (size > 0)
        memcpy(line, data, size);
    line[size] = '\0';
    size_t len = strlen(line);
    if (!mount_info_parse(line, &info))
        return 0;
    const char *const fields[] = {info.device, info.root,   info.point,        info.options,
                                  info.type,   info.source, info.super_options};
    const char *end = line;
    EXPECT(info.id >= 0 && info.parent >= 0);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        EXPECT(fields[i] >= end && fields[i] <= line + len);
        end = fields[i] + strlen(fields[i]);
        EXPECT(end <= line + len);
    }
    EXPECT(strchr(info.device, ' ') == NULL && strchr(info.type, ' ') == NULL);
    if (mount_option_find(info.super_options, "size", &value))
        EXPECT(value == NULL || (value > info.super_options && value <= end));
    return 0;
}
