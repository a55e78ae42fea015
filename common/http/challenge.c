/*
 * challenge.c - parses WWW-Authenticate.
 *
 * The grammar has one catch: a comma separates parameters and challenges alike. After a comma, "token ="
 * continues the challenge and "token" followed by anything else starts the next one.
 */
#include "common/http/challenge.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static const char *skip_blanks(const char *p)
{
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

/* Empty list elements are allowed: ", ,". */
static const char *skip_commas(const char *p)
{
    for (;;) {
        p = skip_blanks(p);
        if (*p != ',')
            return p;
        p++;
    }
}

static size_t token_len(const char *p)
{
    size_t n = 0;
    while (is_token_char(p[n]))
        n++;
    return n;
}

/* Of a quoted string (RFC 9110, 5.6.4). A tab is allowed there, but nothing that Azure sends has one, and all
 * texts go into errors. */
static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

/* Reads a token or a quoted string at *p. Returns the unescaped text in a new block, NULL if there is none,
 * it has a control character, or memory lacks. */
static char *read_value(const char **p)
{
    const char *s = *p;
    if (*s != '"') {
        size_t n = token_len(s);
        if (n == 0)
            return NULL;
        *p = s + n;
        return strndup(s, n);
    }

    s++;
    char *text = malloc(strlen(s) + 1);
    if (text == NULL)
        return NULL;
    size_t n = 0;
    while (*s != '"') {
        if (*s == '\\')
            s++;
        if (is_control(*s)) { /* the end, too: the closing quote is missing */
            free(text);
            return NULL;
        }
        text[n++] = *s++;
    }
    text[n] = '\0';
    *p = s + 1;
    return text;
}

static char **slot_of(struct http_challenge *challenge, const char *name, size_t len)
{
    const struct {
        const char *name;
        char **slot;
    } known[] = {
        {"authorization", &challenge->authorization},
        {"authorization_uri", &challenge->authorization}, /* of Azure Resource Manager */
        {"resource", &challenge->resource},
        {"resource_id", &challenge->resource},
        {"scope", &challenge->scope},
        {"claims", &challenge->claims},
        {"error", &challenge->error},
    };
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (strlen(known[i].name) == len && strncasecmp(known[i].name, name, len) == 0)
            return known[i].slot;
    }
    return NULL;
}

/* One "name = value" at *p. Returns 1 when read, 0 when there is no parameter here (a scheme or the end), -1
 * when it is broken. */
static int read_param(const char **p, struct http_challenge *challenge)
{
    size_t name_len = token_len(*p);
    const char *s = skip_blanks(*p + name_len);
    if (name_len == 0 || *s != '=')
        return 0;
    const char *name = *p;
    s = skip_blanks(s + 1);
    char *value = read_value(&s);
    if (value == NULL)
        return -1;

    char **slot = challenge != NULL ? slot_of(challenge, name, name_len) : NULL;
    if (slot != NULL && *slot == NULL)
        *slot = value;
    else
        free(value);
    *p = s;
    return 1;
}

/* token68 ("Negotiate YII...=="): characters of base64 with '=' only at the end, then the end of the
 * challenge. */
static const char *skip_token68(const char *p)
{
    const char *s = p;
    while (is_token_char(*s) || *s == '/')
        s++;
    if (s == p)
        return p;
    while (*s == '=')
        s++;
    const char *after = skip_blanks(s);
    return *after == ',' || *after == '\0' ? after : p;
}

/* The parameters of one challenge, from behind its scheme to the next scheme or the end. `challenge` NULL:
 * only skip them. */
static int read_params(const char **p, struct http_challenge *challenge)
{
    const char *s = skip_blanks(*p);
    const char *after = skip_token68(s);
    if (after != s) {
        *p = skip_commas(after);
        return 0;
    }
    for (;;) {
        s = skip_commas(s);
        int got = read_param(&s, challenge);
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        s = skip_blanks(s);
        if (*s != ',' && *s != '\0')
            return -1;
    }
    *p = s;
    return 0;
}

int http_challenge_parse(const char *value, struct http_challenge *ret_challenge, struct error **err)
{
    if (strnlen(value, HTTP_CHALLENGE_MAX_BYTES + 1) > HTTP_CHALLENGE_MAX_BYTES)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "WWW-Authenticate header is longer than %d bytes",
                         HTTP_CHALLENGE_MAX_BYTES);

    cleanup_http_challenge struct http_challenge found = {0};
    const char *p = skip_commas(value);
    while (*p != '\0') {
        size_t scheme_len = token_len(p);
        const char *after = p + scheme_len;
        if (scheme_len == 0 || (*after != ' ' && *after != ',' && *after != '\0'))
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "malformed WWW-Authenticate header");
        bool bearer = scheme_len == 6 && strncasecmp(p, "Bearer", 6) == 0;
        p = after;
        if (read_params(&p, bearer ? &found : NULL) < 0)
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "malformed WWW-Authenticate header");
        if (bearer) {
            *ret_challenge = found;
            found = (struct http_challenge){0};
            return 0;
        }
    }
    return error_set(err, GRPC_STATUS_NOT_FOUND, "no Bearer challenge in the WWW-Authenticate header");
}

void http_challenge_finish(struct http_challenge *challenge)
{
    free(challenge->authorization);
    free(challenge->resource);
    free(challenge->scope);
    free(challenge->claims);
    free(challenge->error);
    *challenge = (struct http_challenge){0};
}
