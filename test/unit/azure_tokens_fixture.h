/*
 * azure_tokens_fixture.h - for tests: a token cache whose outside is fake: time, the services that give tokens,
 * and looks at the API server's certificate.
 */
#ifndef TEST_UNIT_AZURE_TOKENS_FIXTURE_H
#define TEST_UNIT_AZURE_TOKENS_FIXTURE_H

#include <stdio.h>

#include "provider-azure/identity/token_cache.h"
#include "test/unit/test_azure_fake.h"

struct transport_probe {
    tls_probe_callback *callback;
    void *arg;
};

struct world {
    struct fake fake;
    struct transport_ops ops;
    struct transport_probe *probe; /* under way */
    unsigned probes;
    struct throttle_table throttles;
    struct network network;
    struct token_cache *cache;
    struct token_proxy *proxy;
    struct cloud cloud;
    /* the token service */
    int64_t life; /* of tokens */
    int status;   /* 200, or what it answers */
    unsigned requests;
    char url[512]; /* of the last request */
    /* outcomes */
    unsigned tokens, errors;
    char last_error[1024];
    struct token *last;
};

static struct world *of_state(void *state)
{
    return (struct world *)state; /* `fake` is the first member */
}

static struct transport_probe *fake_probe(void *state, const struct tls_probe_request *request,
                                          tls_probe_callback *callback, void *arg, struct error **err)
{
    struct world *world = of_state(state);
    struct transport_probe *probe = calloc(1, sizeof(*probe));
    (void)err;
    assert_null(world->probe);
    assert_string_equal(request->server_name, "kubernetes.default.svc.cluster.local");
    *probe = (struct transport_probe){callback, arg};
    world->probe = probe;
    world->probes++;
    return probe;
}

static void fake_probe_cancel(void *state, struct transport_probe **probe)
{
    of_state(state)->probe = NULL;
    free(*probe);
    *probe = NULL;
}

static struct fake_response answer(struct fake *fake, const char *url, const char *bearer, const char *body)
{
    static char text[256];
    struct world *world = fake->arg;
    (void)bearer;
    (void)body;
    world->requests++;
    (void)snprintf(world->url, sizeof(world->url), "%s", url);
    (void)snprintf(text, sizeof(text), "{\"access_token\":\"token-%u\",\"expires_in\":%d}", world->requests,
                   (int)world->life);
    return (struct fake_response){.status = world->status, .body = world->status == 200 ? text : "{}"};
}

static void set_up(struct world *world)
{
    *world = (struct world){.life = 3600, .status = 200};
    fake_init(&world->fake, answer, world);
    world->ops = fake_ops;
    world->ops.probe = fake_probe;
    world->ops.probe_cancel = fake_probe_cancel;
    world->fake.base.ops = &world->ops;
    world->network = (struct network){.transport = &world->fake.base, .throttles = &world->throttles};
    world->cache = token_cache_create(&world->network, NULL);
    assert_non_null(world->cache);
    assert_int_equal(cloud_resolve("AzurePublicCloud", NULL, &world->cloud, NULL), 0);
}

static void tear_down(struct world *world)
{
    token_unref(world->last);
    token_cache_destroy(world->cache);
    token_proxy_destroy(world->proxy);
    cloud_finish(&world->cloud);
    assert_null(world->fake.calls);
    assert_null(world->fake.timers);
    assert_null(world->probe);
}

static struct identity *make(struct world *world, enum identity_mode mode, const char *credential)
{
    char client_id[] = "app";
    struct credentials credentials = {.mode = mode, .client_id = client_id};
    credentials.kind = mode == IDENTITY_SERVICE_PRINCIPAL ? CREDENTIAL_CLIENT_SECRET : CREDENTIAL_ASSERTION;
    if (credential != NULL)
        credentials.credential = secret_from_bytes(credential, strlen(credential));
    const struct identity_input input = {.credentials = &credentials,
                                         .cloud = &world->cloud,
                                         .tenant = "t",
                                         .pod_name = "p",
                                         .pod_namespace = "n",
                                         .endpoints = {"http://imds", "http://nmi", world->proxy}};
    struct identity *identity = identity_create(&input, NULL);
    assert_non_null(identity);
    secret_destroy(credentials.credential);
    return identity;
}

static void on_token(struct token *token, const struct error *error, void *arg)
{
    struct world *world = arg;
    if (token != NULL) {
        world->tokens++;
        token_unref(world->last);
        world->last = token;
    } else {
        world->errors++;
        (void)snprintf(world->last_error, sizeof(world->last_error), "%s", error_message(error));
    }
}

static struct token_waiter *get(struct world *world, struct identity *identity)
{
    struct error *error = NULL;
    struct token_waiter *wait =
        token_cache_get(world->cache, identity, NULL, world->fake.now_ms + 60000, on_token, world, &error);
    if (wait == NULL) {
        world->errors++;
        (void)snprintf(world->last_error, sizeof(world->last_error), "%s", error_message(error));
    }
    error_free(error);
    return wait;
}

static void run_for(struct world *world, uint64_t ms)
{
    fake_run(&world->fake, world->fake.now_ms + ms);
}

/* Lets time pass even when nothing happens. */
static void pass(struct world *world, uint64_t ms)
{
    uint64_t end = world->fake.now_ms + ms;
    fake_run(&world->fake, end);
    world->fake.now_ms = end;
}

#endif
