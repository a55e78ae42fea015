/*
 * json.h - strict reading and careful writing of JSON on top of cJSON (RFC 8259).
 *
 * Strict: one value, nothing but white space behind it, no NUL escapes in strings (they would cut a C
 * string), nesting at most JSON_MAX_DEPTH, size at most the caller's limit, no duplicate keys in objects,
 * valid UTF-8. Half a surrogate pair ("\\ud800") is U+FFFD. A byte order mark in front is taken off. Nodes
 * live in wiped memory (secret_install_json_hooks()). Names are compared with case. Errors are
 * INVALID_ARGUMENT (RESOURCE_EXHAUSTED on lack of memory), name the place (byte offset or key), never the
 * content. errno is 0 or, when memory ran out, ENOMEM: see error_check_memory().
 */
#ifndef COMMON_BASE_JSON_H
#define COMMON_BASE_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cleanup.h"
#include "common/base/error.h"

enum { JSON_MAX_DEPTH = 64 };

/* Parses exactly `len` bytes (no NUL behind them needed). The caller frees with cJSON_Delete(). */
cJSON *json_parse(const char *text, size_t len, size_t max_len, struct error **err);

enum json_flags {
    JSON_ALLOW_DUPLICATES = 1, /* formats define a meaning of them: all members are kept in order */
    /* Strings may contain U+0000, which is JSON_NUL in the tree: see json_opt_bytes(). json_get_string() and
     * json_opt_string() refuse such a string. */
    JSON_KEEP_NUL = 2,
    JSON_SHALLOW = 4, /* a text with too many values is read without what is inside of the root's members */
};
#define JSON_NUL "\xc0\x80" /* no UTF-8, so that nothing else is read as it */

struct json_options {
    size_t max_len;
    /* Bounds the memory: a tree takes 100 to 200 bytes for each value. 0: no limit. A text with more is read
     * without members that are not needed, and refused ("more than N values") when it still has more. */
    size_t max_values;
    unsigned flags;
    const char *const *members; /* the members of the root that are needed, ends with NULL; NULL: all */
};
cJSON *json_parse_options(const char *text, size_t len, const struct json_options *options,
                          struct error **err);

/* As json_parse(), with flags. */
cJSON *json_parse_with(const char *text, size_t len, size_t max_len, unsigned flags, struct error **err);

static inline void cleanup_json_func(cJSON **json)
{
    cJSON_Delete(*json);
}
#define cleanup_json CLEANUP(cleanup_json_func)

/* Members of an object. *ret is a borrowed pointer into the tree. The `get` forms fail when the member is
 * missing, null or of another type; the `opt` forms give NULL / the default when it is missing or null and
 * fail only for another type. */
int json_get_string(const cJSON *object, const char *key, const char **ret, struct error **err);
int json_opt_string(const cJSON *object, const char *key, const char **ret, struct error **err);
/* A string with all its bytes. It is restored in place: call it once. */
int json_opt_bytes(const cJSON *object, const char *key, const char **ret, size_t *ret_len,
                   struct error **err);
int json_get_object(const cJSON *object, const char *key, const cJSON **ret, struct error **err);
int json_opt_object(const cJSON *object, const char *key, const cJSON **ret, struct error **err);
int json_opt_array(const cJSON *object, const char *key, const cJSON **ret, struct error **err);
int json_opt_bool(const cJSON *object, const char *key, bool default_value, bool *ret, struct error **err);
/* A whole number, also as a decimal string ("3599": Entra and IMDS write both). */
int json_opt_int(const cJSON *object, const char *key, int64_t default_value, int64_t *ret,
                 struct error **err);

/* With JSON_KEEP_NUL: true when a string of the tree contains U+0000; restores it in place and returns its
 * length. */
bool json_has_nul(const char *text);
size_t json_restore_nul(char *text);

/* The source text of values, so that numbers too large for a double and the like can be passed on unchanged:
 * `ret` gets the first `n` values of the object or array that `text` is, in order. json_parse() must have
 * accepted `text` as one with at least `n` of them. */
struct json_text {
    const char *at;
    size_t len;
};
void json_child_texts(const char *text, size_t len, struct json_text *ret, size_t n);

/* Compact text in wiped memory; the caller frees with secret_free(). NULL with err set on lack of memory. */
char *json_print(const cJSON *json, struct error **err);

#endif
