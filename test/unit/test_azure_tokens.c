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

static void many_gets_at_once_cost_one_request(void **state)
{
    struct fixture fixture;
    (void)state;
    set_up(&fixture);
    cleanup_identity struct identity *identity = make(&fixture, IDENTITY_SERVICE_PRINCIPAL, "s");
    for (int i = 0; i < 1000; i++)
        assert_non_null(get(&fixture, identity));
    run_for(&fixture, 0);
    assert_int_equal(fixture.tokens, 1000);
    assert_int_equal(fixture.requests, 1);
    for (int i = 0; i < 1000; i++) {
        cleanup_identity struct identity *same = make(&fixture, IDENTITY_SERVICE_PRINCIPAL, "s");
        assert_non_null(get(&fixture, same));
    }
    run_for(&fixture, 0);
    assert_int_equal(fixture.tokens, 2000);
    assert_int_equal(fixture.requests, 1);
    tear_down(&fixture);
}

static void another_credential_has_a_request_of_its_own(void **state)
{
    struct fixture fixture;
    (void)state;
    set_up(&fixture);
    for (int i = 0; i < 100; i++) {
        char credential[16];
        (void)snprintf(credential, sizeof(credential), "jwt-%d", i);
        cleanup_identity struct identity *identity = make(&fixture, IDENTITY_WORKLOAD, credential);
        assert_non_null(get(&fixture, identity));
    }
    run_for(&fixture, 0);
    assert_int_equal(fixture.requests, 100);
    assert_int_equal(fixture.tokens, 100);
    tear_down(&fixture);
}

static void a_token_that_has_ended_is_wiped_without_a_lookup(void **state)
{
    struct fixture fixture;
    (void)state;
    set_up(&fixture);
    cleanup_identity struct identity *first = make(&fixture, IDENTITY_SERVICE_PRINCIPAL, "s");
    cleanup_identity struct identity *second = make(&fixture, IDENTITY_SERVICE_PRINCIPAL, "t");
    assert_non_null(get(&fixture, first));
    run_for(&fixture, 0);
    struct token *first_token = token_ref(fixture.last);
    pass(&fixture, 600 * 1000);
    assert_non_null(get(&fixture, second));
    run_for(&fixture, 0);
    struct token *second_token = token_ref(fixture.last);
    assert_int_equal(first_token->refs, 2); /* the cache's and this one */
    pass(&fixture, 2980 * 1000);
    assert_int_equal(first_token->refs, 2);
    pass(&fixture, 20 * 1000);
    assert_int_equal(first_token->refs, 1);
    assert_int_equal(second_token->refs, 3); /* and the fixture's */
    pass(&fixture, 600 * 1000);
    assert_int_equal(second_token->refs, 2);
    token_unref(first_token);
    token_unref(second_token);
    assert_null(fixture.fake.timers); /* an empty cache has no timer */
    tear_down(&fixture);
}

static void a_token_near_its_end_is_renewed_behind_the_back_of_those_it_still_serves(void **state)
{
    struct fixture fixture;
    (void)state;
    set_up(&fixture);
    cleanup_identity struct identity *identity = make(&fixture, IDENTITY_SERVICE_PRINCIPAL, "s");
    assert_non_null(get(&fixture, identity));
    run_for(&fixture, 0);
    pass(&fixture, 3310 * 1000);
    assert_non_null(get(&fixture, identity));
    assert_non_null(get(&fixture, identity));
    run_for(&fixture, 0);
    assert_int_equal(fixture.tokens, 3);
    assert_int_equal(fixture.requests, 2);
    assert_non_null(get(&fixture, identity));
    run_for(&fixture, 0);
    assert_string_equal(token_text(fixture.last), "token-2");
    tear_down(&fixture);
}

/* IMDS and NMI hand out the same token until it ends. */
static void a_service_that_has_nothing_newer_gets_no_request_each_time(void **state)
{
    struct fixture fixture;
    (void)state;
    set_up(&fixture);
    fixture.life = 120; /* always within the margin */
    cleanup_identity struct identity *identity = make(&fixture, IDENTITY_SERVICE_PRINCIPAL, "s");
    for (int i = 0; i < 60; i++) {
        assert_non_null(get(&fixture, identity));
        pass(&fixture, 1000);
    }
    assert_int_equal(fixture.tokens, 60);
    assert_in_range(fixture.requests, 1, 3);
    tear_down(&fixture);
}

