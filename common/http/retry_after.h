/*
 * retry_after.h - the values of Retry-After (RFC 9110 10.2.3). Private to common/http; the rest of the tree
 * calls http_retry_after_ms().
 */
#ifndef COMMON_HTTP_RETRY_AFTER_H
#define COMMON_HTTP_RETRY_AFTER_H

#include <stdint.h>

/* Longer waits are cut to this one, which is beyond every deadline: sums with a clock stay far from
 * overflow. */
#define RETRY_AFTER_MAX_MS ((int64_t)7 * 24 * 3600 * 1000)

/* A decimal number of milliseconds or seconds ("1*DIGIT", blanks around it allowed) times `unit_ms`, cut to
 * RETRY_AFTER_MAX_MS. -1 if it is none. */
int64_t retry_after_number_ms(const char *value, int64_t unit_ms);

/* Retry-After = HTTP-date / delay-seconds, in milliseconds from `now_unix` (seconds). A date in the past
 * gives 0. -1 if the value is neither. Dates are read by curl_getdate(), which accepts more than the three
 * formats of RFC 9110 5.6.7. */
int64_t retry_after_value_ms(const char *value, int64_t now_unix);

#endif
