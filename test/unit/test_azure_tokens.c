/*
 * test_azure_tokens.c - the token cache, and the token services of a node that are not well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include "test/unit/azure_tokens_fixture.h"

/* --- the cache --- */

static void many_who_ask_at_once_cost_one_request(void **state)
{
    struct world world;
    (void)state;
    set_up(&world);
    cleanup_identity struct identity *identity = make(&world, IDENTITY_SERVICE_PRINCIPAL, "s");
    for (int i = 0; i < 1000; i++)
        assert_non_null(get(&world, identity));
    run_for(&world, 0);
    assert_int_equal(world.tokens, 1000);
    assert_int_equal(world.requests, 1);
    for (int i = 0; i < 1000; i++) {
        cleanup_identity struct identity *same = make(&world, IDENTITY_SERVICE_PRINCIPAL, "s");
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
        cleanup_identity struct identity *identity = make(&world, IDENTITY_WORKLOAD, credential);
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
    cleanup_identity struct identity *first = make(&world, IDENTITY_SERVICE_PRINCIPAL, "s");
    cleanup_identity struct identity *second = make(&world, IDENTITY_SERVICE_PRINCIPAL, "t");
    assert_non_null(get(&world, first));
    run_for(&world, 0);
    struct token *first_token = token_ref(world.last);
    pass(&world, 600 * 1000);
    assert_non_null(get(&world, second));
    run_for(&world, 0);
    struct token *second_token = token_ref(world.last);
    assert_int_equal(first_token->refs, 2); /* the cache's and this one */
    pass(&world, 2980 * 1000);
    assert_int_equal(first_token->refs, 2);
    pass(&world, 20 * 1000);
    assert_int_equal(first_token->refs, 1);
    assert_int_equal(second_token->refs, 3); /* and the fixture's */
    pass(&world, 600 * 1000);
    assert_int_equal(second_token->refs, 2);
    token_unref(first_token);
    token_unref(second_token);
    assert_null(world.fake.timers); /* an empty cache wakes nobody */
    tear_down(&world);
}

static void a_token_near_its_end_is_renewed_behind_the_back_of_those_it_still_serves(void **state)
{
    struct world world;
    (void)state;
    set_up(&world);
    cleanup_identity struct identity *identity = make(&world, IDENTITY_SERVICE_PRINCIPAL, "s");
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
    cleanup_identity struct identity *identity = make(&world, IDENTITY_SERVICE_PRINCIPAL, "s");
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
    cleanup_identity struct identity *identity = make(&world, IDENTITY_SERVICE_PRINCIPAL, "s");
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
        cleanup_identity struct identity *identity = make(&world, IDENTITY_WORKLOAD, credential);
        struct token_waiter *wait = get(&world, identity);
        assert_true((wait != NULL) == (i < TOKEN_CACHE_IN_FLIGHT_MAX));
    }
    assert_int_equal(world.errors, 10);
    run_for(&world, 0);
    assert_int_equal(world.tokens, TOKEN_CACHE_IN_FLIGHT_MAX);
    cleanup_identity struct identity *one_more = make(&world, IDENTITY_WORKLOAD, "one more");
    assert_non_null(get(&world, one_more));
    run_for(&world, 0);
    unsigned requests = world.requests;
    for (int i = 0; i < TOKEN_CACHE_MAX; i++) { /* the oldest are gone, the last ones stay */
        char credential[16];
        (void)snprintf(credential, sizeof(credential), "jwt-%d", i);
        cleanup_identity struct identity *identity = make(&world, IDENTITY_WORKLOAD, credential);
        assert_non_null(get(&world, identity));
        run_for(&world, 0);
    }
    assert_int_equal(world.requests, requests + TOKEN_CACHE_MAX);
    tear_down(&world);
}

static void a_wait_that_is_cancelled_takes_its_request_along(void **state)
{
    struct world world;
    (void)state;
    set_up(&world);
    cleanup_identity struct identity *identity = make(&world, IDENTITY_SERVICE_PRINCIPAL, "s");
    struct token_waiter *first = get(&world, identity);
    struct token_waiter *second = get(&world, identity);
    token_waiter_cancel(&first);
    assert_non_null(world.fake.calls);
    token_waiter_cancel(&second);
    assert_null(world.fake.calls);
    tear_down(&world);
}

