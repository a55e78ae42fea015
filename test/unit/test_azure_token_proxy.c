/*
 * test_azure_token_proxy.c - the way to the token proxy of an identity binding, and the name that it has.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include "provider-azure/identity/cluster_sni.h"
#include "test/unit/azure_tokens_fixture.h"

/* Ends the probe under way with names, or with an error. */
static void end_probe(struct fixture *fixture, const char *const *names)
{
    struct tls_probe *probe = fixture->probe;
    struct error *error = NULL;
    assert_non_null(probe);
    fixture->probe = NULL;
    if (names == NULL)
        error_set(&error, GRPC_STATUS_UNAVAILABLE, "connect to api: refused");
    probe->callback(names, error, probe->arg);
    error_free(error);
    free(probe);
}

static const char *const aks_names[] = {"kubernetes", "*.hcp-kubernetes.x.svc.cluster.local",
                                        "hcp-kubernetes..svc.cluster.local",
                                        "hcp-kubernetes.696995ccb303450001b31a18.svc.cluster.local", NULL};
static const char *const other_names[] = {"kubernetes", "hcp-kubernetes..svc.cluster.local",
                                          "hcp-kubernetes.abc.svc.cluster.locals", NULL};
#define SNI "aeaf29ip1hi5q38ebc3u4daum81u0unk52t5bg50j25234fmuj78g.ests.aks"

static void set_up_proxy(struct fixture *fixture, const char *url, const char *sni)
{
    const struct token_proxy_config config = {
        .url = url, .sni_name = sni, .ca_file = "/nonexistent/ca.crt", .api_server = "api:443"};
    set_up(fixture);
    fixture->proxy = token_proxy_create(&fixture->fake.base, &config, NULL);
    assert_non_null(fixture->proxy);
}

