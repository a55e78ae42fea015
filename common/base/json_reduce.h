/*
 * json_reduce.h - a copy of JSON text with what is not needed left out. Internal to json.c.
 */
#ifndef COMMON_BASE_JSON_REDUCE_H
#define COMMON_BASE_JSON_REDUCE_H

#include "common/base/json.h"
#include "common/base/secret.h"

/* Copies a text that json_scan_is_whole() was true for: of an object only options->members, with
 * JSON_SHALLOW without what is inside of its members. U+0000 becomes JSON_NUL, half a surrogate pair U+FFFD.
 * *ret_values counts the values that are left. NULL with err set for lack of memory. */
struct secret *json_reduce(const char *text, size_t len, const struct json_options *options,
                           size_t *ret_values, struct error **err);

#endif
