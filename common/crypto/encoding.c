/*
 * encoding.c - base64, base64url and hex.
 */
#include "common/crypto/encoding.h"

#include <mbedtls/base64.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static int sextet(char c, bool url)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == (url ? '-' : '+'))
        return 62;
    if (c == (url ? '_' : '/'))
        return 63;
    return -1;
}

static int illegal_base64(size_t at, struct error **err)
{
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "illegal base64 data at input byte %zu", at);
}

static size_t skip_newlines(const char *text, size_t len, size_t at)
{
    while (at < len && (text[at] == '\n' || text[at] == '\r'))
        at++;
    return at;
}

/* Reads one group of up to four characters from text[*at]. Returns the number of bytes it stands for, 0 at
 * the end of the text, -1 with err set. *last is set when padding ended the text. The byte offsets in errors
 * are those Go reports. */
static int read_group(const char *text, size_t len, size_t *at, uint8_t out[3], bool *last,
                      struct error **err)
{
    int values[4] = {0};
    int n = 0;
    size_t i = *at;

    while (n < 4) {
        if (i == len) {
            if (n == 0) {
                *at = i;
                return 0;
            }
            return illegal_base64(i - (size_t)n, err);
        }
        char c = text[i++];
        int value = sextet(c, /* url= */ false);
        if (value >= 0) {
            values[n++] = value;
            continue;
        }
        if (c == '\n' || c == '\r')
            continue;
        if (c != '=' || n < 2)
            return illegal_base64(i - 1, err);
        if (n == 2) { /* a second '=' must follow */
            i = skip_newlines(text, len, i);
            if (i == len)
                return illegal_base64(len, err);
            if (text[i] != '=')
                return illegal_base64(i - 1, err);
            i++;
        }
        i = skip_newlines(text, len, i);
        if (i < len)
            return illegal_base64(i, err);
        *last = true;
        break;
    }
    *at = i;
    out[0] = (uint8_t)(values[0] << 2 | values[1] >> 4);
    out[1] = (uint8_t)(values[1] << 4 | values[2] >> 2);
    out[2] = (uint8_t)(values[2] << 6 | values[3]);
    return n - 1;
}

static struct secret *new_secret(size_t len, struct error **err)
{
    struct secret *secret = secret_create(len);
    if (secret == NULL)
        error_no_memory(err, /* what= */ NULL);
    return secret;
}

static int hint_at_pem(const char *text, size_t len, struct error **err)
{
    static const char begin[] = "-----BEGIN ";
    size_t at = skip_newlines(text, len, 0);

    if (err != NULL && len - at >= sizeof(begin) - 1 && memcmp(text + at, begin, sizeof(begin) - 1) == 0)
        return error_hint(err, "it is PEM, no base64");
    return -1;
}

struct secret *base64_decode(const char *text, size_t len, struct error **err)
{
    cleanup_secret struct secret *out = new_secret(len / 4 * 3 + 3, err);
    size_t written = 0;
    size_t at = 0;
    bool last = false;

    if (out == NULL)
        return NULL;
    while (!last) {
        uint8_t bytes[3] = {0};
        int n = read_group(text, len, &at, bytes, &last, err);
        if (n < 0) {
            (void)hint_at_pem(text, len, err);
            return NULL;
        }
        if (n == 0)
            break;
        for (int k = 0; k < n; k++)
            secret_data(out)[written++] = bytes[k];
    }
    secret_truncate(out, written);
    return steal_ptr(&out);
}

char *base64_encode(const void *bytes, size_t len)
{
    size_t size = (len + 2) / 3 * 4 + 1; /* the NUL included */
    char *text = secret_malloc(size);

    if (text == NULL)
        return NULL;
    if (mbedtls_base64_encode((unsigned char *)text, size, &size, bytes, len) != 0) { /* cannot happen */
        secret_free(text);
        return NULL;
    }
    text[size] = '\0';
    return text;
}

struct secret *base64url_decode(const char *text, size_t len, struct error **err)
{
    cleanup_secret struct secret *out = new_secret(len / 4 * 3 + 3, err);
    size_t written = 0;
    unsigned pending = 0;
    unsigned bits = 0;

    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        int value = sextet(text[i], /* url= */ true);
        if (value < 0) {
            illegal_base64(i, err);
            return NULL;
        }
        pending = (pending << 6 | (unsigned)value) & 0xFFFFFF;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            secret_data(out)[written++] = (uint8_t)(pending >> bits);
        }
    }
    if (bits == 6) { /* a single character left over */
        illegal_base64(len - 1, err);
        return NULL;
    }
    secret_truncate(out, written);
    return steal_ptr(&out);
}

int base64url_append(struct buffer *out, const void *bytes, size_t len, struct error **err)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const uint8_t *in = bytes;
    for (size_t i = 0; i < len; i += 3) {
        size_t have = len - i < 3 ? len - i : 3;
        unsigned group = (unsigned)in[i] << 16 | (have > 1 ? (unsigned)in[i + 1] << 8 : 0) |
                         (have > 2 ? (unsigned)in[i + 2] : 0);
        const char text[4] = {alphabet[group >> 18], alphabet[group >> 12 & 63], alphabet[group >> 6 & 63],
                              alphabet[group & 63]};
        if (buffer_append(out, text, have + 1, err) < 0)
            return -1;
    }
    return 0;
}

unsigned hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    return HEX_NO_DIGIT;
}

struct secret *hex_decode(const char *text, size_t len, struct error **err)
{
    cleanup_secret struct secret *out = new_secret(len / 2, err);
    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        unsigned value = hex_digit(text[i]);
        if (value == HEX_NO_DIGIT) {
            /* Go prints the byte itself; here it may be part of a secret, so the error has only its
             * offset. */
            error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "encoding/hex: invalid byte at offset %zu", i);
            return NULL;
        }
        if (i / 2 < len / 2)
            secret_data(out)[i / 2] = (uint8_t)((unsigned)secret_data(out)[i / 2] << 4 | value);
    }
    if (len % 2 != 0) {
        error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "encoding/hex: odd length hex string");
        return NULL;
    }
    return steal_ptr(&out);
}
