/*
 * clock_shim.c - preloaded into a program: moves its clocks by what the file $CLOCK_SHIM says, three numbers
 * of seconds as int64_t: for the wall clock, for the monotonic one, and for the one that counts the sleep of
 * the machine as well. The file is mapped, so they can change.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { WALL, MONOTONIC, BOOT, CLOCKS };

static const volatile int64_t *offsets(void)
{
    static const volatile int64_t none[CLOCKS];
    static const volatile int64_t *mapped;
    const char *path = mapped == NULL ? getenv("CLOCK_SHIM") : NULL;
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *memory = fd != -1 ? mmap(NULL, sizeof(none), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

    if (fd != -1)
        (void)close(fd);
    if (memory != MAP_FAILED)
        mapped = memory;
    return mapped != NULL ? mapped : none;
}

int clock_gettime(clockid_t id, struct timespec *now)
{
    long result = syscall(SYS_clock_gettime, id, now);
    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        now->tv_sec += offsets()[WALL];
    else if (result == 0 && (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE))
        now->tv_sec += offsets()[MONOTONIC];
    else if (result == 0 && id == CLOCK_BOOTTIME)
        now->tv_sec += offsets()[BOOT];
    return (int)result;
}

time_t time(time_t *ret)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (ret != NULL)
        *ret = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    *ret = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}