static void a_failed_renewal_leaves_the_old_token_until_its_end(void **state)
{
    struct fixture fixture;
    (void)state;
    set_up(&fixture);
    cleanup_identity struct identity *identity = make(&fixture, IDENTITY_SERVICE_PRINCIPAL, "s");
    assert_non_null(get(&fixture, identity));
    pass(&fixture, 3310 * 1000);
    fixture.status = 401;
    for (int i = 0; i < 10; i++) {
        assert_non_null(get(&fixture, identity));
        run_for(&fixture, 0);
    }
    assert_int_equal(fixture.tokens, 11);
    assert_int_equal(fixture.errors, 0);
    assert_int_equal(fixture.requests, 2);
    pass(&fixture, 300 * 1000);
    assert_non_null(get(&fixture, identity));
    run_for(&fixture, 0);
    assert_int_equal(fixture.errors, 1);
    tear_down(&fixture);
}

static void the_cache_is_bounded_and_so_are_requests_in_flight(void **state)
{
    struct fixture fixture;
    (void)state;
    set_up(&fixture);
    for (int i = 0; i < TOKEN_CACHE_IN_FLIGHT_MAX + 10; i++) {
        char credential[16];
        (void)snprintf(credential, sizeof(credential), "jwt-%d", i);
        cleanup_identity struct identity *identity = make(&fixture, IDENTITY_WORKLOAD, credential);
        struct token_waiter *waiter = get(&fixture, identity);
        assert_true((waiter != NULL) == (i < TOKEN_CACHE_IN_FLIGHT_MAX));
    }
    assert_int_equal(fixture.errors, 10);
    run_for(&fixture, 0);
    assert_int_equal(fixture.tokens, TOKEN_CACHE_IN_FLIGHT_MAX);
    cleanup_identity struct identity *one_more = make(&fixture, IDENTITY_WORKLOAD, "one more");
    assert_non_null(get(&fixture, one_more));
    run_for(&fixture, 0);
    unsigned requests = fixture.requests;
    for (int i = 0; i < TOKEN_CACHE_MAX; i++) { /* the oldest are gone, the last ones stay */
        char credential[16];
        (void)snprintf(credential, sizeof(credential), "jwt-%d", i);
        cleanup_identity struct identity *identity = make(&fixture, IDENTITY_WORKLOAD, credential);
        assert_non_null(get(&fixture, identity));
        run_for(&fixture, 0);
    }
    assert_int_equal(fixture.requests, requests + TOKEN_CACHE_MAX);
    tear_down(&fixture);
}

static void the_last_cancelled_waiter_cancels_the_request(void **state)
{
    struct fixture fixture;
    (void)state;
    set_up(&fixture);
    cleanup_identity struct identity *identity = make(&fixture, IDENTITY_SERVICE_PRINCIPAL, "s");
    struct token_waiter *first = get(&fixture, identity);
    struct token_waiter *second = get(&fixture, identity);
    token_waiter_cancel(&first);
    assert_non_null(fixture.fake.calls);
    token_waiter_cancel(&second);
    assert_null(fixture.fake.calls);
    tear_down(&fixture);
}

static void a_certificate_is_read_in_a_thread_and_a_cancelled_one_leaves_nothing(void **state)
{
    struct fixture fixture;
    char client_id[] = "app";
    struct credentials credentials = {
        .mode = IDENTITY_SERVICE_PRINCIPAL, .kind = CREDENTIAL_CERTIFICATE, .client_id = client_id};
    (void)state;
    set_up(&fixture);
    credentials.credential = secret_from_bytes("no sense", 8);
    const struct identity_input input = {.credentials = &credentials, .cloud = &fixture.cloud, .tenant = "t"};
    cleanup_identity struct identity *identity = identity_create(&input, NULL);
    secret_destroy(credentials.credential);
    assert_non_null(identity);

    struct token_waiter *waiter = get(&fixture, identity);
    assert_non_null(waiter); /* not known yet: nothing is read on the spot */
    token_waiter_cancel(&waiter);
    run_for(&fixture, 0); /* the thread ends and cleans up */
    assert_int_equal(fixture.errors, 0);

    assert_non_null(get(&fixture, identity));
    assert_non_null(get(&fixture, identity));
    run_for(&fixture, 0);
    assert_int_equal(fixture.errors, 2);
    assert_string_equal(
        fixture.last_error,
        "token for the service principal: clientcertificate: it is neither PEM nor PKCS#12 in base64");
    assert_int_equal(fixture.requests, 0);
    tear_down(&fixture);
}

