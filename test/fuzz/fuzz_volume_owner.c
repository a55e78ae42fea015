/*
 * fuzz_volume_owner.c - what the kernel and other programs say of a mount: extended attributes of its
 * root, /proc/self/fdinfo and /proc/self/mountinfo. The first three lines are the attributes (mark,
 * time of the last check, metadata; without the first byte '=' there is none), the fourth one is of
 * fdinfo, the others are of mountinfo.
 *
 * The target stands in for getxattr(2) and for the files of /proc. A mount that bears the mark of
 * another volume is never taken for this one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "driver/payload/payload_tree.h"
#include "driver/volume/mount_table.h"
#include "driver/volume/target_path.h"
#include "driver/volume/volume_attributes.h"
#include "driver/volume/volume_owner.h"
#include "test/fuzz/fuzz.h"

#define KUBELET_PATH "/var/lib/kubelet/pods/u-1/volumes/kubernetes.io~csi/v/mount"
#define KUBELET_MARK "u-1/v"

static const char *mark, *checked, *metadata, *fdinfo;
static struct fuzz_input mountinfo;

static const char *attribute(const char *name)
{
    const char *value = strcmp(name, VOLUME_TARGET_ATTRIBUTE) == 0     ? mark
                        : strcmp(name, VOLUME_CHECKED_ATTRIBUTE) == 0  ? checked
                        : strcmp(name, VOLUME_METADATA_ATTRIBUTE) == 0 ? metadata
                                                                       : NULL;

    return value != NULL && value[0] == '=' ? value + 1 : NULL;
}

static ssize_t get(const char *name, void *value, size_t size)
{
    const char *text = attribute(name);
    size_t len = text != NULL ? strlen(text) : 0;

    if (text == NULL || (size > 0 && len > size)) {
        errno = text == NULL ? ENODATA : ERANGE;
        return -1;
    }
    if (size > 0)
        memcpy(value, text, len);
    return (ssize_t)len;
}

ssize_t getxattr(const char *path, const char *name, void *value, size_t size)
{
    (void)path;
    return get(name, value, size);
}

ssize_t fgetxattr(int fd, const char *name, void *value, size_t size)
{
    (void)fd;
    return get(name, value, size);
}

FILE *fopen(const char *path, const char *mode)
{
    bool writes = strpbrk(mode, "wa+") != NULL;
    int fd;

    if (strcmp(path, "/proc/self/mountinfo") == 0 && mountinfo.left > 0)
        return fmemopen((void *)(uintptr_t)mountinfo.at, mountinfo.left, "r");
    if (strncmp(path, "/proc/self/fdinfo/", 18) == 0 && fdinfo != NULL && fdinfo[0] != '\0')
        return fmemopen((void *)(uintptr_t)fdinfo, strlen(fdinfo), "r");
    fd = open(path, writes ? O_RDWR | O_CREAT | (*mode == 'a' ? O_APPEND : O_TRUNC) : O_RDONLY, 0600);
    return fd == -1 ? NULL : fdopen(fd, mode);
}

static void check_owner(const char *path, const char *right_mark)
{
    const char *found = attribute(VOLUME_TARGET_ATTRIBUTE);
    enum volume_owner owner = VOLUME_OWNER_OTHER;

    if (volume_owner_find(0, path, /* is_tmpfs= */ true, &owner, NULL) < 0)
        return;
    if (found != NULL)
        EXPECT((owner == VOLUME_OWNER_DRIVER) == (strcmp(found, right_mark) == 0));
    EXPECT(volume_owner_find(0, path, /* is_tmpfs= */ false, &owner, NULL) < 0 ||
           owner == VOLUME_OWNER_OTHER || owner == VOLUME_OWNER_COVERING);
}

static void check_attributes(void)
{
    int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char *text = volume_attributes_metadata(fd), number[32];
    const char *expected = attribute(VOLUME_METADATA_ATTRIBUTE);
    uint64_t last = volume_attributes_last_checked(fd);

    EXPECT(fd != -1);
    EXPECT(text == NULL || (expected != NULL && strcmp(text, expected) == 0));
    (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)last);
    if (last != 0) { /* as it was written, but for zeros in front */
        const char *digits = attribute(VOLUME_CHECKED_ATTRIBUTE);

        EXPECT(strcmp(digits + strspn(digits, "0"), number) == 0);
    }
    (void)volume_attributes_written(fd);
    free(text);
    (void)close(fd);
}

static void check_table(void)
{
    cleanup_mount_table struct mount_table table = {0};

    if (mount_table_read(&table, NULL) < 0)
        return;
    for (size_t i = 0; i < table.n; i++) {
        const struct mount_info *containing = mount_table_containing(&table, table.list[i].point);

        EXPECT(table.list[i].id >= 0 && mount_table_find(&table, table.list[i].id) != NULL);
        EXPECT(containing == NULL || strlen(containing->point) <= strlen(table.list[i].point) + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    char *lines[4];

    for (size_t i = 0; i < 4; i++)
        lines[i] = fuzz_line(&input);
    mark = lines[0];
    checked = lines[1];
    metadata = lines[2];
    fdinfo = lines[3];
    mountinfo = input;
    EXPECT(payload_tree_mount_id(0) >= -1 || fdinfo[0] != '\0');
    check_table();
    check_owner(KUBELET_PATH, KUBELET_MARK);
    check_owner("/elsewhere", "-");
    check_attributes();
    fdinfo = NULL;
    mountinfo = (struct fuzz_input){0};
    for (size_t i = 0; i < 4; i++)
        free(lines[i]);
    return 0;
}
