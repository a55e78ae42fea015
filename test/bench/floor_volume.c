/*
 * floor_volume.c - the floor of a publish and an unpublish: the bare system calls, with nothing around them.
 *
 *   floor-volume DIRECTORY FILES ROUNDS
 *
 * Each round makes a tmpfs with FILES files of 32 bytes, in the shape that a payload has (a version
 * directory, `..data`, a link for each file), read-only, at DIRECTORY/floor, and unmounts it. DIRECTORY must
 * exist and be the caller's own. Prints the CPU time and the time of a round in microseconds: "cpu_us=... wall_us=...".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/volume/mount_api.h"
#include "test/bench/floor_clock.h"

static const char version[] = "..2026_01_01_00_00_00.1";
static const char content[32] = "thirty-two bytes of a secret ...";

static void check(int result, const char *what)
{
    if (result >= 0)
        return;
    (void)fprintf(stderr, "floor-volume: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void write_files(int root_fd, long files)
{
    char name[32];
    char link[64];
    check(mkdirat(root_fd, version, 0755), "mkdir");
    int version_fd = openat(root_fd, version, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(version_fd, "open");
    for (long i = 0; i < files; i++) {
        (void)snprintf(name, sizeof(name), "s%ld", i);
        int fd = openat(version_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        check(fd, "create");
        check((int)write(fd, content, sizeof(content)), "write");
        check(fchmod(fd, 0644), "chmod");
        (void)close(fd);
        (void)snprintf(link, sizeof(link), "..data/s%ld", i);
        check(symlinkat(link, root_fd, name), "symlink");
    }
    (void)close(version_fd);
    check(symlinkat(version, root_fd, "..data"), "symlink");
}

static void publish(int directory_fd, long files)
{
    int fs_fd = fsopen("tmpfs", FSOPEN_CLOEXEC);
    check(fs_fd, "fsopen");
    check(fsconfig(fs_fd, FSCONFIG_SET_STRING, "source", "floor", 0), "fsconfig");
    check(fsconfig(fs_fd, FSCONFIG_SET_STRING, "mode", "0755", 0), "fsconfig");
    check(fsconfig(fs_fd, FSCONFIG_SET_STRING, "size", "1048576", 0), "fsconfig");
    check(fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0), "fsconfig");
    int mount_fd = fsmount(fs_fd, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    check(mount_fd, "fsmount");
    (void)close(fs_fd);
    write_files(mount_fd, files);
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
    check(mount_setattr(mount_fd, "", AT_EMPTY_PATH, &read_only, sizeof(read_only)), "mount_setattr");
    check(mkdirat(directory_fd, "floor", 0750), "mkdir");
    check(move_mount(mount_fd, "", directory_fd, "floor", MOVE_MOUNT_F_EMPTY_PATH), "move_mount");
    (void)close(mount_fd);
}

static void unpublish(int directory_fd)
{
    check(umount2("floor", UMOUNT_NOFOLLOW), "umount"); /* the working directory is `directory_fd` */
    check(unlinkat(directory_fd, "floor", AT_REMOVEDIR), "rmdir");
}

int main(int argc, char **argv)
{
    long files = argc == 4 ? strtol(argv[2], NULL, 10) : 0;
    long rounds = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
    if (files < 1 || rounds < 1) {
        (void)fputs("usage: floor-volume DIRECTORY FILES ROUNDS\n", stderr);
        return 2;
    }
    int directory_fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(directory_fd, argv[1]);
    check(fchdir(directory_fd), argv[1]);
    double cpu = cpu_us();
    double wall = wall_us();
    for (long i = 0; i < rounds; i++) {
        publish(directory_fd, files);
        unpublish(directory_fd);
    }
    (void)printf("cpu_us=%.1f wall_us=%.1f\n", (cpu_us() - cpu) / (double)rounds,
                 (wall_us() - wall) / (double)rounds);
    return 0;
}
