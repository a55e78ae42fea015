/*
 * test_azure_sharing.c - shared between mounts: joined reads, cached responses and their freshness, back-off.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <stdio.h>

#include "provider-azure/vault/served_volumes.h"
#include "provider-azure/vault/vault_cache.h"
#include "test/unit/azure_principal.h"
#include "test/unit/test_azure_fake.h"

enum { TTL_MS = 120000, FAR_MS = 1000000 };
enum reader { ALICE, BOB };

struct fixture {
    struct fake fake;
    struct throttle_table throttles;
    struct network network;
    struct token_cache *tokens;
    struct stale_store *stale; /* outage mode, if not NULL */
    struct vault_cache *cache;
    struct principal readers[2];
    int version; /* the current one of the vault: "v1", "v2", ... */
    int status;  /* of the vault's responses; 0 = 200 */
    int64_t retry_after_ms;
    char body[256];
};

struct result {
    bool done;
    char version[16];
    enum grpc_status code;
};

/* The last response that a read gave; with a reference. */
static struct vault_response *last_response;

/* The cache holds a reference to the last response, too. */
static bool is_cached(void)
{
    return last_response->refs == 2;
}

static struct fake_response respond(struct fake *fake, const char *url, const char *bearer, const char *body)
{
    struct fixture *fixture = fake->arg;
    (void)url;
    (void)bearer;
    (void)body;
    if (fixture->status != 0)
        return (struct fake_response){
            .status = fixture->status, .body = "{}", .retry_after_ms = fixture->retry_after_ms};
    (void)snprintf(fixture->body, sizeof(fixture->body),
                   "{\"value\":\"x\",\"id\":\"https://kv1.vault.azure.net/secrets/a/v%d\"}",
                   fixture->version);
    return (struct fake_response){.status = 200, .body = fixture->body};
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    fake_init(&fixture->fake, respond, fixture);
    fixture->network = (struct network){.transport = &fixture->fake.base, .throttles = &fixture->throttles};
    fixture->tokens = token_cache_create(&fixture->network, NULL);
    fixture->cache = vault_cache_create(&fixture->network, fixture->tokens, TTL_MS, fixture->stale, NULL);
    fixture->readers[ALICE] = principal_create("alice");
    fixture->readers[BOB] = principal_create("bob");
    fixture->version = 1;
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    vault_response_unref(last_response);
    last_response = NULL;
    stale_store_destroy(fixture->stale);
    vault_cache_destroy(fixture->cache);
    token_cache_destroy(fixture->tokens);
    principal_destroy(&fixture->readers[ALICE]);
    principal_destroy(&fixture->readers[BOB]);
    fake_assert_idle(&fixture->fake);
    free(fixture);
    return 0;
}

static void on_result(struct vault_response *got, const struct error *error, void *arg)
{
    struct result *result = arg;
    assert_false(result->done);
    result->done = true;
    result->code = error_code(error);
    (void)snprintf(result->version, sizeof(result->version), "%s", got != NULL ? got->object.version : "");
    if (got == NULL)
        return;
    vault_response_unref(last_response);
    last_response = got;
}

static const struct vault_query secret_a = {.vault_url = "https://kv1.vault.azure.net/",
                                            .vault_host = "kv1.vault.azure.net",
                                            .type = OBJECT_SECRET,
                                            .name = "a",
                                            .version = ""};

static struct vault_waiter *get(struct fixture *fixture, enum reader reader, struct vault_freshness freshness,
                                struct result *result)
{
    *result = (struct result){.done = false};
    struct vault_waiter *waiter = vault_cache_get(
        fixture->cache, &secret_a, fixture->readers[reader].identity, fixture->readers[reader].token,
        &freshness, fixture->fake.now_ms + FAR_MS, on_result, result, NULL);
    assert_non_null(waiter);
    assert_false(result->done);
    return waiter;
}

static const struct vault_freshness first = {.republish = false};

static struct vault_freshness again(uint64_t served_ms)
{
    return (struct vault_freshness){.republish = true, .volume_served_ms = served_ms};
}

static void settle(struct fixture *fixture)
{
    fake_run(&fixture->fake, fixture->fake.now_ms);
}

static const char *read_now(struct fixture *fixture, enum reader reader, struct vault_freshness freshness)
{
    static struct result result;
    (void)get(fixture, reader, freshness, &result);
    settle(fixture);
    assert_true(result.done);
    return result.version;
}

