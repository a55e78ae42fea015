/*
 * url.h - request targets and form bodies taken apart (RFC 3986 3.3 and 3.4,
 * application/x-www-form-urlencoded).
 *
 * The path is split at '/' first and decoded afterwards, so that an encoded slash stays inside its segment.
 */
#ifndef EMULATOR_URL_H
#define EMULATOR_URL_H

#include <stdbool.h>
#include <stddef.h>

#include "test/emulator/text.h"

enum {
    URL_MAX_SEGMENTS = 16, /* the longest path here has 8 */
    URL_MAX_PARAMS = 32,   /* more are ignored; Entra clients send about 10 */
};

struct params {
    size_t n;
    struct {
        const char *name;
        const char *value;
    } items[URL_MAX_PARAMS]; /* pointers into the parsed text */
};

struct url {
    size_t n;                               /* segments; "/a/b/" has 3, the last one empty */
    const char *segments[URL_MAX_SEGMENTS]; /* decoded */
    struct params query;
    char *storage; /* owned */
};

/* Takes a request target apart. -1 when it has too many segments, a bad %-escape or an encoded NUL.
 * url_finish() in every case. */
int url_parse(struct url *url, const char *target);
void url_finish(struct url *url);

/* Takes "a=b&c=d" apart in place: `text` is overwritten and must outlive `params`. -1 on a bad %-escape. */
int params_parse(struct params *params, char *text);

/* The value of the first parameter of that name, or NULL. */
const char *params_get(const struct params *params, const char *name);

/* Like params_get(), as whole number within min..max. 1 = found, 0 = not given, -1 = given and unusable. */
int params_get_int(const struct params *params, const char *name, long min, long max, long *ret);

/* Appends a target for logs: values of parameters that carry credentials are replaced by "***". */
void url_append_safe(struct text *out, const char *target);

#endif
