/*
 * floor_clock.h - the time that a floor program has used, and the time of the wall.
 */
#ifndef TEST_BENCH_FLOOR_CLOCK_H
#define TEST_BENCH_FLOOR_CLOCK_H

#include <sys/resource.h>
#include <time.h>

/* CPU time of this process so far, user and system, in microseconds. */
static inline double cpu_us(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* A monotonic clock, in microseconds. */
static inline double wall_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

#endif