/* Takes the oldest request off the list, so that its response comes later. */
static struct transport_call *hold(struct fixture *fixture)
{
    struct transport_call *held = fixture->fake.calls;
    assert_non_null(held);
    fixture->fake.calls = held->next;
    held->next = NULL;
    return held;
}

static void let_go(struct fixture *fixture, struct transport_call *held)
{
    held->next = fixture->fake.calls;
    fixture->fake.calls = held;
    fake_deliver(&fixture->fake);
}

/* --- joining --- */

static void first_mounts_join_a_request_that_has_just_been_sent(void **state)
{
    struct fixture *fixture = *state;
    struct result a;
    struct result b;
    (void)get(fixture, ALICE, first, &a);
    fixture->fake.now_ms += VAULT_CACHE_JOIN_MS;
    (void)get(fixture, ALICE, first, &b);
    assert_int_equal(fixture->fake.sent, 1);
    settle(fixture);
    assert_string_equal(a.version, "v1");
    assert_string_equal(b.version, "v1");
}

static void a_first_mount_does_not_join_a_request_that_was_sent_long_ago(void **state)
{
    struct fixture *fixture = *state;
    struct result slow;
    (void)get(fixture, ALICE, first, &slow);
    struct transport_call *held = hold(fixture);
    fixture->fake.now_ms += VAULT_CACHE_JOIN_MS + 1;
    fixture->version = 2; /* somebody rotates, then starts a pod */
    assert_string_equal(read_now(fixture, ALICE, first), "v2");
    assert_int_equal(fixture->fake.sent, 2);
    fixture->version = 1; /* the first request had read this */
    let_go(fixture, held);
    assert_string_equal(slow.version, "v1");
}

static void a_mount_joins_a_request_that_waits_for_its_next_try(void **state)
{
    struct fixture *fixture = *state;
    struct result a;
    struct result b;
    fixture->status = 429;
    fixture->retry_after_ms = 30000;
    (void)get(fixture, ALICE, first, &a);
    settle(fixture);
    fixture->fake.now_ms += 20000;
    fixture->status = 0;
    (void)get(fixture, ALICE, first, &b);
    assert_int_equal(fixture->fake.sent, 1);
    fake_run(&fixture->fake, fixture->fake.now_ms + 11000);
    assert_int_equal(fixture->fake.sent, 2);
    assert_string_equal(a.version, "v1");
    assert_string_equal(b.version, "v1");
}

static void identities_never_share_a_read(void **state)
{
    struct fixture *fixture = *state;
    struct result a;
    struct result b;
    (void)get(fixture, ALICE, first, &a);
    (void)get(fixture, BOB, first, &b);
    assert_int_equal(fixture->fake.sent, 2);
    settle(fixture);
    (void)read_now(fixture, ALICE, again(0));
    assert_int_equal(fixture->fake.sent, 2);
    fixture->status = 403; /* bob's response is not for alice, and bob's refusal does not touch it */
    fixture->fake.now_ms += TTL_MS / 2;
    (void)get(fixture, BOB, first, &b);
    settle(fixture);
    assert_int_equal(b.code, GRPC_STATUS_PERMISSION_DENIED);
    assert_string_equal(read_now(fixture, ALICE, again(0)), "v1");
    assert_int_equal(fixture->fake.sent, 3);
}

static void a_cancelled_waiter_does_not_end_the_request_of_others(void **state)
{
    struct fixture *fixture = *state;
    struct result a;
    struct result b;
    struct vault_waiter *gone = get(fixture, ALICE, first, &a);
    (void)get(fixture, ALICE, first, &b);
    vault_waiter_cancel(&gone);
    settle(fixture);
    assert_false(a.done);
    assert_string_equal(b.version, "v1");
    gone = get(fixture, ALICE, first, &a);
    vault_waiter_cancel(&gone);
    assert_null(fixture->fake.calls);
}

/* --- freshness --- */

static void a_republish_is_served_what_was_read_since_the_volume_was_served(void **state)
{
    struct fixture *fixture = *state;
    uint64_t mounted = fixture->fake.now_ms;
    (void)read_now(fixture, ALICE, first);
    fixture->fake.now_ms += 60000;
    (void)read_now(fixture, ALICE, first); /* another pod, a minute later */
    fixture->fake.now_ms += 60000;
    (void)read_now(fixture, ALICE, again(mounted));
    assert_int_equal(fixture->fake.sent, 2);
    (void)read_now(fixture, ALICE, again(mounted + 60000)); /* the second pod has seen exactly that */
    assert_int_equal(fixture->fake.sent, 3);
}

