/*
 * stamp.c - see stamp.h.
 */
#include "test/emulator/stamp.h"

#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>

/* splitmix64 is one addition and a mix of the sum: the addition can be atomic, so threads need no lock. */
static _Atomic uint64_t random_state;

uint64_t monotonic_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

time_t unix_now(void)
{
    return time(NULL);
}

double unix_now_precise(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void format_time(time_t when, char separator, char out[static RFC3339_SIZE])
{
    struct tm utc;
    (void)gmtime_r(&when, &utc);
    (void)strftime(out, RFC3339_SIZE, separator == ' ' ? "%Y-%m-%d %H:%M:%SZ" : "%Y-%m-%dT%H:%M:%SZ", &utc);
}

void random_seed(void)
{
    uint64_t seed = monotonic_ns();
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        seed ^= (uint64_t)unix_now(); /* the clocks will do */
    atomic_store(&random_state, seed);
}

uint64_t random_u64(void)
{
    uint64_t x = atomic_fetch_add(&random_state, 0x9e3779b97f4a7c15U) + 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

void random_hex(char *out, size_t digits)
{
    static const char hex[] = "0123456789abcdef";
    uint64_t bits = 0;
    for (size_t i = 0; i < digits; i++) {
        if (i % 16 == 0)
            bits = random_u64();
        out[i] = hex[bits & 15];
        bits >>= 4;
    }
    out[digits] = '\0';
}

void random_guid(char out[static GUID_SIZE])
{
    random_hex(out, GUID_SIZE - 1);
    out[8] = out[13] = out[18] = out[23] = '-';
    out[14] = '4'; /* version 4, variant 1 (RFC 9562) */
    out[19] = "89ab"[out[19] & 3];
}
