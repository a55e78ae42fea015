/*
 * compose_format.c - pairs as the text of a file.
 */
#include "provider-azure/content/compose_format.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/secret.h"
#include "common/base/yaml_write.h"

/* Bytes of KEY=value that docker reads: its buffer of 64 KiB holds the line break as well (bufio.Scanner). */
enum { DOCKER_LINE_MAX = 64 * 1024 - 1 };

static int unfit(const struct compose_pair *pair, const char *why, struct error **err)
{
    return error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "key '%.128s': %s", pair->key, why);
}

/* The character at *at, which is well-formed UTF-8. */
static uint32_t take_character(const char **at)
{
    const unsigned char *c = (const unsigned char *)*at;
    size_t more = c[0] < 0x80 ? 0 : c[0] < 0xe0 ? 1 : c[0] < 0xf0 ? 2 : 3;
    uint32_t value = more == 0 ? c[0] : (uint32_t)(c[0] & (0x3f >> more));
    for (size_t i = 1; i <= more; i++)
        value = value << 6 | (c[i] & 0x3f);
    *at += more + 1;
    return value;
}

/* --- env, docker-env --- */

static bool is_variable_name(const char *key)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
    size_t first = strspn(key, letters);
    return first > 0 &&
           key[first + strspn(key + first,
                              "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789")] == '\0';
}

