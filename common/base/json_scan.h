/*
 * json_scan.h - a linear scan over JSON text (RFC 8259) that allocates nothing.
 *
 * Internal to json.c and json_reduce.c. Every token is checked. The order of the tokens is only noted: cJSON
 * reports what is wrong with it.
 */
#ifndef COMMON_BASE_JSON_SCAN_H
#define COMMON_BASE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"

/* What may come next. */
enum json_next {
    JSON_NEXT_VALUE,
    JSON_NEXT_ITEM_OR_END, /* behind '[' */
    JSON_NEXT_KEY_OR_END,  /* behind '{' */
    JSON_NEXT_KEY,
    JSON_NEXT_COLON,
    JSON_NEXT_COMMA, /* or the end of the container */
    JSON_NEXT_END,
};

/* Begins with the text and zeros. */
struct json_scan {
    const char *text;
    size_t len;
    size_t at;
    unsigned depth;   /* open containers */
    bool allow_nul;   /* "\\u0000" is no error */
    uint64_t objects; /* bit n: the container n is an object */
    enum json_next next;
    size_t values;   /* so far: items, members, containers */
    bool disordered; /* a token did not fit */
    bool rewrite;    /* there is an escape that cJSON does not take */
};

/* Takes the next token; there must be one. -1 for one that RFC 8259 does not know (INVALID_ARGUMENT, the
 * problem and its byte). */
int json_scan_token(struct json_scan *scan, struct error **err);

/* Takes a string, which begins at the cursor. */
int json_scan_string(struct json_scan *scan, struct error **err);

enum json_escape {
    JSON_ESCAPE_PLAIN,
    JSON_ESCAPE_NUL,            /* U+0000 */
    JSON_ESCAPE_LONE_SURROGATE, /* half a character */
};

/* The length of the escape at the cursor, which is at a backslash; 0 for a bad one. A pair of surrogates is
 * one. */
size_t json_scan_escape(const struct json_scan *scan, enum json_escape *ret);

/* At the end: true when the tokens make exactly one value. */
bool json_scan_is_whole(const struct json_scan *scan);

/* INVALID_ARGUMENT with the cursor's place. Returns -1. */
int json_scan_refuse(const struct json_scan *scan, const char *problem, struct error **err);

#endif
