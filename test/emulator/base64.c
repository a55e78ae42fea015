/*
 * base64.c - see base64.h.
 */
#include "test/emulator/base64.h"

#include <stdint.h>
#include <string.h>

#include "test/emulator/memory.h"

static char *encode(const void *data, size_t len, const char *tail, bool padded)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const unsigned char *bytes = data;
    char *out = xcalloc((len + 2) / 3 * 4 + 1, 1);
    size_t o = 0;
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)bytes[i] << 16;
        bits |= n > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        bits |= n > 2 ? bytes[i + 2] : 0;
        for (size_t k = 0; k < 4; k++) {
            uint32_t digit = (bits >> (18 - 6 * k)) & 63;
            if (k <= n)
                out[o++] = *(digit < 62 ? letters + digit : tail + digit - 62);
            else if (padded)
                out[o++] = '=';
        }
    }
    return out;
}

char *base64_encode(const void *bytes, size_t len)
{
    return encode(bytes, len, "+/", true);
}

char *base64url_encode(const void *bytes, size_t len)
{
    return encode(bytes, len, "-_", false);
}

static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    return c == '/' || c == '_' ? 63 : -1;
}

char *base64_decode(const char *text, size_t *ret_len)
{
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == '=')
        len--;
    if (len % 4 == 1)
        return NULL;
    char *out = xcalloc(len * 3 / 4 + 1, 1);
    size_t o = 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < len; i++) {
        int digit = digit_value(text[i]);
        if (digit < 0) {
            free(out);
            return NULL;
        }
        bits = (bits << 6) | (uint32_t)digit;
        if (i % 4 != 0)
            out[o++] = (char)(bits >> (6 - 2 * (i % 4)) & 0xff);
    }
    *ret_len = o;
    return out;
}

bool base64_is_standard(const char *text)
{
    size_t len = strlen(text);
    size_t padding = strspn(text + strcspn(text, "="), "=");
    if (len % 4 != 0 || padding > 2 || strcspn(text, "=") + padding != len || strpbrk(text, "-_") != NULL)
        return false;
    size_t decoded_len;
    char *decoded = base64_decode(text, &decoded_len);
    free(decoded);
    return decoded != NULL;
}
