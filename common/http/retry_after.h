/*
 * retry_after.h - the values of Retry-After (RFC 9110 10.2.3) and HTTP dates (RFC 9110 5.6.7). Private to the
 * http room; the rest of the tree calls http_retry_after_ms().
 */
#ifndef COMMON_HTTP_RETRY_AFTER_H
#define COMMON_HTTP_RETRY_AFTER_H

#include <stdint.h>

/* Waits beyond this are cut to it: nobody waits a week, and sums with a clock stay far from overflow. */
#define RETRY_AFTER_MAX_MS ((int64_t)7 * 24 * 3600 * 1000)

/* A decimal number of milliseconds or seconds ("1*DIGIT", blanks around it allowed) times `unit_ms`, cut to
 * RETRY_AFTER_MAX_MS. -1 if it is none. */
int64_t retry_after_number_ms(const char *value, int64_t unit_ms);

/* Retry-After = HTTP-date / delay-seconds. `now_unix` in seconds; a date in the past gives 0. -1 if it is
 * neither. */
int64_t retry_after_value_ms(const char *value, int64_t now_unix);

/* An HTTP-date in any of its three formats: "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT"
 * and "Sun Nov  6 08:49:37 1994". `now_unix` decides the century of the second one. Returns -1 for anything
 * else. */
int http_date_parse(const char *text, int64_t now_unix, int64_t *ret_unix);

#endif
