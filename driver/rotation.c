/*
 * rotation.c - when a published volume is due for a new look at the provider.
 */
#include "driver/rotation.h"

enum { BACKOFF_FIRST_S = 15, BACKOFF_CAP_MIN_S = 60, BACKOFF_DOUBLINGS_MAX = 16 };

bool rotation_due(int64_t now_unix, uint64_t last_checked_unix, int64_t interval_s)
{
    int64_t last;

    if (last_checked_unix == 0 || last_checked_unix > (uint64_t)INT64_MAX)
        return true;
    last = (int64_t)last_checked_unix;
    return now_unix < last || now_unix - last >= interval_s;
}

int64_t rotation_backoff_s(unsigned failures, int64_t interval_s, uint32_t random)
{
    int64_t cap = interval_s > BACKOFF_CAP_MIN_S ? interval_s : BACKOFF_CAP_MIN_S;
    int64_t wait = BACKOFF_FIRST_S;

    for (unsigned i = 1; i < failures && i < BACKOFF_DOUBLINGS_MAX && wait < cap; i++)
        wait *= 2;
    if (wait > cap)
        wait = cap;
    return wait + (int64_t)(random % (uint32_t)(wait / 4 < UINT32_MAX ? wait / 4 + 1 : UINT32_MAX));
}
