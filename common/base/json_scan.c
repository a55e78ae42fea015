/*
 * json_scan.c - the tokens of RFC 8259 and their order.
 */
#include "common/base/json_scan.h"

#include <assert.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/base/json.h"

int json_scan_refuse(const struct json_scan *scan, const char *problem, struct error **err)
{
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid JSON: %s at byte %zu", problem, scan->at);
}

/* The byte `ahead` of the cursor; NUL behind the end (a NUL in the text is refused everywhere). */
static char peek(const struct json_scan *scan, size_t ahead)
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

/* The four digits behind "\\u", or -1. */
static int hex4(const struct json_scan *scan, size_t ahead)
{
    int value = 0;
    for (size_t i = ahead; i < ahead + 4; i++) {
        char c = peek(scan, i);
        if (!is_hex(c))
            return -1;
        value = value * 16 + (is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return value;
}

static bool is_high(int unit)
{
    return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low(int unit)
{
    return unit >= 0xdc00 && unit <= 0xdfff;
}

size_t json_scan_escape(const struct json_scan *scan, enum json_escape *ret)
{
    char kind = peek(scan, 1);
    *ret = JSON_ESCAPE_PLAIN;
    if (kind != '\0' && strchr("\"\\/bfnrt", kind) != NULL)
        return 2;
    int unit = kind == 'u' ? hex4(scan, 2) : -1;
    if (unit < 0)
        return 0;
    if (unit == 0)
        *ret = JSON_ESCAPE_NUL;
    if (is_high(unit) && peek(scan, 6) == '\\' && peek(scan, 7) == 'u' && is_low(hex4(scan, 8)))
        return 12;
    if (is_high(unit) || is_low(unit))
        *ret = JSON_ESCAPE_LONE_SURROGATE;
    return 6;
}

/* At a backslash. */
static int scan_escape(struct json_scan *scan, struct error **err)
{
    enum json_escape kind;
    size_t len = json_scan_escape(scan, &kind);
    if (len == 0)
        return json_scan_refuse(scan, "bad escape", err);
    if (kind == JSON_ESCAPE_NUL && !scan->allow_nul)
        return json_scan_refuse(scan, "NUL in a string", err);
    scan->rewrite = scan->rewrite || kind != JSON_ESCAPE_PLAIN;
    scan->at += len;
    return 0;
}

int json_scan_string(struct json_scan *scan, struct error **err)
{
    scan->at++;
    while (scan->at < scan->len) {
        unsigned char byte = (unsigned char)scan->text[scan->at];
        if (byte == '"') {
            scan->at++;
            return 0;
        }
        if (byte < 0x20)
            return json_scan_refuse(scan, "control character in a string", err);
        if (byte != '\\')
            scan->at++;
        else if (scan_escape(scan, err) < 0)
            return -1;
    }
    return json_scan_refuse(scan, "string without end", err);
}

static void skip_digits(struct json_scan *scan)
{
    while (is_digit(peek(scan, 0)))
        scan->at++;
}

/* RFC 8259 section 6: [-] int [frac] [exp] */
static int scan_number(struct json_scan *scan, struct error **err)
{
    if (peek(scan, 0) == '-')
        scan->at++;
    if (!is_digit(peek(scan, 0)) || (peek(scan, 0) == '0' && is_digit(peek(scan, 1))))
        return json_scan_refuse(scan, "bad number", err);
    skip_digits(scan);
    if (peek(scan, 0) == '.') {
        scan->at++;
        if (!is_digit(peek(scan, 0)))
            return json_scan_refuse(scan, "bad number", err);
        skip_digits(scan);
    }
    if (peek(scan, 0) == 'e' || peek(scan, 0) == 'E') {
        scan->at++;
        if (peek(scan, 0) == '+' || peek(scan, 0) == '-')
            scan->at++;
        if (!is_digit(peek(scan, 0)))
            return json_scan_refuse(scan, "bad number", err);
        skip_digits(scan);
    }
    return 0;
}

static int scan_word(struct json_scan *scan, struct error **err)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        size_t len = strlen(words[i]);
        if (scan->len - scan->at >= len && memcmp(scan->text + scan->at, words[i], len) == 0) {
            scan->at += len;
            return 0;
        }
    }
    return json_scan_refuse(scan, "unexpected character", err);
}

static int take_token(struct json_scan *scan, struct error **err)
{
    char c = scan->text[scan->at];
    switch (c) {
    case '{':
    case '[':
        if (++scan->depth > JSON_MAX_DEPTH)
            return json_scan_refuse(scan, "nested too deep", err);
        scan->at++;
        return 0;
    case '}':
    case ']':
        if (scan->depth == 0)
            return json_scan_refuse(scan, "unexpected character", err);
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
        return json_scan_string(scan, err);
    default:
        return c == '-' || is_digit(c) ? scan_number(scan, err) : scan_word(scan, err);
    }
}

/* --- the order of the tokens --- */

static void after_value(struct json_scan *scan)
{
    scan->next = scan->depth == 0 ? JSON_NEXT_END : JSON_NEXT_COMMA;
}

/* True when the innermost container is an object. `depth` counts the containers that are open. */
static bool in_object(const struct json_scan *scan)
{
    return scan->depth > 0 && (scan->objects >> (scan->depth - 1) & 1U) != 0;
}

static bool value_fits(struct json_scan *scan)
{
    scan->values++;
    return scan->next == JSON_NEXT_VALUE || scan->next == JSON_NEXT_ITEM_OR_END;
}

static bool open_fits(struct json_scan *scan, bool object)
{
    bool fits = value_fits(scan);
    assert(scan->depth > 0);
    uint64_t bit = UINT64_C(1) << (scan->depth - 1); /* the depth after it; at most JSON_MAX_DEPTH */
    scan->objects = object ? scan->objects | bit : scan->objects & ~bit;
    scan->next = object ? JSON_NEXT_KEY_OR_END : JSON_NEXT_ITEM_OR_END;
    return fits;
}

/* `was_object`: what is closed. */
static bool close_fits(struct json_scan *scan, bool object, bool was_object)
{
    enum json_next empty = object ? JSON_NEXT_KEY_OR_END : JSON_NEXT_ITEM_OR_END;
    bool fits = was_object == object && (scan->next == empty || scan->next == JSON_NEXT_COMMA);
    after_value(scan);
    return fits;
}

static bool comma_fits(struct json_scan *scan)
{
    bool fits = scan->next == JSON_NEXT_COMMA;
    scan->next = in_object(scan) ? JSON_NEXT_KEY : JSON_NEXT_VALUE;
    return fits;
}

static bool colon_fits(struct json_scan *scan)
{
    bool fits = scan->next == JSON_NEXT_COLON;
    scan->next = JSON_NEXT_VALUE;
    return fits;
}

static bool scalar_fits(struct json_scan *scan, bool string)
{
    if (string && (scan->next == JSON_NEXT_KEY || scan->next == JSON_NEXT_KEY_OR_END)) {
        scan->next = JSON_NEXT_COLON;
        return true;
    }
    bool fits = value_fits(scan);
    after_value(scan);
    return fits;
}

/* A token that was taken: is this its place? */
static bool token_fits(struct json_scan *scan, char first, bool was_object)
{
    switch (first) {
    case ' ':
    case '\t':
    case '\n':
    case '\r':
        return true;
    case '{':
    case '[':
        return open_fits(scan, first == '{');
    case '}':
    case ']':
        return close_fits(scan, first == '}', was_object);
    case ',':
        return comma_fits(scan);
    case ':':
        return colon_fits(scan);
    default:
        return scalar_fits(scan, first == '"');
    }
}

int json_scan_token(struct json_scan *scan, struct error **err)
{
    char first = scan->text[scan->at];
    bool was_object = in_object(scan);
    if (take_token(scan, err) < 0)
        return -1;
    scan->disordered = !token_fits(scan, first, was_object) || scan->disordered;
    return 0;
}

bool json_scan_is_whole(const struct json_scan *scan)
{
    return !scan->disordered && scan->next == JSON_NEXT_END;
}
