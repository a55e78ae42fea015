/*
 * socket_file.c - the file of a listening Unix socket.
 */
#include "common/grpc/socket_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/grpc/address.h"

/* Connections that wait for accept(): a node restart publishes all its pods at once, each kubelet call on a
 * connection of its own. */
enum { BACKLOG = 512 };

/* Far longer than a process takes from bind() to listen(). */
enum { LEFTOVER_AGE_S = 60 };

/* linux/fs.h; the C library declares it only with its own renameat2(), which older ones lack. */
enum { NO_REPLACE = 1 };

int socket_file_init(struct socket_file *file, const char *path, mode_t mode, struct error **err)
{
    struct sockaddr_un address;

    if (address_unix(path, &address, err) < 0)
        return -1;
    *file = (struct socket_file){.path = strdup(path), .mode = mode};
    return file->path == NULL ? error_no_memory(err, "a listener") : 0;
}

void socket_file_finish(struct socket_file *file)
{
    free(file->path);
    *file = (struct socket_file){0};
}

/* --- who is there --- */

/* The name of a process; "" when it has ended meanwhile. It may contain anything: the log quotes it. */
static void process_name(pid_t pid, char ret_name[32])
{
    char path[32];
    ssize_t len = -1;

    (void)snprintf(path, sizeof(path), "/proc/%ld/comm", (long)pid);
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        len = read(fd, ret_name, 31);
    ret_name[len > 0 ? len : 0] = '\0';
    ret_name[strcspn(ret_name, "\n")] = '\0';
}

static void describe_peer(int fd, struct socket_holder *holder)
{
    struct ucred peer = {0};
    socklen_t len = sizeof(peer);
    char name[32];

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == -1) {
        (void)snprintf(holder->text, sizeof(holder->text), "another process listens there");
    } else if (peer.pid == 0) {
        (void)snprintf(holder->text, sizeof(holder->text),
                       "a process of user %lu in another container listens there", (unsigned long)peer.uid);
    } else {
        process_name(peer.pid, name);
        (void)snprintf(holder->text, sizeof(holder->text), "process %ld (%s) of user %lu listens there",
                       (long)peer.pid, name, (unsigned long)peer.uid);
    }
}

/* Who listens at a foreign socket file? */
static enum socket_file_state inspect_socket(const char *path, uid_t owner, struct socket_holder *holder)
{
    struct sockaddr_un address;
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0 && address_unix(path, &address, NULL) == 0) {
        if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
            describe_peer(fd, holder);
            return SOCKET_FILE_TAKEN;
        }
        if (errno == ECONNREFUSED)
            return SOCKET_FILE_DEAD;
        if (errno == ENOENT)
            return SOCKET_FILE_GONE;
    }
    /* EAGAIN: its queue is full, so the process is there. Another error: nobody can know. */
    (void)snprintf(holder->text, sizeof(holder->text),
                   "a socket of user %lu is there that accepts no connection", (unsigned long)owner);
    return SOCKET_FILE_TAKEN;
}

enum socket_file_state socket_file_inspect(const struct socket_file *file, struct socket_holder *ret_holder)
{
    struct socket_holder ignored = {{0}};
    struct socket_holder *holder = ret_holder != NULL ? ret_holder : &ignored;
    struct stat st;

    if (lstat(file->path, &st) == -1)
        return SOCKET_FILE_GONE;
    if (file->ino != 0 && st.st_dev == file->dev && st.st_ino == file->ino)
        return SOCKET_FILE_OWN;
    if (S_ISSOCK(st.st_mode))
        return inspect_socket(file->path, st.st_uid, holder);
    (void)snprintf(holder->text, sizeof(holder->text), "what is there is not a socket");
    return SOCKET_FILE_TAKEN;
}

void socket_file_remove(const struct socket_file *file)
{
    struct stat st;

    if (file->ino != 0 && lstat(file->path, &st) == 0 && st.st_dev == file->dev && st.st_ino == file->ino)
        (void)unlink(file->path); /* a leftover is replaced by the next start */
}

/* --- creation --- */

static int check_path(const char *path, struct error **err)
{
    struct stat st;

    if (lstat(path, &st) == -1) {
        if (errno == ENOENT)
            return 0;
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "stat %s", path);
    }
    if (!S_ISSOCK(st.st_mode))
        return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "%s exists and is not a socket", path);
    return 0;
}

/* A short-lived name next to `path`. The leading dot makes the kubelet's plugin watcher ignore it. */
static char *temporary_name(const char *path, unsigned attempt)
{
    const char *slash = strrchr(path, '/');
    int dir_len = slash == NULL ? 0 : (int)(slash - path + 1);
    char *name = NULL;

    if (asprintf(&name, "%.*s.%x.%x", dir_len, path, (unsigned)getpid(), attempt) == -1)
        return NULL;
    return name;
}

/* Binds `fd` to `name`, which may be too long for an address: then by way of the directory's descriptor.
 * Errors name `path`, which users know. */
