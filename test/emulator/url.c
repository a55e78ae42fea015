/*
 * url.c - see url.h.
 */
#include "test/emulator/url.h"

#include <ctype.h>
#include <errno.h>
#include <strings.h>

#include "test/emulator/memory.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int decode_in_place(char *text, bool plus_is_space)
{
    char *out = text;
    for (const char *in = text; *in != '\0'; in++) {
        if (*in == '+' && plus_is_space) {
            *out++ = ' ';
        } else if (*in == '%') {
            int high = hex_value(in[1]);
            int low = high < 0 ? -1 : hex_value(in[2]);
            if (low < 0 || (high == 0 && low == 0))
                return -1;
            *out++ = (char)(high * 16 + low);
            in += 2;
        } else {
            *out++ = *in;
        }
    }
    *out = '\0';
    return 0;
}

int params_parse(struct params *params, char *text)
{
    params->n = 0;
    while (text != NULL && *text != '\0' && params->n < URL_MAX_PARAMS) {
        char *name = strsep(&text, "&");
        if (*name == '\0')
            continue;
        char *value = strchr(name, '=');
        if (value != NULL)
            *value++ = '\0';
        else
            value = name + strlen(name);
        if (decode_in_place(name, true) != 0 || decode_in_place(value, true) != 0)
            return -1;
        params->items[params->n].name = name;
        params->items[params->n].value = value;
        params->n++;
    }
    return 0;
}

const char *params_get(const struct params *params, const char *name)
{
    for (size_t i = 0; i < params->n; i++)
        if (strcmp(params->items[i].name, name) == 0)
            return params->items[i].value;
    return NULL;
}

int params_get_int(const struct params *params, const char *name, long min, long max, long *ret)
{
    const char *text = params_get(params, name);
    if (text == NULL)
        return 0;
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
        return -1;
    *ret = value;
    return 1;
}

int url_parse(struct url *url, const char *target)
{
    *url = (struct url){.storage = xstrdup(target)};
    char *path = url->storage;
    char *query = strchr(path, '?');
    if (query != NULL)
        *query++ = '\0';
    if (*path == '/')
        path++;
    while (path != NULL) {
        char *segment = strsep(&path, "/");
        if (url->n == URL_MAX_SEGMENTS || decode_in_place(segment, false) != 0)
            return -1;
        url->segments[url->n++] = segment;
    }
    return params_parse(&url->query, query);
}

void url_finish(struct url *url)
{
    free(url->storage);
    *url = (struct url){0};
}

void url_append_safe(struct text *out, const char *target)
{
    static const char *const hidden[] = {"client_secret=", "client_assertion=", "access_token="};
    const char *query = strchr(target, '?');
    if (query == NULL) {
        text_append(out, target);
        return;
    }
    text_append_bytes(out, target, (size_t)(query - target));
    for (const char *item = query; *item != '\0';) {
        size_t len = 1 + strcspn(item + 1, "&"); /* with its leading '?' or '&' */
        size_t shown = len;
        for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
            if (strncmp(item + 1, hidden[i], strlen(hidden[i])) == 0)
                shown = 1 + strlen(hidden[i]);
        text_append_bytes(out, item, shown);
        if (shown != len)
            text_append(out, "***");
        item += len;
    }
}
