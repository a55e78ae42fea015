/*
 * faults.c - see faults.h.
 */
#include "test/emulator/faults.h"

#include <nghttp2/nghttp2.h>
#include <stdint.h>
#include <strings.h>

#include "test/emulator/memory.h"
#include "test/emulator/text.h"

static const char *const kind_names[FAULT_KINDS] = {
    [FAULT_NONE] = "none",         [FAULT_LATENCY] = "latency",
    [FAULT_STATUS] = "status",     [FAULT_RESET] = "reset",
    [FAULT_TRUNCATE] = "truncate", [FAULT_GARBAGE] = "garbage",
    [FAULT_DRIP] = "drip",         [FAULT_BLACKHOLE] = "blackhole",
    [FAULT_CLOSE] = "close",       [FAULT_CLOSE_AFTER] = "close-after",
    [FAULT_GOAWAY] = "goaway",     [FAULT_STREAM_RESET] = "stream-reset",
};

static const char *const retry_keys[RETRY_SPELLINGS] = {
    [RETRY_AFTER] = "retry_after",
    [RETRY_AFTER_MS] = "retry-after-ms",
    [X_MS_RETRY_AFTER_MS] = "x-ms-retry-after-ms",
};

struct rule {
    struct rule *next;
    enum fault_kind kind;
    char *id;
    char *service;       /* NULL = any */
    char *method;        /* NULL = any */
    char *host_contains; /* NULL = any */
    char *path_contains; /* NULL = any; compared with path and query as sent */
    char *body;          /* NULL = the service's own shape */
    double probability;
    uint64_t count; /* 0 = no limit */
    uint64_t after; /* matching requests to let pass first */
    uint64_t seen;  /* matching requests so far */
    uint64_t fired;
    uint64_t latency_ms;
    unsigned drip_ms;
    unsigned status;
    int retry_after;
    enum retry_spelling retry_spelling;
    bool accepted;
    uint32_t http2_error;
};

struct faults {
    struct rule *first;
    uint64_t next_id;
    uint64_t dice; /* a fixed start: runs with probabilities can be repeated */
};

struct faults *faults_create(void)
{
    struct faults *faults = xcalloc(1, sizeof(*faults));
    faults->next_id = 1;
    faults->dice = 1;
    return faults;
}

static void rule_free(struct rule *rule)
{
    free(rule->id);
    free(rule->service);
    free(rule->method);
    free(rule->host_contains);
    free(rule->path_contains);
    free(rule->body);
    free(rule);
}

void faults_remove(struct faults *faults, const char *id)
{
    for (struct rule **place = &faults->first; *place != NULL;) {
        struct rule *rule = *place;
        if (id != NULL && strcmp(rule->id, id) != 0) {
            place = &rule->next;
            continue;
        }
        *place = rule->next;
        rule_free(rule);
    }
}

void faults_destroy(struct faults *faults)
{
    faults_remove(faults, NULL);
    free(faults);
}

static const char *string_of(const cJSON *json, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));
}

static double number_of(const cJSON *json, const char *key, double otherwise)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    return cJSON_IsNumber(item) ? item->valuedouble : otherwise;
}

/* The code with that name (RFC 9113 7); 0 (NO_ERROR) for an unknown one. */
static uint32_t http2_error_of(const char *name)
{
    for (uint32_t code = NGHTTP2_HTTP_1_1_REQUIRED; name != NULL && code > 0; code--)
        if (strcmp(nghttp2_http2_strerror(code), name) == 0)
            return code;
    return NGHTTP2_NO_ERROR;
}

