/*
 * timestamp.c - reading timestamps.
 */
#include "provider-azure/identity/timestamp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/cleanup.h"

/* A larger number (the year 33658) is no time in seconds: a mistake, or milliseconds. */
#define SECONDS_MAX INT64_C(1000000000000)

static int64_t parse(const char *text)
{
    static const char *const formats[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%m/%d/%Y %H:%M:%S"};
    char *end = NULL;

    if (text[0] >= '0' && text[0] <= '9') {
        errno = 0;
        long long seconds = strtoll(text, &end, 10);
        if (*end == '\0')
            return errno == 0 && seconds < SECONDS_MAX ? seconds : -1;
    }
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        struct tm parts = {0};
        const char *rest = strptime(text, formats[i], &parts);
        if (rest == NULL)
            continue;
        if (*rest == '.')
            rest += 1 + strspn(rest + 1, "0123456789");
        int64_t offset = 0;
        int hours = 0;
        int minutes = 0;
        char sign = 0;
        /* NOLINTNEXTLINE(cert-err34-c): two digits cannot overflow */
        if (sscanf(rest, "%c%2d:%2d", &sign, &hours, &minutes) == 3 && (sign == '+' || sign == '-'))
            offset = (sign == '-' ? -1 : 1) * (hours * 3600LL + minutes * 60LL);
        return (int64_t)timegm(&parts) - offset;
    }
    return -1;
}

int64_t timestamp_from_json(const cJSON *value)
{
    if (cJSON_IsString(value))
        return parse(value->valuestring);
    if (cJSON_IsNumber(value) && value->valuedouble > 0 && value->valuedouble < (double)SECONDS_MAX)
        return (int64_t)value->valuedouble;
    return -1;
}

/* Moves *at behind `n` digits and returns their value; -1 when they are not there. */
static int digits(const char **at, int n)
{
    int value = 0;
    for (int i = 0; i < n; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return -1;
        value = value * 10 + (**at - '0');
    }
    return value;
}

static bool in_range(const char **at, int n, int min, int max)
{
    int value = digits(at, n);
    return value >= min && value <= max;
}

static bool character(const char **at, const char *allowed)
{
    return **at != '\0' && strchr(allowed, *(*at)++) != NULL;
}

bool timestamp_is_rfc3339(const char *text)
{
    const char *at = text;
    if (!in_range(&at, 4, 0, 9999) || !character(&at, "-") || !in_range(&at, 2, 1, 12) ||
        !character(&at, "-") || !in_range(&at, 2, 1, 31) || !character(&at, "Tt") ||
        !in_range(&at, 2, 0, 23) || !character(&at, ":") || !in_range(&at, 2, 0, 59) ||
        !character(&at, ":") || !in_range(&at, 2, 0, 60))
        return false;
    if (*at == '.') {
        size_t n = strspn(++at, "0123456789");
        if (n == 0)
            return false;
        at += n;
    }
    if (*at == 'Z' || *at == 'z')
        return at[1] == '\0';
    return character(&at, "+-") && in_range(&at, 2, 0, 23) && character(&at, ":") &&
           in_range(&at, 2, 0, 59) && *at == '\0';
}
