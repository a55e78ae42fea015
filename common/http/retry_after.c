/*
 * retry_after.c - Retry-After and HTTP dates, read by a cursor that never leaves the text.
 */
#include "common/http/retry_after.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

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

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar. Years are counted from March, so that
 * the leap day comes last. */
static int64_t days_from_date(int64_t year, int month, int day)
{
    if (month <= 2)
        year--;
    int64_t era = year / 400; /* years are positive here */
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static int64_t year_of(int64_t unix_seconds)
{
    /* Exact enough to choose a century. */
    return 1970 + unix_seconds / 31556952;
}

/* The readers below take *p, advance it past what they recognised and return false if it was not there. */

static bool read_literal(const char **p, const char *literal)
{
    size_t len = strlen(literal);
    if (strncmp(*p, literal, len) != 0)
        return false;
    *p += len;
    return true;
}

static bool read_number(const char **p, int digits, int *ret_n)
{
    int n = 0;
    for (int i = 0; i < digits; i++) {
        if (!is_digit((*p)[i]))
            return false;
        n = n * 10 + ((*p)[i] - '0');
    }
    *p += digits;
    *ret_n = n;
    return true;
}

/* The index of the first `len` letters of one of `names`. Names are case-sensitive in HTTP dates. */
static bool read_name(const char **p, const char *const *names, int count, size_t len, int *ret_index)
{
    for (int i = 0; i < count; i++) {
        size_t n = len == 0 ? strlen(names[i]) : len;
        if (strncmp(*p, names[i], n) == 0) {
            *p += n;
            *ret_index = i;
            return true;
        }
    }
    return false;
}

static const char *const DAYS[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                   "Friday", "Saturday", "Sunday"};
static const char *const MONTHS[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct date {
    int year, month, day, hour, minute, second;
};

static bool read_month(const char **p, struct date *date)
{
    if (!read_name(p, MONTHS, 12, 3, &date->month))
        return false;
    date->month++;
    return true;
}

static bool read_time(const char **p, struct date *date)
{
    return read_number(p, 2, &date->hour) && read_literal(p, ":") && read_number(p, 2, &date->minute) &&
           read_literal(p, ":") && read_number(p, 2, &date->second);
}

/* ", 06 Nov 1994 08:49:37 GMT" after the short day name */
static bool read_imf_fixdate(const char **p, struct date *date)
{
    return read_literal(p, ", ") && read_number(p, 2, &date->day) && read_literal(p, " ") &&
           read_month(p, date) && read_literal(p, " ") && read_number(p, 4, &date->year) &&
           read_literal(p, " ") && read_time(p, date) && read_literal(p, " GMT");
}

/* ", 06-Nov-94 08:49:37 GMT" after the long day name */
static bool read_rfc850(const char **p, int64_t now_unix, struct date *date)
{
    if (!(read_literal(p, ", ") && read_number(p, 2, &date->day) && read_literal(p, "-") &&
          read_month(p, date) && read_literal(p, "-") && read_number(p, 2, &date->year) &&
          read_literal(p, " ") && read_time(p, date) && read_literal(p, " GMT")))
        return false;
    /* "a timestamp that appears to be more than 50 years in the future" is "the most recent year in the past"
     * (RFC 9110 5.6.7) */
    int64_t now_year = year_of(now_unix);
    int64_t year = now_year - now_year % 100 + date->year;
    if (year > now_year + 50)
        year -= 100;
    date->year = (int)year;
    return true;
}

/* " Nov  6 08:49:37 1994" after the short day name; the day is padded with a blank */
static bool read_asctime(const char **p, struct date *date)
{
    if (!(read_literal(p, " ") && read_month(p, date) && read_literal(p, " ")))
        return false;
    if (read_literal(p, " ")) {
        if (!read_number(p, 1, &date->day))
            return false;
    } else if (!read_number(p, 2, &date->day)) {
        return false;
    }
    return read_literal(p, " ") && read_time(p, date) && read_literal(p, " ") &&
           read_number(p, 4, &date->year);
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

int http_date_parse(const char *text, int64_t now_unix, int64_t *ret_unix)
{
    const char *start = skip_blanks(text);
    struct date date = {0};
    int weekday = 0; /* not compared with the date: RFC 9110 asks for tolerance, and it adds nothing */

    const char *p = start;
    bool ok = read_name(&p, DAYS, 7, 0, &weekday) && read_rfc850(&p, now_unix, &date);
    if (!ok) {
        p = start;
        ok = read_name(&p, DAYS, 7, 3, &weekday) &&
             (*p == ',' ? read_imf_fixdate(&p, &date) : read_asctime(&p, &date));
    }
    if (!ok || *skip_blanks(p) != '\0')
        return -1;
    /* Second 60 is a leap second; years before 1900 are nobody's. */
    if (date.year < 1900 || date.day < 1 || date.day > days_in_month(date.year, date.month) ||
        date.hour > 23 || date.minute > 59 || date.second > 60)
        return -1;

    int64_t days = days_from_date(date.year, date.month, date.day);
    *ret_unix = days * 86400 + (int64_t)date.hour * 3600 + (int64_t)date.minute * 60 + date.second;
    return 0;
}

int64_t retry_after_value_ms(const char *value, int64_t now_unix)
{
    int64_t ms = retry_after_number_ms(value, 1000);
    if (ms >= 0)
        return ms;
    int64_t date = 0;
    if (http_date_parse(value, now_unix, &date) < 0)
        return -1;
    if (date <= now_unix)
        return 0;
    int64_t seconds = date - now_unix;
    return seconds > RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS : seconds * 1000;
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
    return value != NULL ? retry_after_value_ms(value, now_unix) : -1;
}