static void a_repeated_call_is_no_rotation(void **state)
{
    struct fixture *fixture = *state;
    (void)read_now(fixture, ALICE, first);
    uint64_t served = fixture->fake.now_ms;
    fixture->fake.now_ms += VAULT_CACHE_GRACE_MS;
    (void)read_now(fixture, ALICE, again(served));
    assert_int_equal(fixture->fake.sent, 1);
    fixture->fake.now_ms += 1;
    (void)read_now(fixture, ALICE, again(served));
    assert_int_equal(fixture->fake.sent, 2);
}

static void a_response_is_as_old_as_its_request(void **state)
{
    struct fixture *fixture = *state;
    struct result slow;
    (void)get(fixture, ALICE, first, &slow);
    struct transport_call *held = hold(fixture);
    fixture->fake.now_ms += TTL_MS; /* the response drips in for two minutes */
    let_go(fixture, held);
    (void)read_now(fixture, ALICE, again(0));
    assert_int_equal(fixture->fake.sent, 2);
}

static void of_two_responses_that_crossed_neither_is_cached(void **state)
{
    struct fixture *fixture = *state;
    struct result slow;
    (void)get(fixture, ALICE, first, &slow);
    struct transport_call *held = hold(fixture);
    fixture->fake.now_ms += VAULT_CACHE_JOIN_MS + 1;
    fixture->version = 2;
    assert_string_equal(read_now(fixture, ALICE, first), "v2");
    fixture->fake.now_ms += 10;
    fixture->version = 1;
    let_go(fixture, held); /* came later, but was requested earlier */
    assert_false(is_cached());
    fixture->version = 2;
    assert_string_equal(read_now(fixture, ALICE, again(0)), "v2");
    assert_int_equal(fixture->fake.sent, 3);
}

static void a_republish_does_not_join_a_request_older_than_what_was_served(void **state)
{
    struct fixture *fixture = *state;
    struct result slow;
    struct result republished;
    (void)get(fixture, ALICE, first, &slow);
    struct transport_call *held = hold(fixture);
    fixture->fake.now_ms += VAULT_CACHE_JOIN_MS + 1;
    fixture->version = 2;
    assert_string_equal(read_now(fixture, ALICE, first), "v2");
    uint64_t mounted = fixture->fake.now_ms;
    fixture->fake.now_ms += VAULT_CACHE_GRACE_MS + 1; /* now its own response is too old for it */
    (void)get(fixture, ALICE, again(mounted), &republished);
    settle(fixture);
    assert_string_equal(republished.version, "v2");
    assert_int_equal(fixture->fake.sent, 3);
    let_go(fixture, held);
}

static void a_republish_is_not_served_what_is_older_than_another_identity_was_served(void **state)
{
    struct fixture *fixture = *state;
    assert_string_equal(read_now(fixture, ALICE, first), "v1");
    fixture->fake.now_ms += 1000;
    fixture->version = 2;
    assert_string_equal(read_now(fixture, BOB, first), "v2");
    fixture->fake.now_ms += 1000;
    assert_string_equal(read_now(fixture, ALICE, again(0)),
                        "v2"); /* the pod's class changed from bob to alice */
    assert_int_equal(fixture->fake.sent, 3);
    assert_string_equal(read_now(fixture, BOB, again(0)), "v2");
    assert_int_equal(fixture->fake.sent, 3);
}

static void an_object_that_is_refused_is_not_served_from_the_cache(void **state)
{
    static const int refusals[] = {401, 403, 404};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct result result;
        fixture->status = 0;
        (void)read_now(fixture, ALICE, first);
        assert_true(is_cached());
        fixture->status = refusals[i];
        (void)get(fixture, ALICE, first, &result);
        settle(fixture);
        assert_false(is_cached());
    }
    fixture->status = 0;
    (void)read_now(fixture, ALICE, first);
    fixture->status = 400; /* says nothing about the object */
    struct result result;
    (void)get(fixture, ALICE, first, &result);
    settle(fixture);
    assert_true(is_cached());
}