const char *faults_add(struct faults *faults, const cJSON *json)
{
    static const double max = 1e9; /* for every number in a rule */
    static const char *const numbers[] = {
        "latency_ms", "drip_ms", "count", "after", "retry_after", "retry-after-ms", "x-ms-retry-after-ms"};

    enum fault_kind kind = FAULT_NONE;
    const char *name = string_of(json, "kind");
    for (int k = FAULT_LATENCY; name != NULL && k < FAULT_KINDS; k++)
        if (strcmp(kind_names[k], name) == 0)
            kind = (enum fault_kind)k;
    if (kind == FAULT_NONE)
        return "'kind' must be latency, status, reset, truncate, garbage, drip, blackhole, close, close-after, goaway or stream-reset";
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        if (number_of(json, numbers[i], 0) < 0 || number_of(json, numbers[i], 0) > max)
            return "a number is out of range";
    int retry_after = -1;
    enum retry_spelling spelling = RETRY_AFTER;
    for (int s = RETRY_AFTER; s < RETRY_SPELLINGS && retry_after < 0; s++) {
        spelling = (enum retry_spelling)s;
        retry_after = (int)number_of(json, retry_keys[s], -1);
    }
    double status = number_of(json, "status", 503);
    if (status < 200 || status > 599)
        return "'status' must be 200 to 599";

    uint32_t http2_error = http2_error_of(string_of(json, "error"));
    if (kind == FAULT_STREAM_RESET && http2_error == NGHTTP2_NO_ERROR)
        return "'error' must be the name of an HTTP/2 error, like REFUSED_STREAM";

    const char *id = string_of(json, "id");
    if (id != NULL)
        faults_remove(faults, id);
    const char *service = string_of(json, "service");
    struct rule *rule = xcalloc(1, sizeof(*rule));
    *rule = (struct rule){
        .kind = kind,
        .id = id != NULL ? xstrdup(id) : format_text("fault-%llu", (unsigned long long)faults->next_id++),
        .service = service == NULL || strcmp(service, "any") == 0 ? NULL : xstrdup(service),
        .method = xstrdup(string_of(json, "method")),
        .host_contains = xstrdup(string_of(json, "host_contains")),
        .path_contains = xstrdup(string_of(json, "path_contains")),
        .body = xstrdup(string_of(json, "body")),
        .probability = number_of(json, "probability", 1),
        .count = (uint64_t)number_of(json, "count", 0),
        .after = (uint64_t)number_of(json, "after", 0),
        .latency_ms = (uint64_t)number_of(json, "latency_ms", 0),
        .drip_ms = (unsigned)number_of(json, "drip_ms", 10),
        .status = (unsigned)status,
        .retry_after = retry_after,
        .retry_spelling = spelling,
        .accepted = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "accepted")),
        .http2_error = http2_error,
    };
    struct rule **end = &faults->first;
    while (*end != NULL)
        end = &(*end)->next;
    *end = rule;
    return NULL;
}

cJSON *faults_list(const struct faults *faults)
{
    cJSON *list = cJSON_CreateArray();
    for (const struct rule *rule = faults->first; rule != NULL; rule = rule->next) {
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "id", rule->id);
        cJSON_AddStringToObject(item, "kind", kind_names[rule->kind]);
        cJSON_AddNumberToObject(item, "seen", (double)rule->seen);
        cJSON_AddNumberToObject(item, "fired", (double)rule->fired);
        cJSON_AddItemToArray(list, item);
    }
    return list;
}

static bool matches(const struct rule *rule, const char *service, bool http2, const char *method,
                    const char *host, const char *target)
{
    if (!http2 && (rule->kind == FAULT_GOAWAY || rule->kind == FAULT_STREAM_RESET))
        return false;
    return (rule->service == NULL || strcmp(rule->service, service) == 0) &&
           (rule->method == NULL || strcmp(rule->method, method) == 0) &&
           (rule->host_contains == NULL || strcasestr(host, rule->host_contains) != NULL) &&
           (rule->path_contains == NULL || strstr(target, rule->path_contains) != NULL);
}

static bool roll(struct faults *faults, double probability)
{
    if (probability >= 1)
        return true;
    faults->dice = faults->dice * 6364136223846793005U + 1442695040888963407U;
    return (double)(faults->dice >> 11) / 9007199254740992.0 < probability;
}

struct fault_decision faults_decide(struct faults *faults, const char *service, bool http2,
                                    const char *method, const char *host, const char *target)
{
    struct fault_decision decision = {.kind = FAULT_NONE, .retry_after = -1};
    for (struct rule *rule = faults->first; rule != NULL; rule = rule->next) {
        if (!matches(rule, service, http2, method, host, target))
            continue;
        if (rule->kind != FAULT_LATENCY && decision.kind != FAULT_NONE)
            continue;
        rule->seen++;
        if (rule->seen <= rule->after || (rule->count != 0 && rule->fired >= rule->count) ||
            !roll(faults, rule->probability))
            continue;
        rule->fired++;
        decision.latency_ms += rule->latency_ms;
        if (rule->kind == FAULT_LATENCY)
            continue;
        decision.kind = rule->kind;
        decision.drip_ms = rule->drip_ms;
        decision.status = rule->status;
        decision.retry_after = rule->retry_after;
        decision.retry_spelling = rule->retry_spelling;
        decision.accepted = rule->accepted;
        decision.http2_error = rule->http2_error;
        decision.body = xstrdup(rule->body);
    }
    return decision;
}
