/*
 * json.c - strict reading and careful writing of JSON on top of cJSON.
 *
 * cJSON (1.7.15 to 1.7.18) is generous and recursive: it takes control characters as white space and inside
 * strings, numbers such as "01", turns a bad \u escape into a NUL, keeps duplicate keys, and nests up to 1000
 * deep. So a linear scan checks every token first and cJSON gets only tokens that RFC 8259 allows; cJSON then
 * checks their order and builds the tree, and a walk over the tree finds duplicate keys.
 */
#include "common/base/json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "common/base/json_reduce.h"
#include "common/base/json_scan.h"
#include "common/base/secret.h"
#include "common/base/utf8.h"

enum { FEW_KEYS = 8 };

/* --- the walk after cJSON --- */

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int is_there_twice(const char *key, struct error **err)
{
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid JSON: key \"%s\" is there twice", key);
}

/* Each with each: for few members less work than to sort them. */
static int check_few_keys(const cJSON *object, struct error **err)
{
    for (const cJSON *member = object->child; member != NULL; member = member->next) {
        for (const cJSON *other = member->next; other != NULL; other = other->next) {
            if (strcmp(member->string, other->string) == 0)
                return is_there_twice(member->string, err);
        }
    }
    return 0;
}

static int check_object_keys(const cJSON *object, struct error **err)
{
    size_t n = 0;
    for (const cJSON *member = object->child; member != NULL; member = member->next)
        n++;
    if (n <= FEW_KEYS)
        return check_few_keys(object, err);
    cleanup_free const char **keys = calloc(n, sizeof(*keys));
    if (keys == NULL)
        return error_no_memory(err, "JSON keys");
    n = 0;
    for (const cJSON *member = object->child; member != NULL; member = member->next)
        keys[n++] = member->string;
    qsort(keys, n, sizeof(*keys), compare_keys);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(keys[i - 1], keys[i]) == 0)
            return is_there_twice(keys[i], err);
    }
    return 0;
}

/* Recursion is bounded by JSON_MAX_DEPTH, which the scan has checked. */
static int check_tree(const cJSON *node, unsigned flags, struct error **err)
{
    if (cJSON_IsNumber(node) && !isfinite(node->valuedouble))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid JSON: number out of range");
    if (cJSON_IsObject(node) && (flags & JSON_ALLOW_DUPLICATES) == 0 && check_object_keys(node, err) < 0)
        return -1;
    for (const cJSON *child = node->child; child != NULL; child = child->next) {
        if (check_tree(child, flags, err) < 0)
            return -1;
    }
    return 0;
}

static bool only_white_space(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\0' || strchr(" \t\r\n", text[i]) == NULL)
            return false;
    }
    return true;
}

/* cJSON on text whose tokens are good. */
static cJSON *build(const char *text, size_t len, unsigned flags, struct error **err)
{
    struct json_scan scan = {.text = text, .len = len};
    const char *end = NULL;
    cleanup_json cJSON *json = cJSON_ParseWithLengthOpts(text, len, &end, /* require_null_terminated= */ 0);
    /* `end` points into the text in both cases; on failure it is where cJSON gave up. */
    scan.at = end != NULL ? (size_t)(end - text) : 0;
    if (json == NULL || end == NULL) {
        (void)json_scan_refuse(&scan, "unexpected character or end", err);
        (void)error_check_memory(err, "JSON");
        return NULL;
    }
    if (!only_white_space(end, len - scan.at)) {
        (void)json_scan_refuse(&scan, "something behind the value", err);
        return NULL;
    }
    if (check_tree(json, flags, err) < 0)
        return NULL;
    return steal_ptr(&json);
}

static int check_values(size_t values, const struct json_options *options, struct error **err)
{
    if (options->max_values > 0 && values > options->max_values)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid JSON: more than %zu values",
                         options->max_values);
    return 0;
}

/* Builds the tree of a text that was scanned. */
static cJSON *build_scanned(const struct json_scan *scan, const struct json_options *options,
                            struct error **err)
{
    bool large = options->max_values > 0 && scan->values > options->max_values;
    if (!json_scan_is_whole(scan) || (!large && !scan->rewrite))
        return check_values(scan->values, options, err) < 0
                   ? NULL
                   : build(scan->text, scan->len, options->flags, err);
    size_t values = 0;
    cleanup_secret struct secret *reduced =
        json_reduce(scan->text, scan->len, large ? options : &(struct json_options){0}, &values, err);
    if (reduced == NULL || check_values(values, options, err) < 0)
        return NULL;
    return build((const char *)secret_bytes(reduced), secret_len(reduced), options->flags, err);
}

