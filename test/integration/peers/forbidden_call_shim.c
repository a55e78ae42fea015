/*
 * forbidden_call_shim.c - preloaded into a program: after each connection that it accepts it calls
 * personality(2), which no program here needs, and writes what came of it to standard error.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
    long accepted = syscall(SYS_accept4, fd, address, length, flags);
    int saved = errno;

    if (accepted >= 0) {
        char text[64];
        long result = syscall(SYS_personality, 0xffffffff);
        int n = snprintf(text, sizeof(text), "personality: %s\n", result < 0 ? strerrorname_np(errno) : "ok");

        (void)!write(STDERR_FILENO, text, (size_t)n);
    }
    errno = saved;
    return (int)accepted;
}
