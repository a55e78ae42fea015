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

#include "common/base/secret.h"
#include "common/base/utf8.h"

struct scan {
    const char *text;
    size_t len;
    size_t at;
    unsigned depth;
};

/* --- the scan before cJSON --- */

static int refuse(const struct scan *scan, const char *problem, struct error **err)
{
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid JSON: %s at byte %zu", problem, scan->at);
}

/* The byte `ahead` of the cursor; NUL behind the end (a NUL in the text is refused everywhere). */
static char peek(const struct scan *scan, size_t ahead)
{
    if (scan->len - scan->at <= ahead)
        return '\0';
    return scan->text[scan->at + ahead];
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* At a backslash. cJSON checks the surrogate pairs. */
static int scan_escape(struct scan *scan, struct error **err)
{
    char kind = peek(scan, 1);
    if (kind != '\0' && strchr("\"\\/bfnrt", kind) != NULL) {
        scan->at += 2;
        return 0;
    }
    if (kind != 'u')
        return refuse(scan, "bad escape", err);
    bool zero = true;
    for (size_t i = 2; i < 6; i++) {
        if (!is_hex(peek(scan, i)))
            return refuse(scan, "bad escape", err);
        zero = zero && peek(scan, i) == '0';
    }
    if (zero)
        return refuse(scan, "NUL in a string", err);
    scan->at += 6;
    return 0;
}

static int scan_string(struct scan *scan, struct error **err)
{
    scan->at++;
    while (scan->at < scan->len) {
        unsigned char byte = (unsigned char)scan->text[scan->at];
        if (byte == '"') {
            scan->at++;
            return 0;
        }
        if (byte < 0x20)
            return refuse(scan, "control character in a string", err);
        if (byte != '\\')
            scan->at++;
        else if (scan_escape(scan, err) < 0)
            return -1;
    }
    return refuse(scan, "string without end", err);
}

static void skip_digits(struct scan *scan)
{
    while (is_digit(peek(scan, 0)))
        scan->at++;
}

/* RFC 8259 section 6: [-] int [frac] [exp] */
static int scan_number(struct scan *scan, struct error **err)
{
    if (peek(scan, 0) == '-')
        scan->at++;
    if (!is_digit(peek(scan, 0)) || (peek(scan, 0) == '0' && is_digit(peek(scan, 1))))
        return refuse(scan, "bad number", err);
    skip_digits(scan);
    if (peek(scan, 0) == '.') {
        scan->at++;
        if (!is_digit(peek(scan, 0)))
            return refuse(scan, "bad number", err);
        skip_digits(scan);
    }
    if (peek(scan, 0) == 'e' || peek(scan, 0) == 'E') {
        scan->at++;
        if (peek(scan, 0) == '+' || peek(scan, 0) == '-')
            scan->at++;
        if (!is_digit(peek(scan, 0)))
            return refuse(scan, "bad number", err);
        skip_digits(scan);
    }
    return 0;
}

static int scan_word(struct scan *scan, struct error **err)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        size_t len = strlen(words[i]);
        if (scan->len - scan->at >= len && memcmp(scan->text + scan->at, words[i], len) == 0) {
            scan->at += len;
            return 0;
        }
    }
    return refuse(scan, "unexpected character", err);
}

static int scan_token(struct scan *scan, struct error **err)
{
    char c = scan->text[scan->at];
    switch (c) {
    case '{':
    case '[':
        if (++scan->depth > JSON_MAX_DEPTH)
            return refuse(scan, "nested too deep", err);
        scan->at++;
        return 0;
    case '}':
    case ']':
        if (scan->depth == 0)
            return refuse(scan, "unexpected character", err);
        scan->depth--;
        scan->at++;
        return 0;
    case ' ':
    case '\t':
    case '\n':
    case '\r':
    case ',':
    case ':':
        scan->at++;
        return 0;
    case '"':
        return scan_string(scan, err);
    default:
        return c == '-' || is_digit(c) ? scan_number(scan, err) : scan_word(scan, err);
    }
}