cJSON *json_parse_options(const char *text, size_t len, const struct json_options *options,
                          struct error **err)
{
    size_t mark = utf8_mark_len(text, len);
    struct json_scan scan = {
        .text = text + mark, .len = len - mark, .allow_nul = (options->flags & JSON_KEEP_NUL) != 0};
    errno = 0;
    if (scan.len > options->max_len) {
        (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid JSON: %zu bytes, at most %zu are allowed",
                        scan.len, options->max_len);
        return NULL;
    }
    if (scan.len == 0) { /* cJSON 1.7.15 reads the byte in front of an empty text */
        (void)json_scan_refuse(&scan, "unexpected end", err);
        return NULL;
    }
    if (!utf8_valid(scan.text, scan.len)) {
        (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid JSON: not UTF-8");
        return NULL;
    }
    while (scan.at < scan.len) {
        if (json_scan_token(&scan, err) < 0)
            return NULL;
    }
    return build_scanned(&scan, options, err);
}

cJSON *json_parse_with(const char *text, size_t len, size_t max_len, unsigned flags, struct error **err)
{
    return json_parse_options(text, len, &(struct json_options){.max_len = max_len, .flags = flags}, err);
}

cJSON *json_parse(const char *text, size_t len, size_t max_len, struct error **err)
{
    return json_parse_with(text, len, max_len, 0, err);
}

/* --- members --- */

static const char *type_name(const cJSON *json)
{
    if (cJSON_IsString(json))
        return "string";
    if (cJSON_IsNumber(json))
        return "number";
    if (cJSON_IsBool(json))
        return "boolean";
    if (cJSON_IsArray(json))
        return "array";
    if (cJSON_IsObject(json))
        return "object";
    return "null";
}

static int wrong_type(const char *key, const cJSON *json, const char *wanted, struct error **err)
{
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "JSON member '%s' is of type %s, not %s", key,
                     type_name(json), wanted);
}

/* NULL when the member is missing or null, and when `object` is not an object. */
static const cJSON *find(const cJSON *object, const char *key)
{
    if (!cJSON_IsObject(object))
        return NULL;
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNull(member) ? NULL : member;
}

static int opt_member(const cJSON *object, const char *key, cJSON_bool is_wanted(const cJSON *),
                      const char *wanted, const cJSON **ret, struct error **err)
{
    const cJSON *member = find(object, key);
    if (member != NULL && !is_wanted(member))
        return wrong_type(key, member, wanted, err);
    *ret = member;
    return 0;
}

static int get_member(const cJSON *object, const char *key, cJSON_bool is_wanted(const cJSON *),
                      const char *wanted, const cJSON **ret, struct error **err)
{
    const cJSON *member = NULL;
    if (opt_member(object, key, is_wanted, wanted, &member, err) < 0)
        return -1;
    if (member == NULL) {
        (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "JSON member '%s' is missing", key);
        return -1;
    }
    *ret = member;
    return 0;
}

bool json_has_nul(const char *text)
{
    return strstr(text, JSON_NUL) != NULL;
}

static int check_nul(const char *key, const cJSON *member, struct error **err)
{
    if (json_has_nul(member->valuestring))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "JSON member '%s' contains a NUL character", key);
    return 0;
}

int json_get_string(const cJSON *object, const char *key, const char **ret, struct error **err)
{
    const cJSON *member = NULL;
    if (get_member(object, key, cJSON_IsString, "string", &member, err) < 0 ||
        check_nul(key, member, err) < 0)
        return -1;
    *ret = member->valuestring;
    return 0;
}

int json_opt_string(const cJSON *object, const char *key, const char **ret, struct error **err)
{
    const cJSON *member = NULL;
    if (opt_member(object, key, cJSON_IsString, "string", &member, err) < 0 ||
        (member != NULL && check_nul(key, member, err) < 0))
        return -1;
    *ret = member != NULL ? member->valuestring : NULL;
    return 0;
}

size_t json_restore_nul(char *text)
{
    const char *in = text;
    char *out = text, *found;
    while ((found = strstr(in, JSON_NUL)) != NULL) {
        size_t len = (size_t)(found - in);
        memmove(out, in, len);
        out += len;
        *out++ = '\0';
        in = found + strlen(JSON_NUL);
    }
    size_t rest = strlen(in);
    memmove(out, in, rest + 1);
    return (size_t)(out - text) + rest;
}

