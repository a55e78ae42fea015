/*
 * fuzz_status_files.c - files that the driver finds in --status-dir when it starts. The first byte
 * says under which name the rest of the input lies there (bit 0: the one that its volume has) and what
 * became of that volume.
 *
 * The target stands in for the inspection of the volume. A file is removed only if it is the status of a
 * volume that is gone, under the right name.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/status/status_file_name.h"
#include "driver/status/status_files.h"
#include "driver/volume/volume.h"
#include "test/fuzz/fuzz.h"

static const enum volume_condition conditions[] = {VOLUME_ABSENT, VOLUME_UNMOUNTED, VOLUME_PUBLISHED,
                                                   VOLUME_CORRUPT};
static enum volume_condition condition;
static char inspected[4096];

int volume_inspect(const char *target_path, enum volume_condition *ret_condition, struct error **err)
{
    (void)err;
    EXPECT(target_path[0] == '/');
    (void)snprintf(inspected, sizeof(inspected), "%s", target_path);
    *ret_condition = condition;
    return 0;
}

static char directory[] = "/tmp/fuzz-status-XXXXXX";

static void clean_up(void)
{
    (void)rmdir(directory);
}

static void write_file(const char *path, const uint8_t *bytes, size_t len)
{
    FILE *file = fopen(path, "wbe");

    EXPECT(file != NULL && fwrite(bytes, 1, len, file) == len);
    EXPECT(fclose(file) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    char path[512];
    uv_loop_t loop;

    if (!started)
        EXPECT(mkdtemp(directory) != NULL && atexit(clean_up) == 0);
    started = true;
    if (size < 1)
        return 0;
    condition = conditions[data[0] / 2 % (sizeof(conditions) / sizeof(conditions[0]))];
    cleanup_free char *target = status_file_target((const char *)data + 1, size - 1);
    cleanup_free char *name = target != NULL ? status_file_name(target, NULL) : NULL;
    bool right_name = name != NULL && data[0] % 2 == 1;
    (void)snprintf(path, sizeof(path), "%s/%s", directory, right_name ? name : "u-1_v.json");
    write_file(path, data + 1, size - 1);
    inspected[0] = '\0';

    EXPECT(uv_loop_init(&loop) == 0);
    struct status_files *files = status_files_create(&loop, directory, "node-1", /* log= */ NULL, NULL);
    EXPECT(files != NULL);
    status_files_destroy(files);
    EXPECT(uv_loop_close(&loop) == 0);
    bool gone = unlink(path) == -1;
    if (gone)
        EXPECT(name != NULL && strcmp(inspected, target) == 0 &&
               (condition == VOLUME_ABSENT || condition == VOLUME_UNMOUNTED));
    if (right_name && size - 1 <= STATUS_FILE_MAX)
        EXPECT(gone == (condition == VOLUME_ABSENT || condition == VOLUME_UNMOUNTED));
    return 0;
}