static void the_server_name_is_computed_from_the_clusters_id(void **state)
{
    (void)state;
    static const char *const vectors[][2] = {
        {"696995ccb303450001b31a18", SNI},
        {"abc123def456", "avimke6u6l2eeq8qc1cneuaq4sl2e1av9t4clqgun97le32hub670.ests.aks"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        cleanup_free char *name = cluster_sni_name(vectors[i][0]);
        assert_string_equal(name, vectors[i][1]);
    }
}

static void the_certificate_is_probed_once_for_all_waiters(void **state)
{
    struct fixture fixture;
    (void)state;
    set_up_proxy(&fixture, "https://proxy.example/p", "");
    cleanup_identity struct identity *a = make(&fixture, IDENTITY_BINDING, "jwt-a");
    cleanup_identity struct identity *b = make(&fixture, IDENTITY_BINDING, "jwt-b");
    assert_int_equal(fixture.probes, 0); /* not before it is needed */
    assert_non_null(get(&fixture, a));
    assert_non_null(get(&fixture, b));
    assert_non_null(get(&fixture, b));
    run_for(&fixture, 0);
    assert_int_equal(fixture.requests, 0);
    end_probe(&fixture, aks_names);
    run_for(&fixture, 0);
    assert_int_equal(fixture.probes, 1);
    assert_int_equal(fixture.requests, 2);
    assert_int_equal(fixture.tokens, 3);
    assert_string_equal(fixture.url, "https://" SNI "/p/t/oauth2/v2.0/token");
    cleanup_identity struct identity *c = make(&fixture, IDENTITY_BINDING, "jwt-c");
    assert_non_null(get(&fixture, c));
    run_for(&fixture, 0);
    assert_int_equal(fixture.probes, 1);
    assert_int_equal(fixture.tokens, 4);
    tear_down(&fixture);
}

static void a_failure_is_reported_and_forgotten(void **state)
{
    struct fixture fixture;
    (void)state;
    set_up_proxy(&fixture, "", "");
    cleanup_identity struct identity *identity = make(&fixture, IDENTITY_BINDING, "jwt");
    assert_non_null(get(&fixture, identity));
    end_probe(&fixture, NULL);
    assert_int_equal(fixture.errors, 1);
    assert_string_equal(
        fixture.last_error,
        "token for the identity binding: proxy transport not available: connect to api: refused");

    assert_non_null(get(&fixture, identity));
    end_probe(&fixture, other_names);
    assert_string_equal(
        fixture.last_error,
        "token for the identity binding: proxy transport not available: cluster ID SAN not found in API server certificate (use --sni-name flag to provide SNI name explicitly)");

    assert_non_null(get(&fixture, identity));
    end_probe(&fixture, aks_names);
    run_for(&fixture, 0);
    assert_int_equal(fixture.tokens, 1);
    assert_int_equal(fixture.probes, 3);
    tear_down(&fixture);
}

static void a_wait_ends_at_its_own_deadline_and_the_handshake_goes_on(void **state)
{
    struct fixture fixture;
    (void)state;
    set_up_proxy(&fixture, "", "");
    cleanup_identity struct identity *identity = make(&fixture, IDENTITY_BINDING, "jwt");
    assert_non_null(
        token_cache_get(fixture.cache, identity, NULL, fixture.fake.now_ms + 1000, on_token, &fixture, NULL));
    pass(&fixture, 999);
    assert_int_equal(fixture.errors, 0);
    pass(&fixture, 1);
    assert_int_equal(fixture.errors, 1);
    assert_non_null(strstr(fixture.last_error, "the API server's certificate was not received before"));
    end_probe(&fixture, aks_names);
    assert_non_null(get(&fixture, identity));
    run_for(&fixture, 0);
    assert_int_equal(fixture.tokens, 1);
    assert_int_equal(fixture.probes, 1);
    tear_down(&fixture);
}

static void the_result_is_renewed_after_an_hour_or_when_it_is_invalidated(void **state)
{
    struct fixture fixture;
    (void)state;
    set_up_proxy(&fixture, "", "");
    cleanup_identity struct identity *identity = make(&fixture, IDENTITY_BINDING, "jwt");
    cleanup_identity struct identity *later = make(&fixture, IDENTITY_BINDING, "jwt-2");
    assert_non_null(get(&fixture, identity));
    end_probe(&fixture, aks_names);
    run_for(&fixture, 0);
    token_proxy_invalidate(fixture.proxy);
    assert_non_null(get(&fixture, later));
    assert_int_equal(fixture.probes, 2);
    end_probe(&fixture, aks_names);
    pass(&fixture, 3601 * 1000);
    assert_non_null(get(&fixture, identity));
    assert_int_equal(fixture.probes, 3);
    end_probe(&fixture, aks_names);
    run_for(&fixture, 0);
    tear_down(&fixture);
}

static void a_given_server_name_is_taken_as_it_is(void **state)
{
    struct fixture fixture;
    (void)state;
    set_up_proxy(&fixture, "https://proxy.example:8443/", "given.example");
    cleanup_identity struct identity *identity = make(&fixture, IDENTITY_BINDING, "jwt");
    assert_non_null(get(&fixture, identity));
    run_for(&fixture, 0);
    assert_int_equal(fixture.probes, 0);
    assert_string_equal(fixture.url, "https://given.example/t/oauth2/v2.0/token");
    tear_down(&fixture);
}

static void cancelled_waiters_leave_nothing_behind(void **state)
{
    struct fixture fixture;
    (void)state;
    set_up_proxy(&fixture, "", "");
    cleanup_identity struct identity *identity = make(&fixture, IDENTITY_BINDING, "jwt");
    struct token_waiter *waiter = get(&fixture, identity);
    token_waiter_cancel(&waiter);
    assert_null(fixture.fake.timers);
    tear_down(&fixture); /* also ends the probe */
}

static void urls_against_the_rules_are_reported_by_each_mount(void **state)
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
        struct fixture fixture;
        set_up_proxy(&fixture, bad[i], "x");
        cleanup_identity struct identity *identity = make(&fixture, IDENTITY_BINDING, "jwt");
        assert_null(get(&fixture, identity));
        if (strstr(fixture.last_error, "proxy transport not available: --token-proxy-url ") == NULL)
            fail_msg("%s: %s", bad[i], fixture.last_error);
        assert_non_null(token_proxy_config_error(fixture.proxy));
        tear_down(&fixture);
    }
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct fixture fixture;
        set_up_proxy(&fixture, good[i], "x");
        if (token_proxy_config_error(fixture.proxy) != NULL)
            fail_msg("%s: %s", good[i], error_message(token_proxy_config_error(fixture.proxy)));
        tear_down(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_server_name_is_computed_from_the_clusters_id),
        cmocka_unit_test(the_certificate_is_probed_once_for_all_waiters),
        cmocka_unit_test(a_failure_is_reported_and_forgotten),
        cmocka_unit_test(a_wait_ends_at_its_own_deadline_and_the_handshake_goes_on),
        cmocka_unit_test(the_result_is_renewed_after_an_hour_or_when_it_is_invalidated),
        cmocka_unit_test(a_given_server_name_is_taken_as_it_is),
        cmocka_unit_test(cancelled_waiters_leave_nothing_behind),
        cmocka_unit_test(urls_against_the_rules_are_reported_by_each_mount),
    };
    return cmocka_run_group_tests_name("azure_token_proxy", tests, NULL, NULL);
}
