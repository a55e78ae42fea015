/*
 * azure_tokens_fixture.h - for tests: a token cache in a fake environment: time, the token services,
 * and probes of the API server's certificate.
 */
#ifndef TEST_UNIT_AZURE_TOKENS_FIXTURE_H
#define TEST_UNIT_AZURE_TOKENS_FIXTURE_H

#include <stdio.h>

#include "provider-azure/identity/token_cache.h"
#include "test/unit/test_azure_fake.h"

struct tls_probe {
    tls_probe_callback *callback;
    void *arg;
};

struct fixture {
    struct fake fake;
    struct transport_ops ops;
    struct tls_probe *probe; /* under way */
    unsigned probes;
    struct throttle_table throttles;
    struct network network;
    struct token_cache *cache;
    struct token_proxy *proxy;
    struct cloud cloud;
    /* the token service */
    int64_t life; /* of tokens */
    int status;   /* of its responses */
    unsigned requests;
    char url[512]; /* of the last request */
    /* outcomes */
    unsigned tokens, errors;
    char last_error[1024];
    struct token *last;
};

static struct fixture *fixture_of(void *state)
{
    return (struct fixture *)state; /* `fake` is the first member */
}

static struct tls_probe *fake_probe(void *state, const struct tls_probe_request *request,
                                    tls_probe_callback *callback, void *arg, struct error **err)
{
    struct fixture *fixture = fixture_of(state);
    struct tls_probe *probe = calloc(1, sizeof(*probe));
    (void)err;
    assert_null(fixture->probe);
    assert_string_equal(request->server_name, "kubernetes.default.svc.cluster.local");
    *probe = (struct tls_probe){callback, arg};
    fixture->probe = probe;
    fixture->probes++;
    return probe;
}

static void fake_probe_cancel(void *state, struct tls_probe **probe)
{
    fixture_of(state)->probe = NULL;
    free(*probe);
    *probe = NULL;
}

static struct fake_response respond(struct fake *fake, const char *url, const char *bearer, const char *body)
{
    static char text[256];
    struct fixture *fixture = fake->arg;
    (void)bearer;
    (void)body;
    fixture->requests++;
    (void)snprintf(fixture->url, sizeof(fixture->url), "%s", url);
    (void)snprintf(text, sizeof(text), "{\"access_token\":\"token-%u\",\"expires_in\":%d}", fixture->requests,
                   (int)fixture->life);
    return (struct fake_response){.status = fixture->status, .body = fixture->status == 200 ? text : "{}"};
}

static void set_up(struct fixture *fixture)
{
    *fixture = (struct fixture){.life = 3600, .status = 200};
    fake_init(&fixture->fake, respond, fixture);
    fixture->ops = fake_ops;
    fixture->ops.probe = fake_probe;
    fixture->ops.probe_cancel = fake_probe_cancel;
    fixture->fake.base.ops = &fixture->ops;
    fixture->network = (struct network){.transport = &fixture->fake.base, .throttles = &fixture->throttles};
    fixture->cache = token_cache_create(&fixture->network, NULL);
    assert_non_null(fixture->cache);
    assert_int_equal(cloud_resolve("AzurePublicCloud", NULL, &fixture->cloud, NULL), 0);
}

static void tear_down(struct fixture *fixture)
{
    token_unref(fixture->last);
    token_cache_destroy(fixture->cache);
    token_proxy_destroy(fixture->proxy);
    cloud_finish(&fixture->cloud);
    fake_assert_idle(&fixture->fake);
    assert_null(fixture->probe);
}

static struct identity *make(struct fixture *fixture, enum identity_mode mode, const char *credential)
{
    char client_id[] = "app";
    struct credentials credentials = {.mode = mode, .client_id = client_id};
    credentials.kind = mode == IDENTITY_SERVICE_PRINCIPAL ? CREDENTIAL_CLIENT_SECRET : CREDENTIAL_ASSERTION;
    if (credential != NULL)
        credentials.credential = secret_from_bytes(credential, strlen(credential));
    const struct identity_input input = {.credentials = &credentials,
                                         .cloud = &fixture->cloud,
                                         .tenant = "t",
                                         .pod_name = "p",
                                         .pod_namespace = "n",
                                         .endpoints = {"http://imds", "http://nmi", fixture->proxy}};
    struct identity *identity = identity_create(&input, NULL);
    assert_non_null(identity);
    secret_destroy(credentials.credential);
    return identity;
}

static void on_token(struct token *token, const struct error *error, void *arg)
{
    struct fixture *fixture = arg;
    if (token != NULL) {
        fixture->tokens++;
        token_unref(fixture->last);
        fixture->last = token;
    } else {
        fixture->errors++;
        (void)snprintf(fixture->last_error, sizeof(fixture->last_error), "%s", error_message(error));
    }
}

static struct token_waiter *get(struct fixture *fixture, struct identity *identity)
{
    struct error *error = NULL;
    struct token_waiter *waiter = token_cache_get(fixture->cache, identity, NULL,
                                                  fixture->fake.now_ms + 60000, on_token, fixture, &error);
    if (waiter == NULL) {
        fixture->errors++;
        (void)snprintf(fixture->last_error, sizeof(fixture->last_error), "%s", error_message(error));
    }
    error_free(error);
    return waiter;
}

static void run_for(struct fixture *fixture, uint64_t ms)
{
    fake_run(&fixture->fake, fixture->fake.now_ms + ms);
}

/* Lets time pass even when nothing happens. */
static void pass(struct fixture *fixture, uint64_t ms)
{
    uint64_t end = fixture->fake.now_ms + ms;
    fake_run(&fixture->fake, end);
    fixture->fake.now_ms = end;
}

#endif
