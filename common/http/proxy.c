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
        size_t len = strcspn(p, ",");
        while (len > 0 && (*p == ' ' || *p == '\t')) {
            p++;
            len--;
        }
        size_t trimmed = len;
        while (trimmed > 0 && (p[trimmed - 1] == ' ' || p[trimmed - 1] == '\t'))
            trimmed--;
        char rule[256]; /* longer than any host name; longer rules cannot match */
        if (trimmed > 0 && trimmed < sizeof(rule)) {
            memcpy(rule, p, trimmed);
            rule[trimmed] = '\0';
            if (rule_matches(rule, host, port))
                return true;
        }
        p += len;
        if (*p == ',')
            p++;
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

/* A copy of the first variable that is set and not empty. */
static int copy_env(const char *upper, const char *lower, char **ret_value)
{
    const char *value = getenv(upper);
    if (value == NULL || *value == '\0')
        value = getenv(lower);
    if (value == NULL || *value == '\0')
        return 0;
    *ret_value = strdup(value);
    return *ret_value == NULL ? -1 : 0;
}

int proxy_settings_init(struct proxy_settings *settings)
{
    *settings = (struct proxy_settings){0};
    if (copy_env("HTTP_PROXY", "http_proxy", &settings->http_proxy) < 0 ||
        copy_env("HTTPS_PROXY", "https_proxy", &settings->https_proxy) < 0 ||
        copy_env("NO_PROXY", "no_proxy", &settings->no_proxy) < 0) {
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
