/*
 * payload_version.c - the version directory that `..data` points to.
 */
#include "driver/payload/payload_version.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "common/base/decimal.h"
#include "driver/payload/payload_tree.h"

enum { COMPARE_CHUNK = 16 * 1024 };

static uint64_t random_number(void)
{
    uint64_t number = 0;
    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != (ssize_t)sizeof(number)) {
        struct timespec now;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        number = (uint64_t)now.tv_nsec; /* only uniqueness is wanted, and mkdir() checks that */
    }
    return number % 10000000000U;
}

static char *put_part(char *at, int number, unsigned width, char delimiter)
{
    at += decimal_write(at, (uint64_t)number, width, '0');
    *at = delimiter;
    return at + 1;
}

/* "..2026_01_31_23_59_59.1234567890" */
struct payload_version_name payload_version_make_name(void)
{
    struct payload_version_name name = {.text = ".."};
    time_t now = time(NULL);
    struct tm utc = {0};
    (void)gmtime_r(&now, &utc);
    char *at = put_part(name.text + 2, utc.tm_year + 1900, 4, '_');
    at = put_part(at, utc.tm_mon + 1, 2, '_');
    at = put_part(at, utc.tm_mday, 2, '_');
    at = put_part(at, utc.tm_hour, 2, '_');
    at = put_part(at, utc.tm_min, 2, '_');
    at = put_part(at, utc.tm_sec, 2, '.');
    (void)decimal_text(at, random_number());
    return name;
}

static bool is_version_name(const char *name)
{
    return strncmp(name, "..", 2) == 0 && name[2] != '\0' && strchr(name, '/') == NULL &&
           strcmp(name, PAYLOAD_DATA_LINK) != 0 && strcmp(name, PAYLOAD_DATA_NEXT) != 0 &&
           strcmp(name, PAYLOAD_LINKS_NEXT) != 0;
}

struct payload_version_name payload_version_current(int root_fd)
{
    struct payload_version_name name = {0};
    ssize_t len = readlinkat(root_fd, PAYLOAD_DATA_LINK, name.text, sizeof(name.text));
    if (len < 0 || (size_t)len >= sizeof(name.text))
        return (struct payload_version_name){0};
    name.text[len] = '\0';
    return is_version_name(name.text) ? name : (struct payload_version_name){0};
}

int payload_version_open_current(int root_fd)
{
    struct payload_version_name name = payload_version_current(root_fd);
    return name.text[0] != '\0' ? payload_tree_open_dir(root_fd, name.text) : -1;
}

bool payload_version_is_internal(const char *name)
{
    return strncmp(name, "..", 2) == 0;
}

size_t payload_version_first_component(const char *path, char ret_name[NAME_MAX + 1])
{
    size_t len = strcspn(path, "/");
    if (len > NAME_MAX)
        len = NAME_MAX; /* cannot be: payload_check_path() */
    memcpy(ret_name, path, len);
    ret_name[len] = '\0';
    return len;
}

bool payload_version_link_is_right(int root_fd, const char *name)
{
    static const char prefix[] = PAYLOAD_DATA_LINK "/";
    char target[sizeof(prefix) + NAME_MAX + 1];
    ssize_t len = readlinkat(root_fd, name, target, sizeof(target));
    if (len < 0 || (size_t)len >= sizeof(target))
        return false;
    target[len] = '\0';
    return strncmp(target, prefix, sizeof(prefix) - 1) == 0 && strcmp(target + sizeof(prefix) - 1, name) == 0;
}

mode_t payload_version_file_mode(const struct payload_file *file, gid_t gid)
{
    bool group_reads = gid != (gid_t)-1 && (file->mode & S_IRUSR) != 0;
    return group_reads ? file->mode | S_IRGRP : file->mode;
}

bool payload_version_content_matches(int fd, const struct secret *contents)
{
    const uint8_t *expected = secret_bytes(contents);
    size_t left = secret_len(contents);
    uint8_t chunk[COMPARE_CHUNK];
    bool same = true;
    while (same && left > 0) {
        ssize_t n = read(fd, chunk, left < sizeof(chunk) ? left : sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        same = n > 0 && memcmp(chunk, expected, (size_t)n) == 0;
        if (same) {
            expected += n;
            left -= (size_t)n;
        }
    }
    size_t used = secret_len(contents) < sizeof(chunk) ? secret_len(contents) : sizeof(chunk);
    secret_wipe(chunk, used);
    return same;
}

static bool file_matches(int version_fd, const struct payload_file *file, gid_t gid)
{
    const char *name = NULL;
    cleanup_close int parent = payload_tree_open_parent(version_fd, file->path, &name);
    if (parent < 0)
        return false;
    cleanup_close int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) < 0)
        return false;
    return S_ISREG(info.st_mode) && (info.st_mode & 07777) == payload_version_file_mode(file, gid) &&
           (gid == (gid_t)-1 || info.st_gid == gid) && (size_t)info.st_size == secret_len(file->contents) &&
           payload_version_content_matches(fd, file->contents);
}

bool payload_version_files_match(int dir_fd, const struct payload *payload, gid_t gid)
{
    /* As many files as expected, and each expected one there: then there is no other. */
    if (payload_tree_count_files(dir_fd) != (ssize_t)payload->n)
        return false;
    for (size_t i = 0; i < payload->n; i++) {
        if (!file_matches(dir_fd, &payload->files[i], gid))
            return false;
    }
    return true;
}

bool payload_version_matches(int version_fd, const struct payload *payload, gid_t gid)
{
    struct stat info;
    if (fstat(version_fd, &info) < 0 || (gid != (gid_t)-1 && info.st_gid != gid))
        return false;
    return payload_version_files_match(version_fd, payload, gid);
}
