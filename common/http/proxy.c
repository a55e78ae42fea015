/*
 * proxy.c - proxy settings of the environment and the NO_PROXY rules.
 */
#include "common/http/proxy.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/cleanup.h"
#include "common/base/secret.h"

/* Between the rules of NO_PROXY. Line breaks are there where a YAML block scalar is the value. */
#define RULE_SEPARATORS ", \t\r\n\v\f"

/* An address as 16 bytes; IPv4 is mapped to ::ffff:a.b.c.d so that both families compare alike. */
struct address {
    uint8_t bytes[16];
    bool v4;
};

static bool address_parse(const char *text, struct address *ret_address)
{
    struct address a = {.v4 = false};
    if (inet_pton(AF_INET6, text, a.bytes) == 1) {
        static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
        a.v4 = memcmp(a.bytes, mapped, sizeof(mapped)) == 0;
        *ret_address = a;
        return true;
    }
    if (inet_pton(AF_INET, text, a.bytes + 12) == 1) {
        memset(a.bytes, 0, 10);
        a.bytes[10] = a.bytes[11] = 0xff;
        a.v4 = true;
        *ret_address = a;
        return true;
    }
    return false;
}

static bool address_in_network(const struct address *address, const struct address *network, unsigned bits)
{
    if (address->v4 != network->v4)
        return false;
    if (network->v4)
        bits += 96;
    for (unsigned i = 0; i < bits; i++) {
        uint8_t mask = (uint8_t)(0x80u >> (i % 8));
        if ((address->bytes[i / 8] & mask) != (network->bytes[i / 8] & mask))
            return false;
    }
    return true;
}

static bool ends_with_domain(const char *host, const char *domain)
{
    size_t host_len = strlen(host);
    size_t domain_len = strlen(domain);
    return host_len > domain_len + 1 && host[host_len - domain_len - 1] == '.' &&
           strcasecmp(host + host_len - domain_len, domain) == 0;
}

bool proxy_is_loopback(const char *host)
{
    if (strcasecmp(host, "localhost") == 0 || ends_with_domain(host, "localhost"))
        return true;
    struct address address;
    if (!address_parse(host, &address))
        return false;
    static const uint8_t v6_loopback[16] = {[15] = 1};
    return address.v4 ? address.bytes[12] == 127 : memcmp(address.bytes, v6_loopback, 16) == 0;
}

/* Reads a decimal number that fills `text`. */
static bool parse_number(const char *text, unsigned max, unsigned *ret_n)
{
    unsigned n = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        n = n * 10 + (unsigned)(*text - '0');
        if (n > max)
            return false;
    }
    *ret_n = n;
    return true;
}

/* Cuts ":port" off `rule`. A bare IPv6 address has several colons and no port. Returns false if there is a
 * port and it is another one. */
static bool strip_port(char *rule, unsigned port)
{
    char *colon = strrchr(rule, ':');
    if (rule[0] == '[') {
        char *bracket = strchr(rule, ']');
        if (bracket == NULL)
            return true;
        colon = bracket[1] == ':' ? bracket + 1 : NULL;
        *bracket = '\0';
        memmove(rule, rule + 1, strlen(rule)); /* the colon behind keeps its place */
    } else if (colon != NULL && strchr(rule, ':') != colon) {
        return true;
    }
    if (colon == NULL)
        return true;
    unsigned wanted = 0;
    bool valid = parse_number(colon + 1, 65535, &wanted);
    *colon = '\0';
    return valid && wanted == port;
}