static bool is_bare(const struct compose_pair *pair)
{
    static const char harmless[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:@%+,=-";
    return strspn(pair->text, harmless) == pair->len;
}

/* systemd takes those for malformed UTF-8: U+FDD0 to U+FDEF, and the last two of each plane. */
static bool has_noncharacter(const char *text)
{
    while (*text != '\0') {
        uint32_t c = take_character(&text);
        if ((c >= 0xfdd0 && c <= 0xfdef) || (c & 0xfffe) == 0xfffe)
            return true;
    }
    return false;
}

/* The characters that a backslash makes literal between double quotes, in sh as in systemd. */
static int append_quoted(const struct compose_pair *pair, struct buffer *out, struct error **err)
{
    if (buffer_append(out, "\"", 1, err) < 0)
        return -1;
    for (const char *at = pair->text; *at != '\0';) {
        size_t plain = strcspn(at, "\"\\`$");
        if (buffer_append(out, at, plain, err) < 0)
            return -1;
        at += plain;
        if (*at != '\0' && (buffer_append(out, "\\", 1, err) < 0 || buffer_append(out, at++, 1, err) < 0))
            return -1;
    }
    return buffer_append(out, "\"", 1, err);
}

static int append_env(const struct compose_pair *pair, struct buffer *out, struct error **err)
{
    if (!is_variable_name(pair->key))
        return unfit(pair, "no name of an environment variable (letters, digits, '_')", err);
    if (has_noncharacter(pair->text))
        return unfit(
            pair, "a Unicode noncharacter, for which systemd refuses the file: use the function base64", err);
    if (buffer_append_str(out, pair->key, err) < 0 || buffer_append(out, "=", 1, err) < 0 ||
        (is_bare(pair) ? buffer_append(out, pair->text, pair->len, err) : append_quoted(pair, out, err)) < 0)
        return -1;
    return buffer_append(out, "\n", 1, err);
}

static int append_docker_env(const struct compose_pair *pair, struct buffer *out, struct error **err)
{
    if (!is_variable_name(pair->key))
        return unfit(pair, "no name of an environment variable (letters, digits, '_')", err);
    if (strchr(pair->text, '\n') != NULL)
        return unfit(
            pair, "a line break, which docker's format cannot hold: use the function base64, or format: env",
            err);
    if (pair->len > 0 && pair->text[pair->len - 1] == '\r')
        return unfit(
            pair, "a carriage return at the end, which docker drops: use the function base64, or format: env",
            err);
    if (strlen(pair->key) + 1 + pair->len > DOCKER_LINE_MAX)
        return unfit(pair, "longer than a line that docker reads (65535 bytes): use format: env", err);
    if (buffer_append_str(out, pair->key, err) < 0 || buffer_append(out, "=", 1, err) < 0 ||
        buffer_append(out, pair->text, pair->len, err) < 0)
        return -1;
    return buffer_append(out, "\n", 1, err);
}

/* --- properties --- */

static int append_unit(uint32_t unit, struct buffer *out, struct error **err)
{
    return buffer_printf(out, err, "\\u%04x", (unsigned)unit);
}

static int append_property_character(uint32_t c, bool escape_blank, struct buffer *out, struct error **err)
{
    char plain = (char)c;
    if (c > 0xffff) {
        c -= 0x10000;
        return append_unit(0xd800 + (c >> 10), out, err) < 0 ? -1
                                                             : append_unit(0xdc00 + (c & 0x3ff), out, err);
    }
    if (c < 0x20 || c > 0x7e)
        return append_unit(c, out, err);
    if ((c == ' ' ? escape_blank : strchr("\\:=#!", (int)c) != NULL) && buffer_append(out, "\\", 1, err) < 0)
        return -1;
    return buffer_append(out, &plain, 1, err);
}

static int append_property_text(const char *text, bool is_key, struct buffer *out, struct error **err)
{
    bool leading = true;
    while (*text != '\0') {
        uint32_t c = take_character(&text);
        leading = leading && c == ' ';
        if (append_property_character(c, is_key || leading, out, err) < 0)
            return -1;
    }
    return 0;
}

static int append_property(const struct compose_pair *pair, struct buffer *out, struct error **err)
{
    if (*pair->key == '\0')
        return unfit(pair, "a key must not be empty", err);
    if (append_property_text(pair->key, /* is_key= */ true, out, err) < 0 ||
        buffer_append(out, "=", 1, err) < 0 || append_property_text(pair->text, false, out, err) < 0)
        return -1;
    return buffer_append(out, "\n", 1, err);
}

/* --- json --- */

int compose_json_string(const char *text, struct buffer *out, struct error **err)
{
    cleanup_json cJSON *json = cJSON_CreateString(text);
    cleanup_secret_free char *printed = json == NULL ? NULL : json_print(json, err);
    if (json == NULL)
        return error_no_memory(err, NULL);
    return printed == NULL ? -1 : buffer_append_str(out, printed, err);
}

static int append_json(const struct compose_pair *pairs, size_t n, struct buffer *out, struct error **err)
{
    if (buffer_append(out, "{", 1, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (buffer_append_str(out, i > 0 ? ",\n " : "\n ", err) < 0 ||
            compose_json_string(pairs[i].key, out, err) < 0 || buffer_append_str(out, ": ", err) < 0 ||
            compose_json_string(pairs[i].text, out, err) < 0)
            return -1;
    }
    return buffer_append_str(out, "\n}\n", err);
}

/* --- yaml --- */

static int append_yaml(const struct compose_pair *pairs, size_t n, struct buffer *out, struct error **err)
{
    cleanup_free struct yaml_pair *copies = calloc(n + 1, sizeof(*copies));
    if (copies == NULL)
        return error_no_memory(err, NULL);
    for (size_t i = 0; i < n; i++)
        copies[i] = (struct yaml_pair){.key = pairs[i].key, .text = pairs[i].text, .len = pairs[i].len};
    return yaml_write_mapping(copies, n, out, err);
}

int compose_format_append(enum composed_format format, const struct compose_pair *pairs, size_t n,
                          struct buffer *out, struct error **err)
{
    int (*append)(const struct compose_pair *pair, struct buffer *out, struct error **err) =
        format == COMPOSED_ENV          ? append_env
        : format == COMPOSED_DOCKER_ENV ? append_docker_env
                                        : append_property;
    if (format == COMPOSED_JSON)
        return append_json(pairs, n, out, err);
    if (format == COMPOSED_YAML)
        return append_yaml(pairs, n, out, err);
    for (size_t i = 0; i < n; i++)
        if (append(&pairs[i], out, err) < 0)
            return -1;
    return 0;
}
