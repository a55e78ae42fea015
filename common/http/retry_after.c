/*
 * retry_after.c - how long a server wants its client to wait.
 */
#include "common/http/retry_after.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "common/http/client.h"

static const char *skip_blanks(const char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int64_t retry_after_number_ms(const char *value, int64_t unit_ms)
{
    const char *p = skip_blanks(value);
    if (!is_digit(*p))
        return -1;
    int64_t n = 0;
    for (; is_digit(*p); p++) {
        if (n <= RETRY_AFTER_MAX_MS) /* stays clamped however many digits follow */
            n = n * 10 + (*p - '0');
    }
    if (*skip_blanks(p) != '\0')
        return -1;
    return n > RETRY_AFTER_MAX_MS / unit_ms ? RETRY_AFTER_MAX_MS : n * unit_ms;
}

int64_t retry_after_value_ms(const char *value, int64_t now_unix)
{
    int64_t ms = retry_after_number_ms(value, 1000);
    if (ms >= 0)
        return ms;
    time_t date = curl_getdate(value, NULL);
    if (date == -1)
        return -1;
    if (date <= now_unix)
        return 0;
    int64_t seconds = date - now_unix;
    return seconds > RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS : seconds * 1000;
}

/* When the server says that it has sent the response; `now_unix` when it does not. */
static int64_t sent_unix(const struct http_response *response, int64_t now_unix)
{
    const char *value = http_response_header(response, "date");
    time_t date = value != NULL ? curl_getdate(value, NULL) : -1;
    return date != -1 ? date : now_unix;
}

int64_t http_retry_after_ms(const struct http_response *response, int64_t now_unix)
{
    static const char *const millisecond_names[] = {"retry-after-ms", "x-ms-retry-after-ms"};
    for (size_t i = 0; i < ARRAY_SIZE(millisecond_names); i++) {
        const char *value = http_response_header(response, millisecond_names[i]);
        int64_t ms = value != NULL ? retry_after_number_ms(value, 1) : -1;
        if (ms >= 0)
            return ms;
    }
    const char *value = http_response_header(response, "retry-after");
    return value != NULL ? retry_after_value_ms(value, sent_unix(response, now_unix)) : -1;
}