static bool rule_matches(char *rule, const char *host, unsigned port)
{
    if (strcmp(rule, "*") == 0)
        return true;

    struct address address;
    bool host_is_address = address_parse(host, &address);
    char *slash = strchr(rule, '/');
    if (slash != NULL) {
        struct address network;
        unsigned bits = 0;
        *slash = '\0';
        return host_is_address && address_parse(rule, &network) &&
               parse_number(slash + 1, network.v4 ? 32 : 128, &bits) &&
               address_in_network(&address, &network, bits);
    }

    if (!strip_port(rule, port))
        return false;
    struct address rule_address;
    if (address_parse(rule, &rule_address))
        return host_is_address && memcmp(address.bytes, rule_address.bytes, 16) == 0;
    if (host_is_address || *rule == '\0')
        return false;
    if (strncmp(rule, "*.", 2) == 0)
        rule++;
    if (*rule == '.')
        return ends_with_domain(host, rule + 1);
    return strcasecmp(host, rule) == 0 || ends_with_domain(host, rule);
}

static bool is_excluded(const char *no_proxy, const char *host, unsigned port)
{
    const char *p = no_proxy;
    while (*p != '\0') {
        p += strspn(p, RULE_SEPARATORS);
        size_t len = strcspn(p, RULE_SEPARATORS);
        char rule[256]; /* longer than any host name; longer rules cannot match */
        if (len > 0 && len < sizeof(rule)) {
            memcpy(rule, p, len);
            rule[len] = '\0';
            if (rule_matches(rule, host, port))
                return true;
        }
        p += len;
    }
    return false;
}

const char *proxy_for(const struct proxy_settings *settings, bool https, const char *host, unsigned port)
{
    const char *proxy = https ? settings->https_proxy : settings->http_proxy;
    if (proxy == NULL || proxy_is_loopback(host))
        return NULL;
    if (settings->no_proxy != NULL && is_excluded(settings->no_proxy, host, port))
        return NULL;
    return proxy;
}

const char *proxy_variable(const struct proxy_settings *settings, const char *proxy)
{
    if (proxy == settings->https_proxy)
        return settings->https_variable;
    return proxy == settings->http_proxy ? settings->http_variable : NULL;
}

char *proxy_escape_user(const char *url)
{
    const char *scheme_end = strstr(url, "://");
    const char *user = scheme_end != NULL ? scheme_end + 3 : url;
    const char *end = memrchr(user, '@', strcspn(user, "/?#"));
    size_t n = 0;
    for (const char *p = user; end != NULL && p < end; p++)
        n += *p == '@';

    char *escaped = secret_malloc(strlen(url) + 2 * n + 1);
    char *to = escaped;
    if (escaped == NULL)
        return NULL;
    for (const char *p = url; *p != '\0'; p++) {
        if (*p == '@' && p >= user && p < end)
            to = stpcpy(to, "%40");
        else
            *to++ = *p;
    }
    *to = '\0';
    return escaped;
}

/* A copy of the first variable that is set and not empty, without blanks and line breaks at its ends. */
static int copy_env(const char *upper, const char *lower, char **ret_value, const char **ret_name)
{
    static const char blanks[] = " \t\r\n";
    const char *names[] = {upper, lower};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        const char *value = getenv(names[i]);
        if (value == NULL)
            continue;
        value += strspn(value, blanks);
        size_t len = strlen(value);
        while (len > 0 && strchr(blanks, value[len - 1]) != NULL)
            len--;
        if (len == 0)
            continue;
        *ret_value = strndup(value, len);
        *ret_name = names[i];
        return *ret_value == NULL ? -1 : 0;
    }
    return 0;
}

int proxy_settings_init(struct proxy_settings *settings)
{
    *settings = (struct proxy_settings){0};
    const char *no_proxy_variable = NULL;
    if (copy_env("HTTP_PROXY", "http_proxy", &settings->http_proxy, &settings->http_variable) < 0 ||
        copy_env("HTTPS_PROXY", "https_proxy", &settings->https_proxy, &settings->https_variable) < 0 ||
        copy_env("NO_PROXY", "no_proxy", &settings->no_proxy, &no_proxy_variable) < 0) {
        proxy_settings_finish(settings);
        return -1;
    }
    return 0;
}

void proxy_settings_finish(struct proxy_settings *settings)
{
    free(settings->http_proxy);
    free(settings->https_proxy);
    free(settings->no_proxy);
    *settings = (struct proxy_settings){0};
}
