/*
 * backoff.c - growing pauses with jitter.
 */
#include "common/base/backoff.h"

#include <sys/random.h>
#include <time.h>

static uint64_t percent_of(uint64_t value, unsigned percent)
{
    uint64_t product;

    if (!__builtin_mul_overflow(value, (uint64_t)percent, &product))
        return product / 100;
    return __builtin_mul_overflow(value / 100, (uint64_t)percent, &product) ? UINT64_MAX : product;
}

static uint64_t grow(const struct backoff *law, uint64_t pause)
{
    uint64_t next = law->growth_percent == 0 ? pause : percent_of(pause, law->growth_percent);

    return __builtin_add_overflow(next, law->step, &next) ? UINT64_MAX : next;
}

uint64_t backoff_spread(uint64_t pause, unsigned min_percent, unsigned max_percent, uint32_t random)
{
    uint64_t least = percent_of(pause, min_percent);
    uint64_t width = percent_of(pause, max_percent - min_percent);
    uint64_t extra = width < UINT32_MAX ? random % (width + 1) : random;
    uint64_t sum;

    return __builtin_add_overflow(least, extra, &sum) ? UINT64_MAX : sum;
}

uint64_t backoff_pause(const struct backoff *law, unsigned failures, uint32_t random)
{
    uint64_t cap = law->cap;
    uint64_t pause = law->first;

    if (law->cap_after_jitter &&
        law->jitter_min_percent > 0) /* from here on even the least part is too long */
        cap = cap < UINT64_MAX / 100 ? cap * 100 / law->jitter_min_percent + 1 : UINT64_MAX;
    for (unsigned i = 1; i < failures && pause < cap; i++) {
        uint64_t next = grow(law, pause);

        if (next <= pause)
            break;
        pause = next;
    }
    if (pause > cap)
        pause = cap;
    if (law->jitter_max_percent > 0)
        pause = backoff_spread(pause, law->jitter_min_percent, law->jitter_max_percent, random);
    return law->cap_after_jitter && pause > law->cap ? law->cap : pause;
}

uint32_t backoff_random(void)
{
    struct timespec now = {0};
    uint32_t random = 0;

    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) == (ssize_t)sizeof(random))
        return random;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* early at boot: spreading needs no quality */
    return (uint32_t)now.tv_nsec;
}