static void a_certificate_is_read_aside_and_given_up_without_a_trace(void **state)
{
    struct world world;
    char client_id[] = "app";
    struct credentials credentials = {
        .mode = IDENTITY_SERVICE_PRINCIPAL, .kind = CREDENTIAL_CERTIFICATE, .client_id = client_id};
    (void)state;
    set_up(&world);
    credentials.credential = secret_from_bytes("no sense", 8);
    const struct identity_input input = {.credentials = &credentials, .cloud = &world.cloud, .tenant = "t"};
    cleanup_identity struct identity *identity = identity_create(&input, NULL);
    secret_destroy(credentials.credential);
    assert_non_null(identity);

    struct token_waiter *wait = get(&world, identity);
    assert_non_null(wait); /* not known yet: nothing is read on the spot */
    token_waiter_cancel(&wait);
    run_for(&world, 0); /* the thread ends and cleans up */
    assert_int_equal(world.errors, 0);

    assert_non_null(get(&world, identity));
    assert_non_null(get(&world, identity));
    run_for(&world, 0);
    assert_int_equal(world.errors, 2);
    assert_string_equal(
        world.last_error,
        "token for the service principal: clientcertificate: it is neither PEM nor PKCS#12 in base64");
    assert_int_equal(world.requests, 0);
    tear_down(&world);
}

/* --- a node's token service that is not well --- */

/* Until `healthy_ms` IMDS answers `status` (0: not at all). */
struct illness {
    int status;
    int64_t retry_after_ms;
    uint64_t healthy_ms;
    uint64_t asked_ms[16];
    unsigned asked;
};

static struct fake_response ill_answer(struct fake *fake, const char *url, const char *bearer,
                                       const char *body)
{
    struct world *world = of_state(fake);
    struct illness *illness = fake->arg;
    (void)bearer;
    (void)body;
    assert_non_null(strstr(url, "http://imds/metadata/identity/oauth2/token"));
    illness->asked_ms[illness->asked++ % 16] = fake->now_ms;
    world->requests++;
    if (fake->now_ms >= illness->healthy_ms)
        return (struct fake_response){.status = 200,
                                      .body = "{\"access_token\":\"T\",\"expires_in\":\"3599\"}"};
    if (illness->status == 0)
        return (struct fake_response){.failure = GRPC_STATUS_DEADLINE_EXCEEDED, .hop = HTTP_HOP_TIMEOUT};
    return (struct fake_response){
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
        world.fake.respond = ill_answer;
        world.fake.arg = &illness;
        cleanup_identity struct identity *identity = make(&world, IDENTITY_MANAGED, NULL);
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
        world.fake.respond = ill_answer;
        world.fake.arg = &illness;
        cleanup_identity struct identity *identity = make(&world, IDENTITY_MANAGED, NULL);
        assert_non_null(get(&world, identity));
        pass(&world, 60000);
        assert_int_equal(world.requests, 1);
        assert_int_equal(world.errors, 1);
        tear_down(&world);
    }
}

static struct fake_response nobody_answers(struct fake *fake, const char *url, const char *bearer,
                                           const char *body)
{
    struct world *world = of_state(fake);
    const struct fake_response *failure = fake->arg;
    (void)url;
    (void)bearer;
    (void)body;
    world->requests++;
    return *failure;
}

static void a_service_of_the_node_that_does_not_answer_is_named_with_a_hint(void **state)
{
    (void)state;
    static const struct fake_response unconnected = {.failure = GRPC_STATUS_UNAVAILABLE,
                                                     .hop = HTTP_HOP_CONNECT};
    static const struct fake_response broke_off = {.failure = GRPC_STATUS_UNAVAILABLE,
                                                   .hop = HTTP_HOP_RECEIVE};
    static const struct fake_response silent = {.failure = GRPC_STATUS_DEADLINE_EXCEEDED,
                                                .hop = HTTP_HOP_TIMEOUT};
    static const char imds[] = "no response from IMDS [hint: ";
    static const char nmi[] = "no response from NMI [hint: ";
    static const struct {
        enum identity_mode mode;
        const struct fake_response *failure;
        const char *text; /* NULL: the network's words are enough */
        unsigned tries;
    } rows[] = {
        {IDENTITY_MANAGED, &unconnected, imds, 2}, /* it is not there; whoever waits is told soon */
        {IDENTITY_MANAGED, &broke_off, imds, 7},
        {IDENTITY_MANAGED, &silent, imds, 7},
        {IDENTITY_POD, &unconnected, nmi, 1},
        {IDENTITY_POD, &silent, nmi, 1},
        {IDENTITY_SERVICE_PRINCIPAL, &unconnected, NULL, 4},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct world world;
        struct fake_response failure = *rows[i].failure;
        set_up(&world);
        world.fake.respond = nobody_answers;
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
            assert_null(strstr(world.last_error, "no response from"));
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
    };
    return cmocka_run_group_tests_name("azure_tokens", tests, NULL, NULL);
}
