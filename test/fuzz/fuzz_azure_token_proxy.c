/*
 * fuzz_azure_token_proxy.c - the token proxy of an identity binding: the first line is its URL, the
 * others are names of the API server's certificate.
 *
 * An endpoint is an https URL on the name that was computed or given, with a path that ends in a
 * slash; the connection goes to a host and a port.
 */
#include "provider-azure/identity/cluster_sni.h"
#include "provider-azure/identity/token_proxy.h"
#include "provider-azure/network/tls_probe.h"
#include "test/fuzz/fuzz.h"

static struct {
    tls_probe_callback *probed;
    void *probed_arg;
    transport_fired *fired;
    void *fired_arg;
    unsigned n;
} state;

static struct tls_probe *probe(void *arg, const struct tls_probe_request *request,
                               tls_probe_callback *callback, void *callback_arg, struct error **err)
{
    (void)arg;
    (void)err;
    EXPECT(strchr(request->address, ':') != NULL);
    state.probed = callback;
    state.probed_arg = callback_arg;
    return (struct tls_probe *)(void *)&state;
}

static struct transport_timer *after(void *arg, uint64_t delay_ms, transport_fired *fired, void *fired_arg,
                                     struct error **err)
{
    (void)arg;
    (void)err;
    state.fired = delay_ms == 0 ? fired : NULL; /* that of the deadline does not run */
    state.fired_arg = fired_arg;
    return (struct transport_timer *)(void *)&state;
}

static void stop(void *arg, struct transport_timer **timer)
{
    (void)arg;
    state.fired = NULL;
    *timer = NULL;
}

static void probe_cancel(void *arg, struct tls_probe **cancelled)
{
    (void)arg;
    state.probed = NULL;
    *cancelled = NULL;
}

static uint64_t now_ms(void *arg)
{
    (void)arg;
    return 1000;
}

static const struct transport_ops ops = {
    .probe = probe, .probe_cancel = probe_cancel, .after = after, .stop = stop, .now_ms = now_ms};

static void on_endpoint(const struct token_proxy_endpoint *endpoint, const struct error *error, void *arg)
{
    const char *sni = arg;

    state.n++;
    EXPECT((endpoint == NULL) == (error != NULL));
    if (endpoint == NULL)
        return;
    size_t len = strlen(endpoint->base);
    const char *host = endpoint->base + strlen("https://");
    EXPECT(strncmp(endpoint->base, "https://", 8) == 0 && endpoint->base[len - 1] == '/');
    EXPECT(strpbrk(endpoint->base, "@? \r\n#") == NULL || strchr(endpoint->base, '@') > strchr(host, '/'));
    EXPECT(strncmp(host, sni, strlen(sni)) == 0);
    EXPECT(strrchr(endpoint->connect_to, ':') != NULL && strpbrk(endpoint->host, "/@ \r\n") == NULL);
}

/* At most `max` lines; NULL-terminated. */
static size_t read_names(struct fuzz_input *input, char **names, size_t max)
{
    size_t n = 0;

    while (n < max && input->left > 0)
        names[n++] = fuzz_line(input);
    names[n] = NULL;
    return n;
}

static void resolve(struct fuzz_input input)
{
    enum { NAMES_MAX = 16 };
    static const struct transport transport = {.ops = &ops};
    cleanup_free char *url = fuzz_line(&input);
    char *names[NAMES_MAX + 1];
    size_t n_names = read_names(&input, names, NAMES_MAX);
    bool given = n_names > 0 && strncmp(names[0], "sni=", 4) == 0;
    char sni[] = "a";
    const struct token_proxy_config config = {
        .url = url, .sni_name = given ? sni : "", .ca_file = "/nonexistent/ca.crt", .api_server = "api:443"};
    struct token_proxy *proxy = token_proxy_create(&transport, &config, NULL);

    EXPECT(proxy != NULL);
    state.n = 0;
    for (int i = 0; i < 2; i++) { /* the second time with the name that is known */
        struct token_proxy_waiter *waiter =
            token_proxy_resolve(proxy, i == 1 && n_names > 1 ? 500 : 2000, on_endpoint, sni, NULL);

        EXPECT(waiter != NULL || token_proxy_config_error(proxy) != NULL);
        if (waiter == NULL)
            break;
        if (state.probed != NULL) {
            tls_probe_callback *callback = state.probed;
            cleanup_error struct error *error = NULL;

            state.probed = NULL;
            if (n_names == 0)
                (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "connect to api: refused");
            callback(n_names > 0 ? (const char *const *)names : NULL, error, state.probed_arg);
        } else if (state.fired != NULL) {
            state.fired(state.fired_arg);
        }
        if (state.n == (unsigned)i)
            token_proxy_waiter_cancel(&waiter);
    }
    token_proxy_invalidate(proxy);
    token_proxy_destroy(proxy);
    for (size_t i = 0; i < n_names; i++) {
        cleanup_free char *id = cluster_id_from_name(names[i]);

        EXPECT(id == NULL || (strstr(names[i], id) != NULL && strlen(id) + 33 == strlen(names[i])));
        free(names[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    resolve((struct fuzz_input){data, size});
    return 0;
}
