/*
 * limits.c - see limits.h.
 */
#include "test/emulator/limits.h"

#include <stdint.h>
#include <stdio.h>

#include "test/emulator/map.h"
#include "test/emulator/memory.h"
#include "test/emulator/stamp.h"

/* What Microsoft publishes: 4,000 transactions with secrets in ten seconds, per vault and region; five times
 * that for all vaults of a subscription. Entra ID's figures are not published: it names a minute. */
static const double default_vault_requests = 4000;
static const double default_vault_window_s = 10;
static const double subscription_factor = 5;
static const double default_token_window_s = 60;
static const double max_number = 1e9;

/* Retry-After: a number of seconds, or one of these. */
enum { RETRY_NO_HEADER = -1, RETRY_NEXT_WINDOW = -2 };

struct rule {
    uint64_t requests; /* within a window; 0 = no limit */
    uint64_t window_ns;
    int retry_after;
};

struct usage {
    uint64_t window; /* number of the one that `used` counts in */
    uint64_t used;
    uint64_t admitted; /* in all windows */
    uint64_t refused;
};

struct limits {
    bool on;
    uint64_t started_ns;
    struct rule vault, subscription, token;
    struct usage all_vaults;
    struct map vaults; /* name -> struct usage */
    struct map apps;   /* client id -> struct usage */
};

struct limits *limits_create(void)
{
    return xcalloc(1, sizeof(struct limits));
}

static void forget(struct limits *limits)
{
    map_finish(&limits->vaults, free);
    map_finish(&limits->apps, free);
    limits->all_vaults = (struct usage){0};
}

void limits_destroy(struct limits *limits)
{
    forget(limits);
    free(limits);
}

/* False: it is there, and no number that can be used. */
static bool read_number(const cJSON *json, const char *key, double otherwise, double *ret)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    *ret = item == NULL ? otherwise : item->valuedouble;
    return item == NULL ||
           (cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble <= max_number);
}

static bool read_retry_after(const cJSON *json, const char *key, int otherwise, int *ret)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    double seconds;
    if (cJSON_IsString(item)) {
        *ret = strcmp(item->valuestring, "window") == 0 ? RETRY_NEXT_WINDOW : RETRY_NO_HEADER;
        return *ret == RETRY_NEXT_WINDOW || strcmp(item->valuestring, "none") == 0;
    }
    bool good = read_number(json, key, otherwise, &seconds);
    *ret = (int)seconds;
    return good;
}

const char *limits_set(struct limits *limits, const cJSON *json)
{
    double vault, subscription, window, tokens, token_window;
    int retry_after, token_retry_after;
    bool good = read_number(json, "vault", default_vault_requests, &vault) &&
                read_number(json, "subscription", subscription_factor * vault, &subscription) &&
                read_number(json, "window_s", default_vault_window_s, &window) &&
                read_number(json, "tokens", 0, &tokens) &&
                read_number(json, "token_window_s", default_token_window_s, &token_window);
    if (!good || window <= 0 || token_window <= 0)
        return "a number is out of range";
    if (!read_retry_after(json, "retry_after", RETRY_NEXT_WINDOW, &retry_after) ||
        !read_retry_after(json, "token_retry_after", RETRY_NEXT_WINDOW, &token_retry_after))
        return "'retry_after' must be a number of seconds, \"window\" or \"none\"";
    forget(limits);
    limits->on = true;
    limits->started_ns = monotonic_ns();
    limits->vault = (struct rule){(uint64_t)vault, (uint64_t)(window * 1e9), retry_after};
    limits->subscription = (struct rule){(uint64_t)subscription, limits->vault.window_ns, retry_after};
    limits->token = (struct rule){(uint64_t)tokens, (uint64_t)(token_window * 1e9), token_retry_after};
    return NULL;
}

static struct usage *usage_of(struct map *map, const char *key)
{
    struct usage *usage = map_get(map, key);
    if (usage == NULL) {
        usage = xcalloc(1, sizeof(*usage));
        (void)map_set(map, key, usage);
    }
    return usage;
}

/* Whether the window has room for one more. */
static bool has_room(const struct rule *rule, struct usage *usage, uint64_t elapsed_ns)
{
    uint64_t window = elapsed_ns / rule->window_ns;
    if (usage->window != window) {
        usage->window = window;
        usage->used = 0;
    }
    return rule->requests == 0 || usage->used < rule->requests;
}

static void count(struct usage *usage, bool admitted)
{
    if (admitted) {
        usage->used++;
        usage->admitted++;
    } else {
        usage->refused++;
    }
}

static int retry_after(const struct rule *rule, uint64_t elapsed_ns)
{
    if (rule->retry_after != RETRY_NEXT_WINDOW)
        return rule->retry_after;
    uint64_t left_ns = rule->window_ns - elapsed_ns % rule->window_ns;
    return (int)((left_ns + 999999999) / 1000000000); /* the header has whole seconds */
}

bool limits_admit_vault(struct limits *limits, const char *vault, int *ret_retry_after)
{
    if (!limits->on)
        return true;
    uint64_t elapsed_ns = monotonic_ns() - limits->started_ns;
    struct usage *usage = usage_of(&limits->vaults, vault);
    bool vault_has_room = has_room(&limits->vault, usage, elapsed_ns);
    bool admitted = has_room(&limits->subscription, &limits->all_vaults, elapsed_ns) && vault_has_room;
    count(usage, admitted);
    count(&limits->all_vaults, admitted);
    if (!admitted)
        *ret_retry_after = retry_after(&limits->vault, elapsed_ns);
    return admitted;
}

bool limits_admit_token(struct limits *limits, const char *client_id, int *ret_retry_after)
{
    if (!limits->on)
        return true;
    uint64_t elapsed_ns = monotonic_ns() - limits->started_ns;
    struct usage *usage = usage_of(&limits->apps, client_id);
    bool admitted = has_room(&limits->token, usage, elapsed_ns);
    count(usage, admitted);
    if (!admitted)
        *ret_retry_after = retry_after(&limits->token, elapsed_ns);
    return admitted;
}

static cJSON *usage_report(const struct usage *usage)
{
    cJSON *report = cJSON_CreateObject();
    cJSON_AddNumberToObject(report, "admitted", (double)usage->admitted);
    cJSON_AddNumberToObject(report, "refused", (double)usage->refused);
    return report;
}

static cJSON *map_report(const struct map *map)
{
    cJSON *report = cJSON_CreateObject();
    struct map_cursor cursor = {0};
    for (const struct map_entry *entry; (entry = map_next(map, &cursor)) != NULL;)
        cJSON_AddItemToObject(report, entry->key, usage_report(entry->value));
    return report;
}

cJSON *limits_report(const struct limits *limits)
{
    cJSON *report = cJSON_CreateObject();
    cJSON_AddBoolToObject(report, "on", limits->on);
    cJSON *rules = cJSON_AddObjectToObject(report, "limits");
    cJSON_AddNumberToObject(rules, "vault", (double)limits->vault.requests);
    cJSON_AddNumberToObject(rules, "subscription", (double)limits->subscription.requests);
    cJSON_AddNumberToObject(rules, "window_s", (double)limits->vault.window_ns / 1e9);
    cJSON_AddNumberToObject(rules, "tokens", (double)limits->token.requests);
    cJSON_AddNumberToObject(rules, "token_window_s", (double)limits->token.window_ns / 1e9);
    cJSON_AddItemToObject(report, "subscription", usage_report(&limits->all_vaults));
    cJSON_AddItemToObject(report, "vaults", map_report(&limits->vaults));
    cJSON_AddItemToObject(report, "applications", map_report(&limits->apps));
    return report;
}
