/*
 * json_reduce.c - copies what is needed, member by member.
 */
#include "common/base/json_reduce.h"

#include <string.h>

#include "common/base/json_scan.h"

struct reduction {
    struct json_scan scan;
    const struct json_options *options;
    char *out; /* as long as the text: nothing becomes longer */
    size_t len;
};

static void put(struct reduction *reduction, const char *text, size_t len)
{
    memcpy(reduction->out + reduction->len, text, len);
    reduction->len += len;
}

/* Backslashes are in strings only. */
static void put_escaped(struct reduction *reduction, const char *text, size_t len)
{
    struct json_scan scan = {.text = text, .len = len};
    while (scan.at < len) {
        enum json_escape kind = JSON_ESCAPE_PLAIN;
        const char *start = text + scan.at;
        const char *escape = memchr(start, '\\', len - scan.at);
        size_t plain = escape != NULL ? (size_t)(escape - start) : len - scan.at;
        put(reduction, start, plain);
        scan.at += plain;
        size_t step = escape != NULL ? json_scan_escape(&scan, &kind) : 0;
        if (kind == JSON_ESCAPE_NUL)
            put(reduction, JSON_NUL, strlen(JSON_NUL));
        else if (kind == JSON_ESCAPE_LONE_SURROGATE)
            put(reduction, "\\ufffd", 6);
        else
            put(reduction, text + scan.at, step);
        scan.at += step;
    }
}

/* `key` is a string with its quotes. One with escapes is kept. */
static bool is_needed(const struct json_options *options, const char *key, size_t len)
{
    if (options->members == NULL || memchr(key, '\\', len) != NULL)
        return true;
    for (const char *const *member = options->members; *member != NULL; member++) {
        if (strlen(*member) == len - 2 && memcmp(*member, key + 1, len - 2) == 0)
            return true;
    }
    return false;
}

static void put_value(struct reduction *reduction, const char *value, size_t len)
{
    if ((reduction->options->flags & JSON_SHALLOW) != 0 && (*value == '{' || *value == '['))
        put(reduction, *value == '{' ? "{}" : "[]", 2);
    else
        put_escaped(reduction, value, len);
}

/* Takes tokens up to the next one that is not `skipped`; returns where it begins. */
static size_t skip(struct json_scan *scan, const char *skipped)
{
    while (scan->at < scan->len && strchr(skipped, scan->text[scan->at]) != NULL)
        (void)json_scan_token(scan, /* err= */ NULL);
    return scan->at;
}

static void skip_value(struct json_scan *scan)
{
    unsigned outside = scan->depth;
    do {
        (void)json_scan_token(scan, /* err= */ NULL); /* white space in front was skipped */
    } while (scan->depth > outside);
}

/* Behind the brace that opens the root. */
static void put_members(struct reduction *reduction)
{
    struct json_scan *scan = &reduction->scan;
    for (size_t n = 0;;) {
        size_t key = skip(scan, " \t\r\n,");
        if (scan->text[key] == '}')
            return;
        (void)json_scan_token(scan, /* err= */ NULL);
        size_t key_len = scan->at - key;
        size_t value = skip(scan, " \t\r\n:");
        skip_value(scan);
        if (!is_needed(reduction->options, scan->text + key, key_len))
            continue;
        if (n++ > 0)
            put(reduction, ",", 1);
        put_escaped(reduction, scan->text + key, key_len);
        put(reduction, ":", 1);
        put_value(reduction, scan->text + value, scan->at - value);
    }
}

static size_t count_values(const char *text, size_t len)
{
    struct json_scan scan = {.text = text, .len = len};
    while (scan.at < len && json_scan_token(&scan, /* err= */ NULL) == 0) {
    }
    return scan.values;
}

struct secret *json_reduce(const char *text, size_t len, const struct json_options *options,
                           size_t *ret_values, struct error **err)
{
    cleanup_secret struct secret *made = secret_create(len);
    if (made == NULL) {
        (void)error_no_memory(err, "JSON");
        return NULL;
    }
    struct reduction reduction = {
        .scan = {.text = text, .len = len, .allow_nul = true},
        .options = options,
        .out = (char *)secret_data(made),
    };
    size_t root = skip(&reduction.scan, " \t\r\n");
    bool some = options->members != NULL || (options->flags & JSON_SHALLOW) != 0;
    if (some && text[root] == '{') {
        (void)json_scan_token(&reduction.scan, /* err= */ NULL);
        put(&reduction, "{", 1);
        put_members(&reduction);
        put(&reduction, "}", 1);
    } else {
        put_escaped(&reduction, text, len);
    }
    secret_truncate(made, reduction.len);
    *ret_values = count_values(reduction.out, reduction.len);
    return steal_ptr(&made);
}
