/*
 * fuzz_http_proxy.c - NO_PROXY, the URLs of proxies and the environment that has both. The first line
 * is a host, the rest the rules and a URL.
 *
 * Hosts of the loopback interface are never proxied, a rule "*" excludes all hosts, a host's own name
 * excludes it; an escaped URL has at most one '@' in front of the host, and escaping it again changes
 * nothing.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>

#include "common/base/secret.h"
#include "common/http/client.h"
#include "common/http/proxy.h"
#include "test/fuzz/fuzz.h"

static void check_url(const char *url)
{
    cleanup_secret_free char *once = proxy_escape_user(url);
    cleanup_secret_free char *twice = once != NULL ? proxy_escape_user(once) : NULL;

    EXPECT(twice == NULL || strcmp(once, twice) == 0);
    (void)http_check_proxy(url, /* err= */ NULL);
}

static void check_rules(const char *host, char *rules)
{
    char proxy[] = "http://proxy:3128", all[] = "a, *", own[256]; /* a name has at most 253 bytes */
    struct proxy_settings settings = {.https_proxy = proxy, .http_proxy = proxy, .no_proxy = rules};
    bool loopback = proxy_is_loopback(host);
    uint8_t address[16];

    for (int https = 0; https < 2; https++)
        EXPECT(proxy_for(&settings, https == 1, host, 443) == NULL || !loopback);
    settings.no_proxy = all;
    EXPECT(proxy_for(&settings, /* https= */ true, host, 443) == NULL);
    settings.no_proxy = NULL;
    EXPECT((proxy_for(&settings, /* https= */ true, host, 443) == NULL) == loopback);
    EXPECT(proxy_variable(&settings, proxy) == NULL);

    size_t len = strlen(host);
    bool plain = len > 0 && len < sizeof(own) - 8 && (isalnum((unsigned char)host[0]) != 0);
    for (const char *at = host; *at != '\0'; at++)
        plain = plain && (isalnum((unsigned char)*at) != 0 || *at == '.' || *at == '-');
    if (plain && host[len - 1] != '.' && inet_pton(AF_INET, host, address) != 1) {
        (void)snprintf(own, sizeof(own), "%s", host);
        settings.no_proxy = own;
        EXPECT(proxy_for(&settings, /* https= */ true, host, 443) == NULL);
        (void)snprintf(own, sizeof(own), "%s:443", host);
        EXPECT(proxy_for(&settings, /* https= */ true, host, 443) == NULL);
        EXPECT((proxy_for(&settings, /* https= */ true, host, 8443) == NULL) == loopback);
    }
}

static void check_environment(const char *text)
{
    struct proxy_settings settings;

    (void)setenv("HTTPS_PROXY", text, 1);
    (void)setenv("http_proxy", text, 1);
    (void)setenv("no_proxy", text, 1);
    EXPECT(proxy_settings_init(&settings) == 0);
    EXPECT(settings.https_proxy == NULL ||
           (settings.https_proxy[0] != ' ' && settings.https_proxy[0] != '\0'));
    if (settings.https_proxy != NULL) {
        EXPECT(strstr(text, settings.https_proxy) != NULL);
        EXPECT(strcmp(proxy_variable(&settings, settings.https_proxy), "HTTPS_PROXY") == 0);
    }
    proxy_settings_finish(&settings);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const hosts[] = {"vault.example", "10.1.2.3", "2001:db8::1"};
    struct fuzz_input input = {data, size};
    cleanup_free char *host = fuzz_line(&input);
    cleanup_free char *text = fuzz_text(&input, input.left);

    check_rules(host, text);
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
        check_rules(hosts[i], text);
    check_url(text);
    check_environment(text);
    return 0;
}