static struct identity *make_certificate(struct fixture *fixture, const char *certificate)
{
    char client_id[] = "app";
    struct credentials credentials = {.mode = IDENTITY_SERVICE_PRINCIPAL,
                                      .kind = CREDENTIAL_CERTIFICATE,
                                      .client_id = client_id,
                                      .credential = secret_from_bytes(certificate, strlen(certificate))};
    const struct identity_input input = {
        .credentials = &credentials, .cloud = &fixture->cloud, .tenant = "t"};
    struct identity *identity = identity_create(&input, NULL);
    secret_destroy(credentials.credential);
    assert_non_null(identity);
    return identity;
}

/* Opening one may take seconds: a retry of the kubelet does not open it again, another content does. */
static void a_certificate_that_cannot_be_used_is_opened_once(void **state)
{
    struct fixture fixture;
    (void)state;
    set_up(&fixture);
    struct identity *bad = make_certificate(&fixture, "AAAA"), *other = make_certificate(&fixture, "BBBB");
    for (unsigned i = 1; i <= 3; i++) {
        assert_non_null(get(&fixture, bad));
        pass(&fixture, 1000);
        assert_int_equal(fixture.errors, i);
        assert_non_null(strstr(fixture.last_error,
                               "token for the service principal: clientcertificate: pkcs12: damaged"));
        assert_int_equal(fixture.fake.jobs_run, 1);
    }
    assert_non_null(get(&fixture, other));
    fake_run(&fixture.fake, fixture.fake.now_ms);
    assert_int_equal(fixture.fake.jobs_run, 2);
    struct token_waiter *cancelled = get(&fixture, bad);
    token_waiter_cancel(&cancelled);
    pass(&fixture, 10 * 60 * 1000); /* it is forgotten at last */
    assert_int_equal(fixture.errors, 4);
    assert_non_null(get(&fixture, bad));
    fake_run(&fixture.fake, fixture.fake.now_ms);
    assert_int_equal(fixture.fake.jobs_run, 3);
    assert_int_equal(fixture.requests, 0);
    identity_unref(bad);
    identity_unref(other);
    tear_down(&fixture);
}

/* --- a node's token service in trouble --- */

/* Until `healthy_ms` IMDS returns `status` (0: no response). */
struct trouble {
    int status;
    int64_t retry_after_ms;
    uint64_t healthy_ms;
    uint64_t sent_ms[16];
    unsigned sent;
};

static struct fake_response failing_service(struct fake *fake, const char *url, const char *bearer,
                                            const char *body)
{
    struct fixture *fixture = fixture_of(fake);
    struct trouble *trouble = fake->arg;
    (void)bearer;
    (void)body;
    assert_non_null(strstr(url, "http://imds/metadata/identity/oauth2/token"));
    trouble->sent_ms[trouble->sent++ % 16] = fake->now_ms;
    fixture->requests++;
    if (fake->now_ms >= trouble->healthy_ms)
        return (struct fake_response){.status = 200,
                                      .body = "{\"access_token\":\"T\",\"expires_in\":\"3599\"}"};
    if (trouble->status == 0)
        return (struct fake_response){.failure = GRPC_STATUS_DEADLINE_EXCEEDED, .hop = HTTP_HOP_TIMEOUT};
    return (struct fake_response){
        .status = trouble->status, .body = "{}", .retry_after_ms = trouble->retry_after_ms};
}

static void imds_gets_requests_until_it_is_well(void **state)
{
    (void)state;
    static const struct {
        int status;
        int64_t retry_after_ms;
        uint64_t healthy_ms;
    } rows[] = {{404, 0, 3000},  {410, 0, 70000}, {429, 0, 20000}, {429, 1000, 5000}, {500, 0, 20000},
                {500, 1, 20000}, {503, 0, 20000}, {508, 0, 1500},  {0, 0, 30000}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct fixture fixture;
        struct trouble trouble = {.status = rows[i].status,
                                  .retry_after_ms = rows[i].retry_after_ms,
                                  .healthy_ms = 1000 + rows[i].healthy_ms};
        set_up(&fixture);
        fixture.fake.respond = failing_service;
        fixture.fake.arg = &trouble;
        cleanup_identity struct identity *identity = make(&fixture, IDENTITY_MANAGED, NULL);
        assert_non_null(token_cache_get(fixture.cache, identity, NULL, fixture.fake.now_ms + 110000, on_token,
                                        &fixture, NULL));
        pass(&fixture, 110000);
        if (fixture.tokens != 1 && rows[i].retry_after_ms != 1)
            fail_msg("row %zu: %s", i, fixture.last_error);
        assert_in_range(fixture.requests, 2, 7);
        for (unsigned k = 1; k < trouble.sent; k++)
            assert_true(trouble.sent_ms[k] - trouble.sent_ms[k - 1] >= (rows[i].status == 404 ? 500 : 1000));
        tear_down(&fixture);
    }
}