static void a_cached_response_is_wiped_when_it_is_too_old(void **state)
{
    struct fixture *fixture = *state;
    (void)read_now(fixture, ALICE, first);
    fake_run(&fixture->fake, fixture->fake.now_ms + TTL_MS);
    assert_false(is_cached());
}

/* --- volumes --- */

static void let_pass(struct fixture *fixture, uint64_t ms)
{
    uint64_t end = fixture->fake.now_ms + ms;
    fake_run(&fixture->fake, end);
    fixture->fake.now_ms = end;
}

/* A volume that waits since `tried_ms`. */
static struct vault_freshness waiting(uint64_t tried_ms)
{
    return (struct vault_freshness){.tried_ms = tried_ms};
}

static void a_held_response_serves_only_the_volumes_that_wait_since_before_it(void **state)
{
    enum { HOLD_MS = 3 * TTL_MS };
    struct fixture *fixture = *state;
    const struct token *token = fixture->readers[ALICE].token;
    fixture->fake.now_ms = 1000;
    vault_cache_hold(fixture->cache, &secret_a, token, NULL, HOLD_MS); /* nothing is there to be held */
    assert_string_equal(read_now(fixture, ALICE, first), "v1");
    vault_cache_hold(fixture->cache, &secret_a, token, NULL, 1000 + HOLD_MS);
    fixture->version = 2;
    let_pass(fixture, HOLD_MS - 1000);
    assert_true(is_cached());
    assert_string_equal(read_now(fixture, ALICE, waiting(999)), "v1");
    assert_string_equal(read_now(fixture, ALICE, waiting(1000)), "v1");
    assert_int_equal(fixture->fake.sent, 1);
    let_pass(fixture, 1000); /* the hold of the call before, but those that were served may fail, too */
    assert_true(is_cached());
    let_pass(fixture, FAR_MS + VAULT_CACHE_GRACE_MS); /* the volumes have not called again */
    assert_false(is_cached());

    uint64_t read_ms = 0;
    for (int i = 0; i < 4; i++) { /* once it is older than the time to live, nobody else gets it */
        (void)read_now(fixture, ALICE, first);
        read_ms = fixture->fake.now_ms;
        vault_cache_hold(fixture->cache, &secret_a, token, NULL, read_ms + HOLD_MS);
        fixture->version++;
        let_pass(fixture, TTL_MS + 1);
        assert_true(is_cached());
        const struct vault_freshness others[] = {first, waiting(read_ms + 1), again(read_ms - 1),
                                                 waiting(read_ms)};
        unsigned before = fixture->fake.sent;
        (void)read_now(fixture, i == 3 ? BOB : ALICE, others[i]);
        assert_int_equal(fixture->fake.sent, before + 1);
    }
}

static void a_volume_brings_back_what_has_expired_but_not_what_was_refused(void **state)
{
    struct fixture *fixture = *state;
    const struct token *token = fixture->readers[ALICE].token;
    fixture->fake.now_ms = 1000;
    (void)read_now(fixture, ALICE, first);
    let_pass(fixture, TTL_MS);
    assert_false(is_cached());
    vault_cache_hold(fixture->cache, &secret_a, token, last_response, 2 * TTL_MS);
    assert_true(is_cached());
    assert_string_equal(read_now(fixture, ALICE, waiting(1000)), "v1");
    assert_int_equal(fixture->fake.sent, 1);
    fixture->status = 403;
    (void)read_now(fixture, ALICE, again(fixture->fake.now_ms));
    vault_cache_hold(fixture->cache, &secret_a, token, last_response, 2 * TTL_MS);
    fixture->status = 0;
    (void)read_now(fixture, ALICE, waiting(1000));
    assert_int_equal(fixture->fake.sent, 3);
}

static void volumes_are_remembered_for_a_while(void **state)
{
    uint8_t a[DIGEST_SHA256_LEN] = {1};
    uint8_t b[DIGEST_SHA256_LEN] = {1, 2};
    struct served_volumes *volumes = served_volumes_create(1000, NULL);
    (void)state;
    assert_int_equal(served_volumes_last_ms(volumes, a, 5000), 0);
    served_volumes_put(volumes, a, 5000);
    served_volumes_put(volumes, b, 5500);
    assert_int_equal(served_volumes_last_ms(volumes, a, 6000), 5000);
    assert_int_equal(served_volumes_last_ms(volumes, b, 6000), 5500);
    assert_int_equal(served_volumes_last_ms(volumes, a, 6001), 0);
    served_volumes_put(volumes, a, 7000);
    assert_int_equal(served_volumes_last_ms(volumes, b, 6000), 0); /* b has ended and is forgotten */
    served_volumes_destroy(volumes);
}

