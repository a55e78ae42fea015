/*
 * fuzz_dns_response.c - responses of name servers: the first bytes say how the queries end, the rest is the
 * response to both of them, or to A up to a length and to AAAA from there on.
 *
 * The target stands in for c-ares' queries, not for its parsers. Addresses are ones that inet_pton() reads,
 * at most DNS_MAX_ADDRESSES of each family; without any there is a reason.
 */
#include <ares.h>
#include <arpa/inet.h>
#include <stdbool.h>

#include "common/http/dns_lookup.h"
#include "test/fuzz/fuzz.h"

enum { TYPE_A = 1 };

static struct {
    int status[2];
    uint8_t *bytes[2];
    size_t len[2];
    unsigned n_queries, n_outcomes;
} script;

static void respond(int type, ares_callback callback, void *arg)
{
    int i = type == TYPE_A ? 0 : 1;
    bool succeeds = script.status[i] == ARES_SUCCESS;

    script.n_queries++;
    callback(arg, script.status[i], 0, succeeds ? script.bytes[i] : NULL, succeeds ? (int)script.len[i] : 0);
}

void ares_query(ares_channel channel, const char *name, int dnsclass, int type, ares_callback callback,
                void *arg)
{
    (void)channel;
    (void)name;
    (void)dnsclass;
    respond(type, callback, arg);
}

void ares_search(ares_channel channel, const char *name, int dnsclass, int type, ares_callback callback,
                 void *arg)
{
    (void)channel;
    (void)name;
    (void)dnsclass;
    respond(type, callback, arg);
}

static void check_addresses(const char *addresses)
{
    char *text = strdup(addresses), *at = text;
    unsigned n = 0;

    EXPECT(text != NULL && *text != '\0');
    for (char *one = strsep(&at, ","); one != NULL; one = strsep(&at, ",")) {
        uint8_t bytes[16];
        size_t len = strlen(one);

        if (one[0] == '[') {
            EXPECT(one[len - 1] == ']');
            one[len - 1] = '\0';
            EXPECT(inet_pton(AF_INET6, one + 1, bytes) == 1);
        } else {
            EXPECT(inet_pton(AF_INET, one, bytes) == 1);
        }
        n++;
    }
    EXPECT(n <= 2 * DNS_MAX_ADDRESSES);
    free(text);
}

static void on_outcome(const struct dns_result *outcome, void *arg)
{
    (void)arg;
    script.n_outcomes++;
    EXPECT((outcome->outcome == DNS_FOUND) == (outcome->addresses != NULL));
    EXPECT(outcome->outcome == DNS_FOUND || outcome->reason != NULL);
    if (outcome->addresses != NULL)
        check_addresses(outcome->addresses);
}

static const char *const names[] = {"vault.example", "vault",     "192.0.2.1",
                                    "2001:db8::1",   "localhost", "a.localhost"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uv_loop_t loop;
    size_t split;
    uint8_t kind;

    EXPECT(uv_loop_init(&loop) == 0);
    kind = fuzz_byte(&input);
    script.status[0] = fuzz_byte(&input) % (ARES_ECANCELLED + 1);
    script.status[1] = fuzz_byte(&input) % (ARES_ECANCELLED + 1);
    split = fuzz_byte(&input);
    script.n_queries = script.n_outcomes = 0;
    script.len[0] = split == 0 || split > input.left ? input.left : split;
    script.len[1] = split == 0 ? input.left : input.left - script.len[0];
    for (int i = 0; i < 2; i++) {
        const uint8_t *from = i == 0 || split == 0 ? input.at : input.at + script.len[0];

        script.bytes[i] = malloc(script.len[i] + 1);
        EXPECT(script.bytes[i] != NULL);
        if (script.len[i] > 0)
            memcpy(script.bytes[i], from, script.len[i]);
    }
    EXPECT(dns_lookup_start(&loop, names[kind % (sizeof(names) / sizeof(names[0]))], on_outcome, NULL,
                            NULL) != NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    EXPECT(script.n_outcomes == 1);
    for (int i = 0; i < 2; i++)
        free(script.bytes[i]);
    EXPECT(uv_loop_close(&loop) == 0);
    return 0;
}
