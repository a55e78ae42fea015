/*
 * header_check.c - checks that a block of HTTP/2 header fields is well-formed.
 */
#include "common/grpc/header_check.h"

#include <string.h>
#include <strings.h>

#include "common/grpc/metadata.h"

enum {
    PSEUDO_METHOD = 1 << 0,
    PSEUDO_SCHEME = 1 << 1,
    PSEUDO_AUTHORITY = 1 << 2,
    PSEUDO_PATH = 1 << 3,
    PSEUDO_STATUS = 1 << 4,
};

/* With its length: each field is compared with several names. */
struct header_name {
    const char *text;
    size_t len;
};
#define HEADER_NAME(text)                                                                                    \
    {                                                                                                        \
        (text), sizeof(text) - 1                                                                             \
    }

static bool is_name(const char *name, size_t len, const struct header_name *other)
{
    return len == other->len && memcmp(name, other->text, len) == 0;
}

/* RFC 9110, section 5.6.2 (token), without upper case: RFC 9113, section 8.2.1. */
static bool name_valid(const char *name, size_t len)
{
    if (len == 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];

        if ((c >= 'a' && c <= 'z') || c == '-')
            continue; /* nearly all there are */
        if (c <= 0x20 || c >= 0x7f || (c >= 'A' && c <= 'Z') || strchr("\"(),/:;<=>?@[\\]{}", c) != NULL)
            return false;
    }
    return true;
}

/* RFC 9113, section 8.2.1: no NUL, LF or CR anywhere. */
static bool value_valid(const char *value, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (value[i] == '\0' || value[i] == '\n' || value[i] == '\r')
            return false;
    }
    return true;
}

static bool pseudo_valid(struct header_check *check, const char *name, size_t len)
{
    static const struct {
        struct header_name name;
        enum header_block kind;
        uint32_t bit;
    } known[] = {
        {HEADER_NAME(":method"), HEADER_BLOCK_REQUEST, PSEUDO_METHOD},
        {HEADER_NAME(":scheme"), HEADER_BLOCK_REQUEST, PSEUDO_SCHEME},
        {HEADER_NAME(":authority"), HEADER_BLOCK_REQUEST, PSEUDO_AUTHORITY},
        {HEADER_NAME(":path"), HEADER_BLOCK_REQUEST, PSEUDO_PATH},
        {HEADER_NAME(":status"), HEADER_BLOCK_RESPONSE, PSEUDO_STATUS},
    };

    if (check->regular_seen)
        return false;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].kind != check->kind || !is_name(name, len, &known[i].name))
            continue;
        if (check->pseudo_seen & known[i].bit)
            return false;
        check->pseudo_seen |= known[i].bit;
        return true;
    }
    return false;
}

static bool content_length_valid(struct header_check *check, const char *value, size_t len)
{
    uint64_t number = 0;

    if (len == 0 || len > 18) /* 18 digits always fit */
        return false;
    for (size_t i = 0; i < len; i++) {
        if (value[i] < '0' || value[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(value[i] - '0');
    }
    if (check->has_content_length && check->content_length != number)
        return false;
    check->has_content_length = true;
    check->content_length = number;
    return true;
}

/* RFC 9113, section 8.2.2: fields of the HTTP/1.1 connection have no place here. */
static bool regular_valid(struct header_check *check, const char *name, size_t name_len, const char *value,
                          size_t value_len)
{
    static const struct header_name forbidden[] = {HEADER_NAME("connection"), HEADER_NAME("keep-alive"),
                                                   HEADER_NAME("proxy-connection"),
                                                   HEADER_NAME("transfer-encoding"), HEADER_NAME("upgrade")};

    check->regular_seen = true;
    if (!name_valid(name, name_len))
        return false;
    for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
        if (is_name(name, name_len, &forbidden[i]))
            return false;
    }
    if (metadata_equal(name, name_len, "te"))
        return value_len == strlen("trailers") && strncasecmp(value, "trailers", value_len) == 0;
    if (metadata_equal(name, name_len, "content-length"))
        return content_length_valid(check, value, value_len);
    return true;
}

void header_check_init(struct header_check *check, enum header_block kind, size_t max)
{
    *check = (struct header_check){.kind = kind, .max = max};
}

bool header_check_field(struct header_check *check, const char *name, size_t name_len, const char *value,
                        size_t value_len)
{
    if (check->malformed || header_check_too_large(check))
        return false;
    check->size += name_len + value_len + 32; /* small numbers: each is bounded by HEADER_FIELD_MAX */
    if (header_check_too_large(check))
        return false;
    if (!value_valid(value, value_len))
        check->malformed = true;
    else if (name_len > 0 && name[0] == ':')
        check->malformed = !pseudo_valid(check, name, name_len);
    else
        check->malformed = !regular_valid(check, name, name_len, value, value_len);
    return !check->malformed;
}

bool header_check_complete(const struct header_check *check)
{
    uint32_t required = 0;

    if (check->kind == HEADER_BLOCK_REQUEST)
        required = PSEUDO_METHOD | PSEUDO_PATH;
    else if (check->kind == HEADER_BLOCK_RESPONSE)
        required = PSEUDO_STATUS;
    return !check->malformed && (check->pseudo_seen & required) == required;
}

bool header_check_too_large(const struct header_check *check)
{
    return check->size > check->max;
}