static int bind_name(int fd, const char *name, const char *path, struct error **err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cleanup_close int dir = -1;
    cleanup_free char *dir_name = NULL;
    char *slash;

    if (strlen(name) < sizeof(address.sun_path)) {
        memcpy(address.sun_path, name, strlen(name));
    } else {
        dir_name = strdup(name);
        /* So long a name has a slash, or it is all file name. */
        slash = dir_name == NULL ? NULL : strrchr(dir_name, '/');
        if (slash == NULL)
            // `dir_name` is freed by its cleanup attribute
            // NOLINTNEXTLINE(clang-analyzer-unix.Malloc)
            return error_set(err, GRPC_STATUS_INTERNAL, "bind %s: no directory", path);
        *slash = '\0';
        dir = open(dir_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir == -1)
            return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "open %s", dir_name);
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir, slash + 1);
    }
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) == -1) {
        if (errno == EADDRINUSE)
            return 1;
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "bind %s", path);
    }
    return 0;
}

/* Has the file still the name that it had before? Its number alone may have been used again. */
static bool is_same_file(const char *path, const struct stat *before)
{
    struct stat now;

    return lstat(path, &now) == 0 && now.st_dev == before->st_dev && now.st_ino == before->st_ino &&
           now.st_mtim.tv_sec == before->st_mtim.tv_sec && now.st_mtim.tv_nsec == before->st_mtim.tv_nsec;
}

/* A process that was killed between its bind() and its rename() leaves the temporary name behind. In a
 * container every process has the same number, and so the same names: they would run out. A name that is in
 * use has a process that listens, or will within the second; its number may be the same, in another
 * container. */
static bool remove_leftover(const char *name)
{
    struct socket_holder ignored = {{0}};
    struct stat st;

    return lstat(name, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_mtime < time(NULL) - LEFTOVER_AGE_S &&
           inspect_socket(name, st.st_uid, &ignored) == SOCKET_FILE_DEAD && is_same_file(name, &st) &&
           unlink(name) == 0;
}

/* Binds to a temporary name; the last try's error remains. */
static char *bind_somewhere(int fd, const char *path, struct error **err)
{
    for (unsigned attempt = 0; attempt < 100; attempt++) {
        cleanup_free char *name = temporary_name(path, attempt);
        int rc = name == NULL ? error_no_memory(err, "a listener") : bind_name(fd, name, path, err);

        if (rc > 0 && remove_leftover(name))
            rc = bind_name(fd, name, path, err);
        if (rc < 0)
            return NULL;
        if (rc == 0)
            return steal_ptr(&name);
    }
    (void)error_set(err, GRPC_STATUS_INTERNAL, "bind next to %s: no free temporary name", path);
    return NULL;
}

static int rename_to(const char *temporary, const char *path, enum socket_file_replace replace,
                     struct error **err)
{
    if (replace == SOCKET_FILE_REPLACE_NONE) {
        if (syscall(SYS_renameat2, AT_FDCWD, temporary, AT_FDCWD, path, NO_REPLACE) == 0)
            return 0;
        if (errno == EEXIST)
            return error_set(err, GRPC_STATUS_ALREADY_EXISTS, "%s exists", path);
        if (errno != EINVAL && errno != ENOSYS)
            return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "rename %s to %s", temporary, path);
        /* A file system without it: the caller has just checked that the name is free. */
    }
    if (rename(temporary, path) == -1)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "rename %s to %s", temporary, path);
    return 0;
}

/* From a bound temporary name to a listening socket at the path. `bound`: the file, when it was bound. A
 * process in another container that takes the name for a leftover may have put its own file there. */
static int publish(struct socket_file *file, int fd, const char *temporary, const struct stat *bound,
                   enum socket_file_replace replace, struct error **err)
{
    if (chmod(temporary, file->mode) == -1)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "chmod %s", temporary);
    if (listen(fd, BACKLOG) == -1)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "listen on %s", file->path);
    if (!is_same_file(temporary, bound))
        return error_set(err, GRPC_STATUS_UNAVAILABLE,
                         "rename %s to %s: another process has replaced the file", temporary, file->path);
    if (rename_to(temporary, file->path, replace, err) < 0)
        return -1;
    file->dev = bound->st_dev;
    file->ino = bound->st_ino;
    return 0;
}

int socket_file_listen(struct socket_file *file, enum socket_file_replace replace, struct error **err)
{
    cleanup_free char *temporary = NULL;
    cleanup_close int fd = -1;
    struct stat bound;

    if (check_path(file->path, err) < 0)
        return -1;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd == -1)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "socket");
    /* Linux takes the mode of the new file from the socket: it is never wider than wanted. */
    if (fchmod(fd, file->mode) == -1)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "set the mode of %s", file->path);
    temporary = bind_somewhere(fd, file->path, err);
    if (temporary == NULL)
        return -1;
    if (lstat(temporary, &bound) == -1)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "stat %s", temporary);
    if (publish(file, fd, temporary, &bound, replace, err) < 0) {
        if (is_same_file(temporary, &bound))
            (void)unlink(temporary); /* the error is reported already */
        return -1;
    }
    return steal_fd(&fd);
}
