/*
 * metadata.c - values of gRPC's own header fields.
 */
#include "common/grpc/metadata.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/decimal.h"
#include "common/base/utf8.h"
#include "common/crypto/encoding.h"

enum { TIMEOUT_DIGITS_MAX = 8, PUSHBACK_DIGITS_MAX = 10 };

int metadata_parse_timeout(const char *value, size_t len, uint64_t *ret_ns)
{
    uint64_t number = 0;
    uint64_t unit_ns = 0;

    if (len < 2 || len > TIMEOUT_DIGITS_MAX + 1)
        return -1;
    for (size_t i = 0; i + 1 < len; i++) {
        if (value[i] < '0' || value[i] > '9')
            return -1;
        number = number * 10 + (uint64_t)(value[i] - '0');
    }
    switch (value[len - 1]) {
    case 'H':
        unit_ns = 3600000000000U;
        break;
    case 'M':
        unit_ns = 60000000000U;
        break;
    case 'S':
        unit_ns = 1000000000U;
        break;
    case 'm':
        unit_ns = 1000000U;
        break;
    case 'u':
        unit_ns = 1000U;
        break;
    case 'n':
        unit_ns = 1U;
        break;
    default:
        return -1;
    }
    if (__builtin_mul_overflow(number, unit_ns, ret_ns))
        *ret_ns = UINT64_MAX;
    return 0;
}

void metadata_format_timeout(uint64_t timeout_ms, char out[METADATA_TIMEOUT_MAX])
{
    static const struct {
        uint64_t ms;
        char unit;
    } units[] = {{1, 'm'}, {1000, 'S'}, {60000, 'M'}, {3600000, 'H'}};
    const uint64_t most = 99999999;
    char unit = 'H';
    uint64_t number = most;
    size_t len;

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        uint64_t rounded = timeout_ms / units[i].ms + (timeout_ms % units[i].ms != 0);

        if (rounded <= most) {
            number = rounded;
            unit = units[i].unit;
            break;
        }
    }
    len = decimal_write(out, number, 0, '0');
    out[len] = unit;
    out[len + 1] = '\0';
}

bool metadata_content_type_is_grpc(const char *value, size_t len)
{
    static const char type[] = "application/grpc";
    const size_t type_len = sizeof(type) - 1;

    if (len < type_len || strncasecmp(value, type, type_len) != 0)
        return false;
    return len == type_len || value[type_len] == '+' || value[type_len] == ';';
}

int metadata_parse_status(const char *value, size_t len, enum grpc_status *ret_status)
{
    unsigned number = 0;

    if (len == 0 || len > 9)
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (value[i] < '0' || value[i] > '9')
            return -1;
        number = number * 10 + (unsigned)(value[i] - '0');
    }
    *ret_status = number <= GRPC_STATUS_UNAUTHENTICATED ? (enum grpc_status)number : GRPC_STATUS_UNKNOWN;
    return 0;
}

struct grpc_pushback metadata_parse_pushback(const char *value, size_t len)
{
    const struct grpc_pushback no_retry = {.kind = GRPC_PUSHBACK_NO_RETRY};
    uint64_t number = 0;

    if (len == 0 || len > PUSHBACK_DIGITS_MAX || (value[0] == '0' && len > 1))
        return no_retry;
    for (size_t i = 0; i < len; i++) {
        if (value[i] < '0' || value[i] > '9')
            return no_retry; /* negative numbers, too */
        number = number * 10 + (uint64_t)(value[i] - '0');
    }
    if (number > INT32_MAX)
        return no_retry;
    return (struct grpc_pushback){.kind = GRPC_PUSHBACK_AFTER, .pause_ms = (uint32_t)number};
}

static bool is_plain(char c)
{
    return c >= 0x20 && c <= 0x7e && c != '%';
}

/* How many bytes of `text` fit METADATA_MESSAGE_MAX when encoded. */
static size_t fitting_len(const char *text)
{
    size_t encoded = 0;
    size_t len = 0;

    for (; text[len] != '\0'; len++) {
        encoded += is_plain(text[len]) ? 1 : 3;
        if (encoded > METADATA_MESSAGE_MAX)
            return utf8_floor(text, len);
    }
    return len;
}

char *metadata_encode_message(const char *message)
{
    static const char hex[] = "0123456789ABCDEF";
    char *text = strdup(message);
    char *encoded = NULL;
    char *out;
    size_t len;

    if (text == NULL)
        return NULL;
    utf8_sanitize(text);
    len = fitting_len(text);
    encoded = malloc(len * 3 + 1);
    if (encoded == NULL) {
        free(text);
        return NULL;
    }
    out = encoded;
    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];

        if (is_plain(text[i])) {
            *out++ = text[i];
        } else {
            *out++ = '%';
            *out++ = hex[byte >> 4];
            *out++ = hex[byte & 15];
        }
    }
    *out = '\0';
    free(text);
    return encoded;
}

char *metadata_decode_message(const char *value, size_t len)
{
    char *text = malloc(len + 1);
    size_t n = 0;

    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        char c = value[i];

        if (c == '%' && len - i > 2 && hex_digit(value[i + 1]) != HEX_NO_DIGIT &&
            hex_digit(value[i + 2]) != HEX_NO_DIGIT) {
            unsigned byte = hex_digit(value[i + 1]) << 4 | hex_digit(value[i + 2]);

            ((unsigned char *)text)[n++] = byte == 0 ? '?' : (unsigned char)byte;
            i += 2;
            continue;
        }
        if (c == '\0')
            c = '?';
        text[n++] = c;
    }
    text[n] = '\0';
    utf8_sanitize(text);
    return text;
}

/* https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md */
enum grpc_status metadata_status_from_http(unsigned http_status)
{
    switch (http_status) {
    case 400:
        return GRPC_STATUS_INTERNAL;
    case 401:
        return GRPC_STATUS_UNAUTHENTICATED;
    case 403:
        return GRPC_STATUS_PERMISSION_DENIED;
    case 404:
        return GRPC_STATUS_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_STATUS_UNAVAILABLE;
    default:
        return GRPC_STATUS_UNKNOWN;
    }
}

enum grpc_status metadata_status_from_http2(uint32_t error_code)
{
    switch (error_code) {
    case NGHTTP2_REFUSED_STREAM:
        return GRPC_STATUS_UNAVAILABLE;
    case NGHTTP2_CANCEL:
        return GRPC_STATUS_CANCELLED;
    case NGHTTP2_FLOW_CONTROL_ERROR:
    case NGHTTP2_ENHANCE_YOUR_CALM:
        return GRPC_STATUS_RESOURCE_EXHAUSTED;
    case NGHTTP2_INADEQUATE_SECURITY:
        return GRPC_STATUS_PERMISSION_DENIED;
    default:
        return GRPC_STATUS_INTERNAL;
    }
}