/* --- the walk after cJSON --- */

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_object_keys(const cJSON *object, struct error **err)
{
    size_t n = 0;
    for (const cJSON *member = object->child; member != NULL; member = member->next)
        n++;
    if (n < 2)
        return 0;
    cleanup_free const char **keys = calloc(n, sizeof(*keys));
    if (keys == NULL)
        return error_no_memory(err, "JSON keys");
    n = 0;
    for (const cJSON *member = object->child; member != NULL; member = member->next)
        keys[n++] = member->string;
    qsort(keys, n, sizeof(*keys), compare_keys);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(keys[i - 1], keys[i]) == 0)
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid JSON: key \"%s\" is there twice",
                             keys[i]);
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

cJSON *json_parse_with(const char *text, size_t len, size_t max_len, unsigned flags, struct error **err)
{
    size_t mark = utf8_mark_len(text, len);
    struct scan scan = {.text = text + mark, .len = len - mark};
    text += mark;
    len -= mark;
    errno = 0;
    if (len > max_len) {
        (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid JSON: %zu bytes, at most %zu are allowed",
                        len, max_len);
        return NULL;
    }
    if (len == 0) { /* cJSON 1.7.15 reads the byte in front of an empty text */
        (void)refuse(&scan, "unexpected end", err);
        return NULL;
    }
    if (!utf8_valid(text, len)) {
        (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid JSON: not UTF-8");
        return NULL;
    }
    while (scan.at < len) {
        if (scan_token(&scan, err) < 0)
            return NULL;
    }

    const char *end = NULL;
    cleanup_json cJSON *json = cJSON_ParseWithLengthOpts(text, len, &end, /* require_null_terminated= */ 0);
    /* `end` points into the text in both cases; on failure it is where cJSON gave up. */
    scan.at = end != NULL ? (size_t)(end - text) : 0;
    if (json == NULL || end == NULL) {
        (void)refuse(&scan, "unexpected character or end", err);
        (void)error_check_memory(err, "JSON");
        return NULL;
    }
    if (!only_white_space(end, len - scan.at)) {
        (void)refuse(&scan, "something behind the value", err);
        return NULL;
    }
    if (check_tree(json, flags, err) < 0)
        return NULL;
    return steal_ptr(&json);
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

int json_get_string(const cJSON *object, const char *key, const char **ret, struct error **err)
{
    const cJSON *member = NULL;
    if (get_member(object, key, cJSON_IsString, "string", &member, err) < 0)
        return -1;
    *ret = member->valuestring;
    return 0;
}

int json_opt_string(const cJSON *object, const char *key, const char **ret, struct error **err)
{
    const cJSON *member = NULL;
    if (opt_member(object, key, cJSON_IsString, "string", &member, err) < 0)
        return -1;
    *ret = member != NULL ? member->valuestring : NULL;
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

static void skip_to(struct scan *scan, const char *wanted)
{
    while (scan->at < scan->len && strchr(wanted, scan->text[scan->at]) == NULL)
        scan->at++;
}

static void skip_white_space(struct scan *scan)
{
    while (scan->at < scan->len && strchr(" \t\r\n", scan->text[scan->at]) != NULL)
        scan->at++;
}

/* One value, with all that is nested in it. */
static void skip_value(struct scan *scan)
{
    unsigned outside = scan->depth;
    do {
        if (scan_token(scan, NULL) < 0)
            return; /* cannot happen: the text was scanned before */
    } while (scan->depth > outside && scan->at < scan->len);
}

void json_member_texts(const char *text, size_t len, struct json_text *ret, size_t n)
{
    struct scan scan = {.text = text, .len = len};

    skip_to(&scan, "{");
    for (size_t i = 0; i < n; i++) {
        skip_to(&scan, "\"");
        if (scan_string(&scan, NULL) < 0)
            scan.at = len;
        skip_to(&scan, ":");
        scan.at += scan.at < len ? 1 : 0;
        skip_white_space(&scan);
        size_t start = scan.at;
        if (scan.at < len)
            skip_value(&scan);
        ret[i] = (struct json_text){.at = text + start, .len = scan.at - start};
    }
}

char *json_print(const cJSON *json, struct error **err)
{
    char *text = cJSON_PrintUnformatted(json);
    if (text == NULL)
        (void)error_no_memory(err, "JSON");
    return text;
}
