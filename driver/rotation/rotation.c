/*
 * rotation.c - when a rotation check of a mounted volume is due.
 */
#include "driver/rotation/rotation.h"

#include <string.h>

#include "common/base/backoff.h"
#include "common/base/hash.h"
#include "common/crypto/encoding.h"

enum {
    BACKOFF_FIRST_S = 15,
    BACKOFF_CAP_MIN_S = 60,
    SPREAD_PART = 8,      /* an eighth of the interval */
    KUBELET_ROUND_S = 90, /* the longest time between its calls for a volume */
    FOUND_SPREAD_S = 60,
};

/* --- due or not --- */

uint32_t rotation_seed(const char *target_path)
{
    return hash_text(HASH_START, target_path);
}

static bool has_passed(int64_t now, int64_t since, int64_t wait)
{
    return now < since || now - since >= wait;
}

/* The delay of its own. */
static int64_t delay_of(const struct rotation_facts *facts, int64_t interval_s)
{
    return (int64_t)(facts->seed % (uint64_t)(interval_s / SPREAD_PART + 1));
}

/* When this process found the volume, its rotation check was overdue by more than the kubelet's calls are
 * apart: its rotation checks had been failing. */
static bool was_overdue_when_found(const struct rotation_facts *facts, int64_t interval_s)
{
    if (facts->last_checked_unix == 0 || facts->last_checked_unix >= (uint64_t)facts->first_seen_unix)
        return false;
    return facts->first_seen_unix - (int64_t)facts->last_checked_unix - KUBELET_ROUND_S -
               delay_of(facts, interval_s) >=
           interval_s;
}

/* Its rotation checks had been failing, or may have been. Their pauses are not known any more, and the
 * kubelet calls for all such volumes at about the same time: each waits for a delay of its own. */
static bool waits_since_found(const struct rotation_facts *facts, int64_t interval_s, int64_t now)
{
    int64_t spread = interval_s < FOUND_SPREAD_S ? interval_s : FOUND_SPREAD_S;

    if (interval_s <= 0 || facts->first_seen_unix <= 0)
        return false;
    return (facts->spec_changed_when_found || was_overdue_when_found(facts, interval_s)) &&
           !has_passed(now, facts->first_seen_unix, (int64_t)(facts->seed % (uint64_t)spread));
}

static bool interval_is_over(const struct rotation_facts *facts, int64_t interval_s, int64_t now)
{
    if (interval_s <= 0)
        return true;
    if (facts->last_checked_unix == 0 || facts->last_checked_unix > (uint64_t)INT64_MAX)
        return has_passed(now, facts->first_seen_unix, (int64_t)(facts->seed % (uint64_t)interval_s));
    return has_passed(now, (int64_t)facts->last_checked_unix, interval_s + delay_of(facts, interval_s));
}

uint64_t rotation_spec_digest(const char *spec_hash)
{
    uint64_t digest = 0;

    if (strspn(spec_hash, "0123456789abcdef") != ROTATION_SPEC_HASH_LEN)
        return 0;
    for (size_t i = 0; i < 2 * sizeof(digest); i++)
        digest = digest << 4 | hex_digit(spec_hash[i]);
    return digest;
}

bool rotation_spec_changed(uint64_t spec_digest, const struct rotation_spec *spec)
{
    uint64_t now = rotation_spec_digest(spec->hash);

    return spec_digest != 0 && now != 0 && spec_digest != now;
}

bool rotation_due(const struct rotation_facts *facts, const struct rotation_spec *spec, int64_t now_unix)
{
    bool spec_changed = rotation_spec_changed(facts->spec_digest, spec);

    if (waits_since_found(facts, spec->interval_s, now_unix))
        return false;
    if (spec_changed && facts->failed_spec_digest != rotation_spec_digest(spec->hash))
        return true;
    if (facts->waits_after_failure)
        return false;
    return spec_changed || interval_is_over(facts, spec->interval_s, now_unix);
}

int64_t rotation_backoff_s(unsigned failures, int64_t interval_s, uint32_t random)
{
    int64_t cap = interval_s < ROTATION_INTERVAL_MAX_S ? interval_s : ROTATION_INTERVAL_MAX_S;
    const struct backoff law = {
        .first = BACKOFF_FIRST_S,
        .growth_percent = 200,
        .cap = (uint64_t)(cap > BACKOFF_CAP_MIN_S ? cap : BACKOFF_CAP_MIN_S),
        .jitter_min_percent = 100,
        .jitter_max_percent = 125,
    };

    return (int64_t)backoff_pause(&law, failures, random);
}
