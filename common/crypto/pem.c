/*
 * pem.c - writing and finding PEM blocks.
 */
#include "common/crypto/pem.h"

#include <stdint.h>
#include <string.h>

#include "common/crypto/encoding.h"

int pem_append(struct buffer *out, const char *label, const void *der, size_t len, struct error **err)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *bytes = der;

    if (buffer_printf(out, err, "-----BEGIN %s-----\n", label) < 0)
        return -1;
    for (size_t line = 0; line < len; line += 48) { /* 48 bytes make 64 characters */
        char text[65];
        size_t n = 0;
        size_t end = len - line < 48 ? len : line + 48;
        for (size_t i = line; i < end; i += 3) {
            size_t have = end - i < 3 ? end - i : 3;
            unsigned group = (unsigned)bytes[i] << 16 | (have > 1 ? (unsigned)bytes[i + 1] << 8 : 0) |
                             (have > 2 ? (unsigned)bytes[i + 2] : 0);
            text[n++] = alphabet[group >> 18];
            text[n++] = alphabet[group >> 12 & 63];
            text[n++] = have > 1 ? alphabet[group >> 6 & 63] : '=';
            text[n++] = have > 2 ? alphabet[group & 63] : '=';
        }
        text[n++] = '\n';
        int appended = buffer_append(out, text, n, err);
        secret_wipe(text, sizeof(text));
        if (appended < 0)
            return -1;
    }
    return buffer_printf(out, err, "-----END %s-----\n", label);
}

/* The rest of a label's line must be "-----". Returns the label's length, 0 when this is no such line. */
static size_t label_len(const char *label, const char *end)
{
    static const char dashes[] = "-----";
    const char *stop = memmem(label, (size_t)(end - label), dashes, sizeof(dashes) - 1);
    const char *line_end = memchr(label, '\n', (size_t)(end - label));
    if (stop == NULL || (line_end != NULL && line_end < stop))
        return 0;
    return (size_t)(stop - label);
}

bool pem_next(const char **at, const char *end, struct pem_block *ret)
{
    static const char begin[] = "-----BEGIN ", finish[] = "-----END ", dashes[] = "-----";
    const char *start = NULL, *stop = NULL;
    while ((start = memmem(*at, (size_t)(end - *at), begin, sizeof(begin) - 1)) != NULL) {
        const char *label = start + sizeof(begin) - 1;
        *at = label;
        size_t len = label_len(label, end);
        if (len == 0)
            continue;
        const char *body = label + len + sizeof(dashes) - 1;
        if (stop == NULL || stop < body)
            stop = memmem(body, (size_t)(end - body), finish, sizeof(finish) - 1);
        if (stop == NULL)
            return false;
        if (memmem(body, (size_t)(stop - body), begin, sizeof(begin) - 1) != NULL)
            continue; /* this one is cut off: the end belongs to one that begins within it */
        const char *behind = stop + sizeof(finish) - 1;
        if (label_len(behind, end) != len || memcmp(behind, label, len) != 0)
            continue;
        behind += len + sizeof(dashes) - 1;
        *ret = (struct pem_block){
            .label = label,
            .label_len = len,
            .body = body,
            .body_len = (size_t)(stop - body),
            .whole = start,
            .whole_len = (size_t)(behind - start),
        };
        *at = behind;
        return true;
    }
    return false;
}

/* The length of white space at `text`, also of an escape that stands for it. */
static size_t white_space(const char *text, size_t len)
{
    if (*text == ' ' || (*text >= '\t' && *text <= '\r'))
        return 1;
    return len > 1 && *text == '\\' && (text[1] == 'n' || text[1] == 'r' || text[1] == 't') ? 2 : 0;
}

struct secret *pem_decode(const char *body, size_t len, struct error **err)
{
    cleanup_secret struct secret *squeezed = secret_create(len);
    size_t kept = 0;
    if (squeezed == NULL) {
        (void)error_no_memory(err, "PEM");
        return NULL;
    }
    char *out = (char *)secret_data(squeezed);
    for (size_t i = 0; i < len;) {
        size_t skip = white_space(body + i, len - i);
        if (skip == 0)
            out[kept++] = body[i++];
        i += skip;
    }
    return base64_decode(out, kept, err);
}

/* True when nothing but blanks comes before the end of the line. */
static bool ends_line(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at < end && (*at == '\n' || (*at == '\r' && end - at > 1 && at[1] == '\n'));
}

bool pem_lines_lost(const struct pem_block *block)
{
    const char *end = block->body + block->body_len;
    return block->body_len == 0 || !ends_line(block->body, end) || end[-1] != '\n' ||
           memchr(block->body, '\\', block->body_len) != NULL;
}