int json_opt_bytes(const cJSON *object, const char *key, const char **ret, size_t *ret_len,
                   struct error **err)
{
    const cJSON *member = NULL;
    if (opt_member(object, key, cJSON_IsString, "string", &member, err) < 0)
        return -1;
    *ret = member != NULL ? member->valuestring : NULL;
    *ret_len = member != NULL ? json_restore_nul(member->valuestring) : 0;
    return 0;
}

int json_get_object(const cJSON *object, const char *key, const cJSON **ret, struct error **err)
{
    return get_member(object, key, cJSON_IsObject, "object", ret, err);
}

int json_opt_object(const cJSON *object, const char *key, const cJSON **ret, struct error **err)
{
    return opt_member(object, key, cJSON_IsObject, "object", ret, err);
}

int json_opt_array(const cJSON *object, const char *key, const cJSON **ret, struct error **err)
{
    return opt_member(object, key, cJSON_IsArray, "array", ret, err);
}

int json_opt_bool(const cJSON *object, const char *key, bool default_value, bool *ret, struct error **err)
{
    const cJSON *member = NULL;
    if (opt_member(object, key, cJSON_IsBool, "boolean", &member, err) < 0)
        return -1;
    *ret = member != NULL ? cJSON_IsTrue(member) : default_value;
    return 0;
}

/* cJSON keeps numbers as doubles: from 2^53 on neighbours are equal, so only smaller ones are exact. */
static bool exact_integer(double number, int64_t *ret)
{
    static const double limit = 9007199254740992.0; /* 2^53 */
    if (!(number > -limit && number < limit))
        return false;
    int64_t whole = (int64_t)number;
    if ((double)whole != number)
        return false;
    *ret = whole;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool decimal_integer(const char *text, int64_t *ret)
{
    const char *digits = text[0] == '-' ? text + 1 : text;
    if (!is_digit(digits[0])) /* strtoll would skip white space and take a '+' */
        return false;
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || *end != '\0')
        return false;
    *ret = value;
    return true;
}

int json_opt_int(const cJSON *object, const char *key, int64_t default_value, int64_t *ret,
                 struct error **err)
{
    const cJSON *member = find(object, key);
    if (member == NULL) {
        *ret = default_value;
        return 0;
    }
    if (cJSON_IsNumber(member) && exact_integer(member->valuedouble, ret))
        return 0;
    if (cJSON_IsString(member) && decimal_integer(member->valuestring, ret))
        return 0;
    if (cJSON_IsNumber(member) || cJSON_IsString(member))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "JSON member '%s' is no whole number in range",
                         key);
    return wrong_type(key, member, "number", err);
}

/* --- source texts --- */

static void skip_to(struct json_scan *scan, const char *wanted)
{
    while (scan->at < scan->len && strchr(wanted, scan->text[scan->at]) == NULL)
        scan->at++;
}

static void skip_white_space(struct json_scan *scan)
{
    while (scan->at < scan->len && strchr(" \t\r\n", scan->text[scan->at]) != NULL)
        scan->at++;
}

/* One value, with all that is nested in it. */
static void skip_value(struct json_scan *scan)
{
    unsigned outside = scan->depth;
    do {
        if (json_scan_token(scan, NULL) < 0)
            return; /* cannot happen: the text was scanned before */
    } while (scan->depth > outside && scan->at < scan->len);
}

/* From behind the value before it, or the bracket, to the value. */
static void skip_to_value(struct json_scan *scan, bool named)
{
    if (named) {
        skip_to(scan, "\"");
        if (json_scan_string(scan, NULL) < 0)
            scan->at = scan->len;
        skip_to(scan, ":");
        scan->at += scan->at < scan->len ? 1 : 0;
    } else if (scan->at < scan->len && strchr("[,", scan->text[scan->at]) != NULL) {
        scan->at++;
    }
    skip_white_space(scan);
}

void json_child_texts(const char *text, size_t len, struct json_text *ret, size_t n)
{
    struct json_scan scan = {.text = text, .len = len, .allow_nul = true};

    skip_to(&scan, "{[");
    bool named = scan.at < len && text[scan.at] == '{';
    for (size_t i = 0; i < n; i++) {
        skip_to_value(&scan, named);
        size_t start = scan.at;
        if (scan.at < len)
            skip_value(&scan);
        ret[i] = (struct json_text){.at = text + start, .len = scan.at - start};
        skip_white_space(&scan);
    }
}

char *json_print(const cJSON *json, struct error **err)
{
    char *text = cJSON_PrintUnformatted(json);
    if (text == NULL)
        (void)error_no_memory(err, "JSON");
    return text;
}