static void what_imds_means_is_not_requested_again(void **state)
{
    (void)state;
    static const int statuses[] = {400, 401, 403, 405};
    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
        struct fixture fixture;
        struct trouble trouble = {.status = statuses[i], .healthy_ms = UINT64_MAX};
        set_up(&fixture);
        fixture.fake.respond = failing_service;
        fixture.fake.arg = &trouble;
        cleanup_identity struct identity *identity = make(&fixture, IDENTITY_MANAGED, NULL);
        assert_non_null(get(&fixture, identity));
        pass(&fixture, 60000);
        assert_int_equal(fixture.requests, 1);
        assert_int_equal(fixture.errors, 1);
        tear_down(&fixture);
    }
}

static struct fake_response no_service_responds(struct fake *fake, const char *url, const char *bearer,
                                                const char *body)
{
    struct fixture *fixture = fixture_of(fake);
    const struct fake_response *failure = fake->arg;
    (void)url;
    (void)bearer;
    (void)body;
    fixture->requests++;
    return *failure;
}

static void a_service_of_the_node_that_does_not_respond_is_named_with_a_hint(void **state)
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
        {IDENTITY_MANAGED, &unconnected, imds, 2}, /* it is absent: the error comes soon */
        {IDENTITY_MANAGED, &broke_off, imds, 7},
        {IDENTITY_MANAGED, &silent, imds, 7},
        {IDENTITY_POD, &unconnected, nmi, 1},
        {IDENTITY_POD, &silent, nmi, 1},
        {IDENTITY_SERVICE_PRINCIPAL, &unconnected, NULL, 4},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct fixture fixture;
        struct fake_response failure = *rows[i].failure;
        set_up(&fixture);
        fixture.fake.respond = no_service_responds;
        fixture.fake.arg = &failure;
        cleanup_identity struct identity *identity = make(&fixture, rows[i].mode, "secret");
        assert_non_null(token_cache_get(fixture.cache, identity, NULL, fixture.fake.now_ms + 200000, on_token,
                                        &fixture, NULL));
        pass(&fixture, 200000);
        assert_int_equal(fixture.errors, 1);
        assert_int_equal(fixture.requests, rows[i].tries);
        if (rows[i].text != NULL)
            assert_non_null(strstr(fixture.last_error, rows[i].text));
        else
            assert_null(strstr(fixture.last_error, "no response from"));
        tear_down(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_gets_at_once_cost_one_request),
        cmocka_unit_test(another_credential_has_a_request_of_its_own),
        cmocka_unit_test(a_token_that_has_ended_is_wiped_without_a_lookup),
        cmocka_unit_test(a_token_near_its_end_is_renewed_behind_the_back_of_those_it_still_serves),
        cmocka_unit_test(a_service_that_has_nothing_newer_gets_no_request_each_time),
        cmocka_unit_test(a_failed_renewal_leaves_the_old_token_until_its_end),
        cmocka_unit_test(the_cache_is_bounded_and_so_are_requests_in_flight),
        cmocka_unit_test(the_last_cancelled_waiter_cancels_the_request),
        cmocka_unit_test(a_certificate_is_read_in_a_thread_and_a_cancelled_one_leaves_nothing),
        cmocka_unit_test(a_certificate_that_cannot_be_used_is_opened_once),
        cmocka_unit_test(imds_gets_requests_until_it_is_well),
        cmocka_unit_test(what_imds_means_is_not_requested_again),
        cmocka_unit_test(a_service_of_the_node_that_does_not_respond_is_named_with_a_hint),
    };
    return cmocka_run_group_tests_name("azure_tokens", tests, NULL, NULL);
}
