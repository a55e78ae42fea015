/*
 * socket_file.h - the file of a listening Unix socket: it appears whole at its path, and its inode identifies
 * it there.
 *
 * The kernel keeps the inode for as long as the socket is open, so an equal device and inode at the path
 * means that a connect() to the path reaches the socket.
 */
#ifndef COMMON_GRPC_SOCKET_FILE_H
#define COMMON_GRPC_SOCKET_FILE_H

#include <sys/types.h>

#include "common/base/error.h"

struct socket_file {
    char *path; /* owned */
    mode_t mode;
    dev_t dev; /* identity of the file that socket_file_listen() made last */
    ino_t ino;
};

/* What is at the path now. */
enum socket_file_state {
    SOCKET_FILE_OWN,
    SOCKET_FILE_GONE,  /* nothing, or the path cannot be examined */
    SOCKET_FILE_DEAD,  /* the socket of a process that has ended */
    SOCKET_FILE_TAKEN, /* a socket on which another process listens, or no socket at all */
};

enum { SOCKET_HOLDER_TEXT_MAX = 128 };

/* Describes what is at the path when it is SOCKET_FILE_TAKEN: "process 4711 (name) of user 0 listens there".
 * A process of another PID namespace has no number here. */
struct socket_holder {
    char text[SOCKET_HOLDER_TEXT_MAX];
};

enum socket_file_replace {
    SOCKET_FILE_REPLACE,      /* whatever socket is at the path */
    SOCKET_FILE_REPLACE_NONE, /* fails with ALREADY_EXISTS when there is something at the path */
};

/* Copies `path`. Nothing is created yet. INVALID_ARGUMENT: empty, or longer than sun_path allows. */
int socket_file_init(struct socket_file *file, const char *path, mode_t mode, struct error **err);
void socket_file_finish(struct socket_file *file);

/* Makes a listening, non-blocking socket: binds a temporary name in the same directory, sets the mode,
 * listens, renames. Returns the descriptor, which the caller owns; -1 with err set leaves no file behind.
 * FAILED_PRECONDITION: the path is no socket. */
int socket_file_listen(struct socket_file *file, enum socket_file_replace replace, struct error **err);

/* Examines the path: an lstat(), and for a foreign socket a connect(), which does not wait. Fills
 * `ret_holder` (may be NULL) for SOCKET_FILE_TAKEN. */
enum socket_file_state socket_file_inspect(const struct socket_file *file, struct socket_holder *ret_holder);

/* Removes the file if it is the own one. */
void socket_file_remove(const struct socket_file *file);

#endif
