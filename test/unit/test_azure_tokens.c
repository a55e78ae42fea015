/*
 * test_azure_tokens.c - the token cache and the way to the token proxy, against a fake outside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <stdio.h>

#include "provider-azure/identity/token_cache.h"
#include "test/unit/test_azure_fake.h"

/* --- a fake outside that also has an API server
 * ---------------------------------------------------------------------- */

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

/* Ends the probe under way with names, or with an error. */
static void end_probe(struct world *world, const char *const *names)
{
    struct transport_probe *probe = world->probe;
    struct error *error = NULL;
    assert_non_null(probe);
    world->probe = NULL;
    if (names == NULL)
        error_set(&error, GRPC_STATUS_UNAVAILABLE, "connect to api: refused");
    probe->callback(names, error, probe->arg);
    error_free(error);
    free(probe);
}

static struct fake_answer answer(struct fake *fake, const char *url, const char *bearer, const char *body)
{
    static char text[256];
    struct world *world = fake->arg;
    (void)bearer;
    (void)body;
    world->requests++;
    (void)snprintf(world->url, sizeof(world->url), "%s", url);
    (void)snprintf(text, sizeof(text), "{\"access_token\":\"token-%u\",\"expires_in\":%d}", world->requests,
                   (int)world->life);
    return (struct fake_answer){.status = world->status, .body = world->status == 200 ? text : "{}"};
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

static struct identity *make(struct world *world, enum auth_mode mode, const char *credential)
{
    char client_id[] = "app";
    struct auth auth = {.mode = mode, .client_id = client_id};
    auth.kind = mode == AUTH_SERVICE_PRINCIPAL ? AUTH_CREDENTIAL_SECRET : AUTH_CREDENTIAL_ASSERTION;
    if (credential != NULL)
        auth.credential = secret_from_bytes(credential, strlen(credential));
    const struct identity_input input = {.auth = &auth,
                                         .cloud = &world->cloud,
                                         .tenant = "t",
                                         .pod_name = "p",
                                         .pod_namespace = "n",
                                         .endpoints = {"http://imds", "http://nmi", world->proxy}};
    struct identity *identity = identity_create(&input, NULL);
    assert_non_null(identity);
    secret_destroy(auth.credential);
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

static struct token_wait *get(struct world *world, struct identity *identity)
{
    struct error *error = NULL;
    struct token_wait *wait =
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

/* --- the cache
 * ----------------------------------------------------------------------------------------------------- */

static void many_who_ask_at_once_cost_one_request(void **state)
{
    struct world world;
    (void)state;
    set_up(&world);
    cleanup_identity struct identity *identity = make(&world, AUTH_SERVICE_PRINCIPAL, "s");
    for (int i = 0; i < 1000; i++)
        assert_non_null(get(&world, identity));
    run_for(&world, 0);
    assert_int_equal(world.tokens, 1000);
    assert_int_equal(world.requests, 1);
    for (int i = 0; i < 1000; i++) {
        cleanup_identity struct identity *same = make(&world, AUTH_SERVICE_PRINCIPAL, "s");
        assert_non_null(get(&world, same));
    }
    run_for(&world, 0);
    assert_int_equal(world.tokens, 2000);
    assert_int_equal(world.requests, 1);
    tear_down(&world);
}

static void another_credential_asks_for_itself(void **state)
{
    struct world world;
    (void)state;
    set_up(&world);
    for (int i = 0; i < 100; i++) {
        char credential[16];
        (void)snprintf(credential, sizeof(credential), "jwt-%d", i);
        cleanup_identity struct identity *identity = make(&world, AUTH_WORKLOAD, credential);
        assert_non_null(get(&world, identity));
    }
    run_for(&world, 0);
    assert_int_equal(world.requests, 100);
    assert_int_equal(world.tokens, 100);
    tear_down(&world);
}

static void a_token_that_has_ended_is_wiped_without_anybody_asking(void **state)
{
    struct world world;
    (void)state;
    set_up(&world);
    cleanup_identity struct identity *first = make(&world, AUTH_SERVICE_PRINCIPAL, "s");
    cleanup_identity struct identity *second = make(&world, AUTH_SERVICE_PRINCIPAL, "t");
    assert_non_null(get(&world, first));
    run_for(&world, 0);
    pass(&world, 600 * 1000);
    assert_non_null(get(&world, second));
    run_for(&world, 0);
    assert_int_equal(token_cache_count(world.cache), 2);
    pass(&world, 2980 * 1000);
    assert_int_equal(token_cache_count(world.cache), 2);
    pass(&world, 20 * 1000);
    assert_int_equal(token_cache_count(world.cache), 1);
    pass(&world, 600 * 1000);
    assert_int_equal(token_cache_count(world.cache), 0);
    assert_null(world.fake.timers); /* an empty cache wakes nobody */
    tear_down(&world);
}

static void a_token_near_its_end_is_renewed_behind_the_back_of_those_it_still_serves(void **state)
{
    struct world world;
    (void)state;
    set_up(&world);
    cleanup_identity struct identity *identity = make(&world, AUTH_SERVICE_PRINCIPAL, "s");
    assert_non_null(get(&world, identity));
    run_for(&world, 0);
    pass(&world, 3310 * 1000);
    assert_non_null(get(&world, identity));
    assert_non_null(get(&world, identity));
    run_for(&world, 0);
    assert_int_equal(world.tokens, 3);
    assert_int_equal(world.requests, 2);
    assert_non_null(get(&world, identity));
    run_for(&world, 0);
    assert_string_equal(token_text(world.last), "token-2");
    tear_down(&world);
}

/* IMDS and NMI hand out the same token until it ends. */
static void a_service_that_has_nothing_newer_is_not_asked_each_time(void **state)
{
    struct world world;
    (void)state;
    set_up(&world);
    world.life = 120; /* always within the margin */
    cleanup_identity struct identity *identity = make(&world, AUTH_SERVICE_PRINCIPAL, "s");
    for (int i = 0; i < 60; i++) {
        assert_non_null(get(&world, identity));
        pass(&world, 1000);
    }
    assert_int_equal(world.tokens, 60);
    assert_in_range(world.requests, 1, 3);
    tear_down(&world);
}

static void a_failed_renewal_leaves_the_old_token_until_its_end(void **state)
{
    struct world world;
    (void)state;
    set_up(&world);
    cleanup_identity struct identity *identity = make(&world, AUTH_SERVICE_PRINCIPAL, "s");
    assert_non_null(get(&world, identity));
    pass(&world, 3310 * 1000);
    world.status = 401;
    for (int i = 0; i < 10; i++) {
        assert_non_null(get(&world, identity));
        run_for(&world, 0);
    }
    assert_int_equal(world.tokens, 11);
    assert_int_equal(world.errors, 0);
    assert_int_equal(world.requests, 2);
    pass(&world, 300 * 1000);
    assert_non_null(get(&world, identity));
    run_for(&world, 0);
    assert_int_equal(world.errors, 1);
    tear_down(&world);
}

static void the_cache_is_bounded_and_so_are_requests_in_flight(void **state)
{
    struct world world;
    (void)state;
    set_up(&world);
    for (int i = 0; i < TOKEN_CACHE_IN_FLIGHT_MAX + 10; i++) {
        char credential[16];
        (void)snprintf(credential, sizeof(credential), "jwt-%d", i);
        cleanup_identity struct identity *identity = make(&world, AUTH_WORKLOAD, credential);
        struct token_wait *wait = get(&world, identity);
        assert_true((wait != NULL) == (i < TOKEN_CACHE_IN_FLIGHT_MAX));
    }
    assert_int_equal(world.errors, 10);
    run_for(&world, 0);
    assert_int_equal(world.tokens, TOKEN_CACHE_IN_FLIGHT_MAX);
    cleanup_identity struct identity *one_more = make(&world, AUTH_WORKLOAD, "one more");
    assert_non_null(get(&world, one_more));
    run_for(&world, 0);
    assert_in_range(token_cache_count(world.cache), 1, TOKEN_CACHE_MAX);
    tear_down(&world);
}

static void a_wait_that_is_cancelled_takes_its_request_along(void **state)
{
    struct world world;
    (void)state;
    set_up(&world);
    cleanup_identity struct identity *identity = make(&world, AUTH_SERVICE_PRINCIPAL, "s");
    struct token_wait *first = get(&world, identity);
    struct token_wait *second = get(&world, identity);
    token_wait_cancel(&first);
    assert_non_null(world.fake.calls);
    token_wait_cancel(&second);
    assert_null(world.fake.calls);
    assert_int_equal(token_cache_count(world.cache), 0);
    tear_down(&world);
}

static void a_certificate_is_read_aside_and_given_up_without_a_trace(void **state)
{
    struct world world;
    char client_id[] = "app";
    struct auth auth = {
        .mode = AUTH_SERVICE_PRINCIPAL, .kind = AUTH_CREDENTIAL_CERTIFICATE, .client_id = client_id};
    (void)state;
    set_up(&world);
    auth.credential = secret_from_bytes("no sense", 8);
    const struct identity_input input = {.auth = &auth, .cloud = &world.cloud, .tenant = "t"};
    cleanup_identity struct identity *identity = identity_create(&input, NULL);
    secret_destroy(auth.credential);
    assert_non_null(identity);

    struct token_wait *wait = get(&world, identity);
    assert_non_null(wait); /* not known yet: nothing is read on the spot */
    token_wait_cancel(&wait);
    assert_int_equal(token_cache_count(world.cache), 0);
    run_for(&world, 0); /* the thread ends and cleans up */
    assert_int_equal(world.errors, 0);

    assert_non_null(get(&world, identity));
    assert_non_null(get(&world, identity));
    run_for(&world, 0);
    assert_int_equal(world.errors, 2);
    assert_string_equal(world.last_error,
                        "token for the service principal: clientcertificate: it is neither PEM nor "
                        "PKCS#12 in base64");
    assert_int_equal(world.requests, 0);
    tear_down(&world);
}

/* --- a node's token service that is not well
 * ----------------------------------------------------------------------------- */

/* Until `healthy_ms` IMDS answers `status` (0: not at all). */
struct illness {
    int status;
    int64_t retry_after_ms;
    uint64_t healthy_ms;
    uint64_t asked_ms[16];
    unsigned asked;
};

static struct fake_answer ill_answer(struct fake *fake, const char *url, const char *bearer, const char *body)
{
    struct world *world = of_state(fake);
    struct illness *illness = fake->arg;
    (void)bearer;
    (void)body;
    assert_non_null(strstr(url, "http://imds/metadata/identity/oauth2/token"));
    illness->asked_ms[illness->asked++ % 16] = fake->now_ms;
    world->requests++;
    if (fake->now_ms >= illness->healthy_ms)
        return (struct fake_answer){.status = 200,
                                    .body = "{\"access_token\":\"T\",\"expires_in\":\"3599\"}"};
    if (illness->status == 0)
        return (struct fake_answer){.failure = GRPC_STATUS_DEADLINE_EXCEEDED, .hop = HTTP_HOP_TIMEOUT};
    return (struct fake_answer){
        .status = illness->status, .body = "{}", .retry_after_ms = illness->retry_after_ms};
}

static void imds_is_asked_again_until_it_is_well(void **state)
{
    (void)state;
    static const struct {
        int status;
        int64_t retry_after_ms;
        uint64_t healthy_ms;
    } rows[] = {{404, 0, 3000},  {410, 0, 70000}, {429, 0, 20000}, {429, 1000, 5000}, {500, 0, 20000},
                {500, 1, 20000}, {503, 0, 20000}, {508, 0, 1500},  {0, 0, 30000}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world world;
        struct illness illness = {.status = rows[i].status,
                                  .retry_after_ms = rows[i].retry_after_ms,
                                  .healthy_ms = 1000 + rows[i].healthy_ms};
        set_up(&world);
        world.fake.answer = ill_answer;
        world.fake.arg = &illness;
        cleanup_identity struct identity *identity = make(&world, AUTH_VM_IDENTITY, NULL);
        assert_non_null(
            token_cache_get(world.cache, identity, NULL, world.fake.now_ms + 110000, on_token, &world, NULL));
        pass(&world, 110000);
        if (world.tokens != 1 && rows[i].retry_after_ms != 1)
            fail_msg("row %zu: %s", i, world.last_error);
        assert_in_range(world.requests, 2, 7);
        for (unsigned k = 1; k < illness.asked; k++)
            assert_true(illness.asked_ms[k] - illness.asked_ms[k - 1] >=
                        (rows[i].status == 404 ? 500 : 1000));
        tear_down(&world);
    }
}

static void what_imds_means_is_not_asked_again(void **state)
{
    (void)state;
    static const int statuses[] = {400, 401, 403, 405};
    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
        struct world world;
        struct illness illness = {.status = statuses[i], .healthy_ms = UINT64_MAX};
        set_up(&world);
        world.fake.answer = ill_answer;
        world.fake.arg = &illness;
        cleanup_identity struct identity *identity = make(&world, AUTH_VM_IDENTITY, NULL);
        assert_non_null(get(&world, identity));
        pass(&world, 60000);
        assert_int_equal(world.requests, 1);
        assert_int_equal(world.errors, 1);
        tear_down(&world);
    }
}

static struct fake_answer nobody_answers(struct fake *fake, const char *url, const char *bearer,
                                         const char *body)
{
    struct world *world = of_state(fake);
    const struct fake_answer *failure = fake->arg;
    (void)url;
    (void)bearer;
    (void)body;
    world->requests++;
    return *failure;
}

static void a_service_of_the_node_that_does_not_answer_is_named_with_a_hint(void **state)
{
    (void)state;
    static const struct fake_answer unconnected = {.failure = GRPC_STATUS_UNAVAILABLE,
                                                   .hop = HTTP_HOP_CONNECT};
    static const struct fake_answer broke_off = {.failure = GRPC_STATUS_UNAVAILABLE, .hop = HTTP_HOP_RECEIVE};
    static const struct fake_answer silent = {.failure = GRPC_STATUS_DEADLINE_EXCEEDED,
                                              .hop = HTTP_HOP_TIMEOUT};
    static const char imds[] = "no answer from IMDS [hint: ";
    static const char nmi[] = "no answer from NMI [hint: ";
    static const struct {
        enum auth_mode mode;
        const struct fake_answer *failure;
        const char *text; /* NULL: the network's words are enough */
        unsigned tries;
    } rows[] = {
        {AUTH_VM_IDENTITY, &unconnected, imds, 2}, /* it is not there; whoever waits is told soon */
        {AUTH_VM_IDENTITY, &broke_off, imds, 7},         {AUTH_VM_IDENTITY, &silent, imds, 7},
        {AUTH_POD_IDENTITY, &unconnected, nmi, 1},       {AUTH_POD_IDENTITY, &silent, nmi, 1},
        {AUTH_SERVICE_PRINCIPAL, &unconnected, NULL, 4},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world world;
        struct fake_answer failure = *rows[i].failure;
        set_up(&world);
        world.fake.answer = nobody_answers;
        world.fake.arg = &failure;
        cleanup_identity struct identity *identity = make(&world, rows[i].mode, "secret");
        assert_non_null(
            token_cache_get(world.cache, identity, NULL, world.fake.now_ms + 200000, on_token, &world, NULL));
        pass(&world, 200000);
        assert_int_equal(world.errors, 1);
        assert_int_equal(world.requests, rows[i].tries);
        if (rows[i].text != NULL)
            assert_non_null(strstr(world.last_error, rows[i].text));
        else
            assert_null(strstr(world.last_error, "no answer from"));
        tear_down(&world);
    }
}

/* --- the token proxy
 * ----------------------------------------------------------------------------------------------- */

static const char *const aks_names[] = {"kubernetes", "*.hcp-kubernetes.x.svc.cluster.local",
                                        "hcp-kubernetes..svc.cluster.local",
                                        "hcp-kubernetes.696995ccb303450001b31a18.svc.cluster.local", NULL};
static const char *const other_names[] = {"kubernetes", "hcp-kubernetes..svc.cluster.local",
                                          "hcp-kubernetes.abc.svc.cluster.locals", NULL};
#define SNI "aeaf29ip1hi5q38ebc3u4daum81u0unk52t5bg50j25234fmuj78g.ests.aks"

static void set_up_proxy(struct world *world, const char *url, const char *sni)
{
    const struct token_proxy_config config = {
        .url = url, .sni_name = sni, .ca_file = "/nonexistent/ca.crt", .api_server = "api:443"};
    set_up(world);
    world->proxy = token_proxy_create(&world->fake.base, &config, NULL);
    assert_non_null(world->proxy);
}

static void the_server_name_is_computed_from_the_clusters_id(void **state)
{
    (void)state;
    static const char *const vectors[][2] = {
        {"696995ccb303450001b31a18", SNI},
        {"abc123def456", "avimke6u6l2eeq8qc1cneuaq4sl2e1av9t4clqgun97le32hub670.ests.aks"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        cleanup_free char *name = token_proxy_sni_name(vectors[i][0]);
        assert_string_equal(name, vectors[i][1]);
    }
}

static void the_certificate_is_looked_at_once_for_all_who_wait(void **state)
{
    struct world world;
    (void)state;
    set_up_proxy(&world, "https://proxy.example/p", "");
    cleanup_identity struct identity *a = make(&world, AUTH_IDENTITY_BINDING, "jwt-a");
    cleanup_identity struct identity *b = make(&world, AUTH_IDENTITY_BINDING, "jwt-b");
    assert_int_equal(world.probes, 0); /* not before it is needed */
    assert_non_null(get(&world, a));
    assert_non_null(get(&world, b));
    assert_non_null(get(&world, b));
    run_for(&world, 0);
    assert_int_equal(world.requests, 0);
    end_probe(&world, aks_names);
    run_for(&world, 0);
    assert_int_equal(world.probes, 1);
    assert_int_equal(world.requests, 2);
    assert_int_equal(world.tokens, 3);
    assert_string_equal(world.url, "https://" SNI "/p/t/oauth2/v2.0/token");
    cleanup_identity struct identity *c = make(&world, AUTH_IDENTITY_BINDING, "jwt-c");
    assert_non_null(get(&world, c));
    run_for(&world, 0);
    assert_int_equal(world.probes, 1);
    assert_int_equal(world.tokens, 4);
    tear_down(&world);
}

static void a_failure_is_told_and_forgotten(void **state)
{
    struct world world;
    (void)state;
    set_up_proxy(&world, "", "");
    cleanup_identity struct identity *identity = make(&world, AUTH_IDENTITY_BINDING, "jwt");
    assert_non_null(get(&world, identity));
    end_probe(&world, NULL);
    assert_int_equal(world.errors, 1);
    assert_string_equal(
        world.last_error,
        "token for the identity binding: proxy transport not available: connect to api: refused");
    assert_int_equal(token_cache_count(world.cache), 0);

    assert_non_null(get(&world, identity));
    end_probe(&world, other_names);
    assert_string_equal(
        world.last_error,
        "token for the identity binding: proxy transport not available: cluster ID SAN not found "
        "in API server certificate (use --sni-name flag to provide SNI name explicitly)");

    assert_non_null(get(&world, identity));
    end_probe(&world, aks_names);
    run_for(&world, 0);
    assert_int_equal(world.tokens, 1);
    assert_int_equal(world.probes, 3);
    tear_down(&world);
}

static void a_wait_ends_at_its_own_deadline_and_the_look_goes_on(void **state)
{
    struct world world;
    (void)state;
    set_up_proxy(&world, "", "");
    cleanup_identity struct identity *identity = make(&world, AUTH_IDENTITY_BINDING, "jwt");
    assert_non_null(
        token_cache_get(world.cache, identity, NULL, world.fake.now_ms + 1000, on_token, &world, NULL));
    pass(&world, 999);
    assert_int_equal(world.errors, 0);
    pass(&world, 1);
    assert_int_equal(world.errors, 1);
    assert_non_null(strstr(world.last_error, "the API server's certificate was not seen before"));
    end_probe(&world, aks_names);
    assert_non_null(get(&world, identity));
    run_for(&world, 0);
    assert_int_equal(world.tokens, 1);
    assert_int_equal(world.probes, 1);
    tear_down(&world);
}

static void what_was_found_is_looked_at_again_after_an_hour_or_when_in_doubt(void **state)
{
    struct world world;
    (void)state;
    set_up_proxy(&world, "", "");
    cleanup_identity struct identity *identity = make(&world, AUTH_IDENTITY_BINDING, "jwt");
    cleanup_identity struct identity *later = make(&world, AUTH_IDENTITY_BINDING, "jwt-2");
    assert_non_null(get(&world, identity));
    end_probe(&world, aks_names);
    run_for(&world, 0);
    token_proxy_doubt(world.proxy);
    assert_non_null(get(&world, later));
    assert_int_equal(world.probes, 2);
    end_probe(&world, aks_names);
    pass(&world, 3601 * 1000);
    assert_non_null(get(&world, identity));
    assert_int_equal(world.probes, 3);
    end_probe(&world, aks_names);
    run_for(&world, 0);
    tear_down(&world);
}

static void a_given_server_name_is_taken_as_it_is(void **state)
{
    struct world world;
    (void)state;
    set_up_proxy(&world, "https://proxy.example:8443/", "given.example");
    cleanup_identity struct identity *identity = make(&world, AUTH_IDENTITY_BINDING, "jwt");
    assert_non_null(get(&world, identity));
    run_for(&world, 0);
    assert_int_equal(world.probes, 0);
    assert_string_equal(world.url, "https://given.example/t/oauth2/v2.0/token");
    tear_down(&world);
}

static void cancelled_waits_leave_nothing_behind(void **state)
{
    struct world world;
    (void)state;
    set_up_proxy(&world, "", "");
    cleanup_identity struct identity *identity = make(&world, AUTH_IDENTITY_BINDING, "jwt");
    struct token_wait *wait = get(&world, identity);
    token_wait_cancel(&wait);
    assert_int_equal(token_cache_count(world.cache), 0);
    assert_null(world.fake.timers);
    tear_down(&world); /* also ends the probe */
}

static void urls_against_the_rules_are_told_by_each_mount(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "http://h",     "h",           "https://",      "https://u@h/", "https://h/?q",    "https://h?q",
        "https://h/#f", "https://h#f", "https://h:0",   "https://h:x",  "https://h:",      "https://h:65536",
        "https://:443", "ftp://h",     "https://h/a b", "https://h\n",  "https://u:p@h:1/"};
    static const char *const good[] = {"",
                                       "https://h",
                                       "HTTPS://h",
                                       "https://h:1/",
                                       "https://h/a/b",
                                       "https://h/a/",
                                       "https://[::1]:8443",
                                       "https://[::1]"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct world world;
        set_up_proxy(&world, bad[i], "x");
        cleanup_identity struct identity *identity = make(&world, AUTH_IDENTITY_BINDING, "jwt");
        assert_null(get(&world, identity));
        if (strstr(world.last_error, "proxy transport not available: --token-proxy-url ") == NULL)
            fail_msg("%s: %s", bad[i], world.last_error);
        assert_non_null(token_proxy_problem(world.proxy));
        tear_down(&world);
    }
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct world world;
        set_up_proxy(&world, good[i], "x");
        if (token_proxy_problem(world.proxy) != NULL)
            fail_msg("%s: %s", good[i], error_message(token_proxy_problem(world.proxy)));
        tear_down(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_who_ask_at_once_cost_one_request),
        cmocka_unit_test(another_credential_asks_for_itself),
        cmocka_unit_test(a_token_that_has_ended_is_wiped_without_anybody_asking),
        cmocka_unit_test(a_token_near_its_end_is_renewed_behind_the_back_of_those_it_still_serves),
        cmocka_unit_test(a_service_that_has_nothing_newer_is_not_asked_each_time),
        cmocka_unit_test(a_failed_renewal_leaves_the_old_token_until_its_end),
        cmocka_unit_test(the_cache_is_bounded_and_so_are_requests_in_flight),
        cmocka_unit_test(a_wait_that_is_cancelled_takes_its_request_along),
        cmocka_unit_test(a_certificate_is_read_aside_and_given_up_without_a_trace),
        cmocka_unit_test(imds_is_asked_again_until_it_is_well),
        cmocka_unit_test(what_imds_means_is_not_asked_again),
        cmocka_unit_test(a_service_of_the_node_that_does_not_answer_is_named_with_a_hint),
        cmocka_unit_test(the_server_name_is_computed_from_the_clusters_id),
        cmocka_unit_test(the_certificate_is_looked_at_once_for_all_who_wait),
        cmocka_unit_test(a_failure_is_told_and_forgotten),
        cmocka_unit_test(a_wait_ends_at_its_own_deadline_and_the_look_goes_on),
        cmocka_unit_test(what_was_found_is_looked_at_again_after_an_hour_or_when_in_doubt),
        cmocka_unit_test(a_given_server_name_is_taken_as_it_is),
        cmocka_unit_test(cancelled_waits_leave_nothing_behind),
        cmocka_unit_test(urls_against_the_rules_are_told_by_each_mount),
    };
    return cmocka_run_group_tests_name("azure_tokens", tests, NULL, NULL);
}