static void an_evicted_volume_may_have_been_served_as_late_as_the_last_of_them(void **state)
{
    uint8_t volume[DIGEST_SHA256_LEN] = {0};
    struct served_volumes *volumes = served_volumes_create(100000, NULL);
    (void)state;
    for (unsigned i = 0; i < SERVED_VOLUMES_MAX + 3; i++) {
        volume[0] = (uint8_t)i;
        volume[1] = (uint8_t)(i >> 8);
        served_volumes_put(volumes, volume, 1000 + i);
    }
    volume[0] = volume[1] = 0;
    assert_int_equal(served_volumes_last_ms(volumes, volume, 5000), 1002);
    volume[0] = 3; /* the oldest that is still held */
    assert_int_equal(served_volumes_last_ms(volumes, volume, 5000), 1003);
    served_volumes_destroy(volumes);
}

/* --- back-off --- */

static void a_storm_costs_one_request_per_pause(void **state)
{
    enum { MOUNTS = 200 };
    static struct result results[MOUNTS];
    struct fixture *fixture = *state;
    char name[16];
    fixture->status = 429;
    fixture->retry_after_ms = 1000;
    struct vault_freshness freshness = first;
    for (int i = 0; i < MOUNTS; i++) { /* different objects of one vault */
        (void)snprintf(name, sizeof(name), "s%d", i);
        const struct vault_query query = {.vault_url = "https://kv1.vault.azure.net/",
                                          .vault_host = "kv1.vault.azure.net",
                                          .type = OBJECT_SECRET,
                                          .name = name,
                                          .version = ""};
        results[i] = (struct result){.done = false};
        assert_non_null(vault_cache_get(fixture->cache, &query, fixture->readers[ALICE].identity,
                                        fixture->readers[ALICE].token, &freshness,
                                        fixture->fake.now_ms + 30000, on_result, &results[i], NULL));
        settle(fixture);
    }
    assert_int_equal(fixture->fake.sent, 1); /* the others wait for the pause */
    fake_run(&fixture->fake, fixture->fake.now_ms + 20000);
    assert_true(fixture->fake.sent <= 22);
    fixture->status = 0;
    unsigned before = fixture->fake.sent;
    fake_run(&fixture->fake, fixture->fake.now_ms + 9000); /* in time for the deadline */
    unsigned served = 0;
    for (int i = 0; i < MOUNTS; i++) {
        assert_true(results[i].done);
        served += results[i].code == GRPC_STATUS_OK;
        assert_true(results[i].code == GRPC_STATUS_OK || results[i].code == GRPC_STATUS_RESOURCE_EXHAUSTED);
    }
    assert_true(served >= MOUNTS - 22);
    assert_int_equal(fixture->fake.sent - before, served);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        CASE(first_mounts_join_a_request_that_has_just_been_sent),
        CASE(a_first_mount_does_not_join_a_request_that_was_sent_long_ago),
        CASE(a_mount_joins_a_request_that_waits_for_its_next_try),
        CASE(identities_never_share_a_read),
        CASE(a_cancelled_waiter_does_not_end_the_request_of_others),
        CASE(a_republish_is_served_what_was_read_since_the_volume_was_served),
        CASE(a_repeated_call_is_no_rotation),
        CASE(a_response_is_as_old_as_its_request),
        CASE(of_two_responses_that_crossed_neither_is_cached),
        CASE(a_republish_does_not_join_a_request_older_than_what_was_served),
        CASE(a_republish_is_not_served_what_is_older_than_another_identity_was_served),
        CASE(an_object_that_is_refused_is_not_served_from_the_cache),
        CASE(a_cached_response_is_wiped_when_it_is_too_old),
        CASE(a_held_response_serves_only_the_volumes_that_wait_since_before_it),
        CASE(a_volume_brings_back_what_has_expired_but_not_what_was_refused),
        cmocka_unit_test(volumes_are_remembered_for_a_while),
        cmocka_unit_test(an_evicted_volume_may_have_been_served_as_late_as_the_last_of_them),
        CASE(a_storm_costs_one_request_per_pause),
    };
    return cmocka_run_group_tests_name("azure sharing", tests, NULL, NULL);
}
