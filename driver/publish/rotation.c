/*
 * rotation.c - when a published volume is due for a new look at the provider.
 */
#include "driver/publish/rotation.h"

#include <stdio.h>
#include <string.h>

#include "common/digest.h"
#include "common/hash.h"
#include "common/options.h"
#include "common/secret.h"

enum {
    BACKOFF_FIRST_S = 15,
    BACKOFF_CAP_MIN_S = 60,
    BACKOFF_DOUBLINGS_MAX = 16,
    SPREAD_PART = 8,      /* an eighth of the interval */
    KUBELET_ROUND_S = 90, /* the longest time between its calls for a volume */
    MET_LATE_SPREAD_S = 60,
    NS_PER_S = 1000000000,
};

/* --- the wish of a class --- */

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

/* What the mark is a digest of, as one JSON text: names and values can not run into each other. */
static char *mark_text(const struct secret_provider_class *class)
{
    cleanup_string_map struct string_map asked = {0};

    if (string_map_merge(&asked, &class->parameters, /* err= */ NULL) < 0 ||
        string_map_set(&asked,
                       "\n"
                       "provider",
                       class->provider, /* err= */ NULL) < 0 ||
        string_map_set(&asked, "\n" CLASS_ANNOTATION_REFRESH, or_empty(class->refresh), /* err= */ NULL) < 0)
        return NULL;
    return string_map_to_json(&asked, /* err= */ NULL);
}

/* "" when it can not be made (no memory, parameters that are not UTF-8): nothing is wished then. */
static void make_mark(const struct secret_provider_class *class, char mark[ROTATION_MARK_LEN + 1])
{
    cleanup_secret_free char *text = mark_text(class);
    char digest[DIGEST_SHA256_HEX_LEN + 1];

    mark[0] = '\0';
    if (text == NULL || digest_sha256_hex(text, strlen(text), digest) < 0)
        return;
    (void)snprintf(mark, ROTATION_MARK_LEN + 1, "%.*s", (int)ROTATION_MARK_LEN, digest);
}

int rotation_wish_of(const struct secret_provider_class *class, int64_t default_interval_s,
                     struct rotation_wish *ret, struct error **err)
{
    const char *text = or_empty(class->rotation_interval);
    int64_t ns = 0;

    make_mark(class, ret->mark);
    ret->interval_s = default_interval_s;
    if (text[0] == '\0')
        return 0;
    if (duration_parse(text, &ns, /* err= */ NULL) < 0 || ns < NS_PER_S ||
        ns / NS_PER_S > ROTATION_INTERVAL_MAX_S)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "annotation " CLASS_ANNOTATION_INTERVAL
                         " of secretproviderclass %s/%s: '%.64s' is not a duration between 1s and 8760h",
                         class->ns, class->name, text);
    ret->interval_s = ns / NS_PER_S;
    return 0;
}

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

/* When this process met the volume, its look was overdue by more than the kubelet's calls are apart: its
 * looks had been failing. */
static bool was_met_late(const struct rotation_facts *facts, int64_t interval_s)
{
    if (facts->last_checked_unix == 0 || facts->last_checked_unix >= (uint64_t)facts->first_seen_unix)
        return false;
    return facts->first_seen_unix - (int64_t)facts->last_checked_unix - KUBELET_ROUND_S -
               delay_of(facts, interval_s) >=
           interval_s;
}

/* Its looks had been failing, or may have been. Which pauses were agreed upon is not known any more, and all
 * of its kind are met at one moment; each waits for a moment of its own. */
static bool waits_since_it_was_met(const struct rotation_facts *facts, int64_t interval_s, int64_t now)
{
    int64_t spread = interval_s < MET_LATE_SPREAD_S ? interval_s : MET_LATE_SPREAD_S;

    if (interval_s <= 0 || facts->first_seen_unix <= 0)
        return false;
    return (facts->met_wishing || was_met_late(facts, interval_s)) &&
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

bool rotation_wished(const char *mark, const struct rotation_wish *wish)
{
    return mark[0] != '\0' && wish->mark[0] != '\0' && strcmp(mark, wish->mark) != 0;
}

bool rotation_due(const struct rotation_facts *facts, const struct rotation_wish *wish, int64_t now_unix)
{
    bool wished = rotation_wished(facts->mark, wish);

    if (waits_since_it_was_met(facts, wish->interval_s, now_unix))
        return false;
    if (wished && strcmp(facts->failed_mark, wish->mark) != 0)
        return true;
    if (facts->retry_unix > now_unix)
        return false;
    return wished || interval_is_over(facts, wish->interval_s, now_unix);
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
