/*
 * volume_owner.c - whose the tmpfs at a target path is.
 */
#include "driver/volume/volume_owner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "common/base/uninitialized.h"
#include "driver/payload/payload_tree.h"
#include "driver/volume/mount_table.h"
#include "driver/volume/target_path.h"
#include "driver/volume/volume.h"
#include "driver/volume/volume_mount.h"

enum {
    /* Pod UID and volume name are one component each. */
    MARK_MAX = 2 * NAME_MAX + 2,
    /* tmpfs is half of the memory by default, at the time of the mount: memory may come and go since. */
    DEFAULT_SIZE_FRACTION = 16,
    COMPONENTS_BELOW_POD = 4, /* volumes/kubernetes.io~csi/<volume name>/mount */
};

/* --- marks --- */

/* The length of the mark. "-" for a path that is not of the kubelet's shape: such a volume is known to be
 * one, but not whose. */
static size_t make_mark(const char *path, char ret[MARK_MAX])
{
    struct target_path target;
    if (!target_path_parse(path, &target) || target.pod_uid_len > NAME_MAX ||
        target.volume_name_len > NAME_MAX) {
        ret[0] = '-';
        return 1;
    }
    memcpy(ret, target.pod_uid, target.pod_uid_len);
    ret[target.pod_uid_len] = '/';
    memcpy(ret + target.pod_uid_len + 1, target.volume_name, target.volume_name_len);
    return target.pod_uid_len + 1 + target.volume_name_len;
}

enum marked { MARKED_NOT, MARKED_AS_THIS, MARKED_AS_ANOTHER };

static enum marked read_mark(int fd, const char *path)
{
    static const char *const earlier[] = {VOLUME_CHECKED_ATTRIBUTE, VOLUME_METADATA_ATTRIBUTE};
    UNINITIALIZED char expected[MARK_MAX];
    UNINITIALIZED char text[MARK_MAX];
    size_t expected_len = make_mark(path, expected);
    ssize_t len = payload_tree_get_attribute(fd, VOLUME_TARGET_ATTRIBUTE, text, sizeof(text));
    if (len >= 0)
        return (size_t)len == expected_len && memcmp(text, expected, expected_len) == 0 ? MARKED_AS_THIS
                                                                                        : MARKED_AS_ANOTHER;
    if (errno != ENODATA)
        return errno == ERANGE ? MARKED_AS_ANOTHER : MARKED_NOT;
    for (size_t i = 0; i < ARRAY_SIZE(earlier); i++)
        if (payload_tree_get_attribute(fd, earlier[i], NULL, 0) >= 0)
            return MARKED_AS_THIS;
    return MARKED_NOT;
}

bool volume_owner_mark(int fd, const char *path)
{
    UNINITIALIZED char mark[MARK_MAX];
    return payload_tree_set_attribute(fd, VOLUME_TARGET_ATTRIBUTE, mark, make_mark(path, mark)) == 0;
}

/* --- without marks: how it was mounted --- */

static bool has_any_option(const char *options, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (mount_option_find(options, names[i], /* ret_value= */ NULL))
            return true;
    return false;
}

/* The kernel shows the size, in KiB, when it is not its default of now. */
static bool has_small_size(const struct mount_info *mount)
{
    const char *value = NULL;
    struct sysinfo system;
    if (!mount_option_find(mount->super_options, "size", &value) || value == NULL || sysinfo(&system) < 0)
        return false;
    uint64_t memory_kib = (uint64_t)system.totalram * system.mem_unit / 1024;
    return strtoull(value, /* endptr= */ NULL, 10) < memory_kib / DEFAULT_SIZE_FRACTION;
}

/* The pod's directory as a component "/<uid>/" of a mount point: the kubelet's root may be mounted at several
 * places, and subPath mounts of the same pod lie beside the volume. */
static bool pod_component(const struct mount_info *mount, char ret[NAME_MAX + 3])
{
    const char *end = mount->point + strlen(mount->point);
    for (int i = 0; i < COMPONENTS_BELOW_POD; i++) {
        while (end > mount->point && end[-1] != '/')
            end--;
        if (end == mount->point)
            return false;
        end--;
    }
    const char *start = end;
    while (start > mount->point && start[-1] != '/')
        start--;
    if (start == mount->point || end == start || end - start > NAME_MAX)
        return false;
    (void)snprintf(ret, NAME_MAX + 3, "/%.*s/", (int)(end - start), start);
    return true;
}

/* The kernel lists mounts in the order in which they were made: the one that a bind mount was made from comes
 * first. Those that come later are containers' and others' bind mounts of the volume. */
static bool is_bound_from_elsewhere(const struct mount_table *table, const struct mount_info *mount)
{
    char pod[NAME_MAX + 3];
    if (!pod_component(mount, pod))
        return true;
    for (const struct mount_info *other = table->list; other < mount; other++)
        if (strcmp(other->device, mount->device) == 0 && strstr(other->point, pod) == NULL)
            return true;
    return false;
}

static bool is_whole_tmpfs_of(const struct mount_info *mount, const char *source)
{
    return strcmp(mount->type, "tmpfs") == 0 && strcmp(mount->root, "/") == 0 &&
           strcmp(mount->source, source) == 0;
}

static bool is_predecessors(const struct mount_table *table, const struct mount_info *mount)
{
    static const char *const flags[] = {"nosuid", "nodev", "noexec"};
    static const char *const limits[] = {"mode", "uid", "gid"};
    return is_whole_tmpfs_of(mount, "tmpfs") && !has_any_option(mount->options, flags, ARRAY_SIZE(flags)) &&
           !has_any_option(mount->super_options, limits, ARRAY_SIZE(limits)) && !has_small_size(mount) &&
           !is_bound_from_elsewhere(table, mount);
}

/* A mount of this driver below `mount`; below the Go driver's nothing but another one of its own is
 * expected. */
static bool covers(const struct mount_table *table, const struct mount_info *mount, bool or_predecessors)
{
    const struct mount_info *below = mount_table_covered(table, mount);
    for (size_t i = 0; below != NULL && i < table->n; i++, below = mount_table_covered(table, below))
        if (is_whole_tmpfs_of(below, VOLUME_SOURCE) || (or_predecessors && is_predecessors(table, below)))
            return true;
    return false;
}

int volume_owner_find(int fd, const char *path, bool is_tmpfs, enum volume_owner *ret, struct error **err)
{
    struct target_path target;
    bool of_kubelet = target_path_parse(path, &target);
    enum marked marked = is_tmpfs ? read_mark(fd, path) : MARKED_AS_ANOTHER;
    *ret = VOLUME_OWNER_DRIVER;
    if (marked == MARKED_AS_THIS)
        return 0;
    cleanup_mount_table struct mount_table table = {0};
    if (mount_table_read(&table, err) < 0)
        return -1;
    const struct mount_info *mount = mount_table_find(&table, payload_tree_mount_id(fd));
    *ret = VOLUME_OWNER_OTHER;
    if (mount == NULL)
        return 0; /* unmounted meanwhile */
    if (marked == MARKED_NOT && is_whole_tmpfs_of(mount, VOLUME_SOURCE))
        *ret = VOLUME_OWNER_DRIVER;
    else if (marked == MARKED_NOT && of_kubelet && is_predecessors(&table, mount))
        *ret = covers(&table, mount, /* or_predecessors= */ false) ? VOLUME_OWNER_COVERING
                                                                   : VOLUME_OWNER_PREDECESSOR;
    else if (covers(&table, mount, of_kubelet))
        *ret = VOLUME_OWNER_COVERING;
    return 0;
}
