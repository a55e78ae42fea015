/*
 * test_azure_throttled.c - volumes without content that wait for a throttled vault: their order, and what
 * they keep between calls.
 */
#include "test/unit/azure_mount_fixture.h"

enum { CALL_MS = 100 * 1000, PAUSE_MS = 120 * 1000 };

static int requests_of_a;
static bool throttles; /* all but secret a, which is read by the first request */
static bool too_large; /* likewise */

static struct fake_response respond_to_a(struct fake *fake, const char *url, const char *bearer,
                                         const char *body)
{
    bool is_a = strstr(url, "/secrets/a/") != NULL;
    requests_of_a += is_a;
    if (throttles && strstr(url, "/secrets/") != NULL && !is_a)
        return (struct fake_response){.status = 429, .retry_after_ms = 10000, .body = "{}"};
    if (too_large && strstr(url, "/secrets/") != NULL && !is_a)
        return (struct fake_response){.failure = GRPC_STATUS_RESOURCE_EXHAUSTED};
    return respond(fake, url, bearer, body);
}

static void begin_throttling(struct fixture *fixture)
{
    requests_of_a = 0;
    throttles = true;
    fixture->fake.respond = respond_to_a;
    fixture->fake.now_ms += 1000;
    set(fixture, "objects",
        "array:\n - '{objectName: a, objectType: secret}'\n - '{objectName: b, objectType: secret}'\n");
}

static void let_pass(struct fixture *fixture, uint64_t ms)
{
    uint64_t end = fixture->fake.now_ms + ms;
    fake_run(&fixture->fake, end);
    fixture->fake.now_ms = end;
}

static void be_throttled(struct fixture *fixture)
{
    run(fixture, false, CALL_MS);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_RESOURCE_EXHAUSTED);
}

static void a_volume_keeps_what_it_has_read_however_long_it_waits(void **state)
{
    struct fixture *fixture = *state;

    begin_throttling(fixture);
    for (int i = 0; i < 10; i++) { /* far longer than reads are cached and volumes are remembered */
        be_throttled(fixture);
        let_pass(fixture, PAUSE_MS);
    }
    throttles = false;
    run(fixture, false, CALL_MS);
    assert_null(fixture->error);
    assert_string_equal(fixture->result, "a:644=a-value;[secret/a@v9]b:644=b-value;[secret/b@v9]");
    assert_int_equal(requests_of_a, 1);
}

static void a_volume_that_begins_later_reads_for_itself(void **state)
{
    struct fixture *fixture = *state;

    begin_throttling(fixture);
    be_throttled(fixture);
    set(fixture, "csi.storage.k8s.io/pod.name", "pod2");
    set(fixture, "csi.storage.k8s.io/pod.uid", "uid2");
    let_pass(fixture, PAUSE_MS);
    throttles = false;
    run(fixture, false, CALL_MS);
    assert_null(fixture->error);
    assert_int_equal(requests_of_a, 2);
}

/* The kubelet calls again within two minutes, or the pod has gone. */
static void a_volume_that_comes_back_too_late_reads_again(void **state)
{
    struct fixture *fixture = *state;

    begin_throttling(fixture);
    be_throttled(fixture);
    let_pass(fixture, MOUNT_HOLD_MS + 1);
    throttles = false;
    run(fixture, false, CALL_MS);
    assert_null(fixture->error);
    assert_int_equal(requests_of_a, 2);
}

/* Else an object that is corrected later would come together with an outdated one. */
static void a_limit_of_ours_is_no_throttling(void **state)
{
    struct fixture *fixture = *state;

    begin_throttling(fixture);
    throttles = false;
    too_large = true;
    run(fixture, false, CALL_MS);
    assert_int_equal(error_code(fixture->error), GRPC_STATUS_RESOURCE_EXHAUSTED);
    too_large = false;
    run(fixture, false, CALL_MS);
    assert_null(fixture->error);
    assert_int_equal(requests_of_a, 2);
}

/* The last secret that the vault was asked for, after a pause. */
static char asked[8];

static struct fake_response respond_once(struct fake *fake, const char *url, const char *bearer,
                                         const char *body)
{
    const char *name = strstr(url, "/secrets/");
    (void)body;
    (void)bearer;
    if (name != NULL)
        (void)snprintf(asked, sizeof(asked), "%.1s", name + strlen("/secrets/"));
    return name != NULL ? (struct fake_response){.status = 429, .retry_after_ms = 10000, .body = "{}"}
                        : respond(fake, url, bearer, body);
}

static void name_pod(struct fixture *fixture, const char *uid, const char *objects)
{
    set(fixture, "csi.storage.k8s.io/pod.name", uid);
    set(fixture, "csi.storage.k8s.io/pod.uid", uid);
    set(fixture, "objects", objects);
}

static void the_volume_that_waits_for_the_longest_goes_first(void **state)
{
    static const char *const of_first = "array:\n - '{objectName: c, objectType: secret}'\n";
    static const char *const of_later = "array:\n - '{objectName: d, objectType: secret}'\n";
    struct fixture *fixture = *state;

    fixture->fake.respond = respond_once;
    fixture->fake.now_ms += 1000;
    name_pod(fixture, "first", of_first);
    be_throttled(fixture);
    name_pod(fixture, "later", of_later);
    struct mount *later = begin(fixture, false, CALL_MS);
    fake_run(&fixture->fake, fixture->fake.now_ms + 1000);
    name_pod(fixture, "first", of_first); /* the kubelet calls again, behind that one */
    struct mount *first = begin(fixture, false, CALL_MS);
    fake_run(&fixture->fake, fixture->fake.now_ms + 1000);
    for (int i = 0; i < 5; i++) { /* not by chance */
        asked[0] = '\0';
        fake_run(&fixture->fake, fixture->fake.now_ms + 11000);
        assert_string_equal(asked, "c");
    }
    mount_cancel(&first);
    asked[0] = '\0';
    fake_run(&fixture->fake, fixture->fake.now_ms + 13000);
    assert_string_equal(asked, "d");
    mount_cancel(&later);
}

/* Retry-After is 10 s, and the fake's random number the spread in milliseconds. */
static void requests_that_come_late_in_a_pause_wait_for_its_spread(void **state)
{
    static const struct {
        uint64_t ms;
        const char *pod, *objects;
    } rows[] = {
        {0, "first", "array:\n - '{objectName: c, objectType: secret}'\n"},
        {5000, "later", "array:\n - '{objectName: d, objectType: secret}'\n"},
        {9900, "late", "array:\n - '{objectName: e, objectType: secret}'\n"},
        {10050, "latest", "array:\n - '{objectName: f, objectType: secret}'\n"},
    };
    struct mount *mounts[ARRAY_SIZE(rows)];
    struct fixture *fixture = *state;

    fixture->fake.respond = respond_once;
    fixture->fake.now_ms += 1000;
    uint64_t since = fixture->fake.now_ms;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        asked[0] = '\0';
        let_pass(fixture, since + rows[i].ms - fixture->fake.now_ms);
        name_pod(fixture, rows[i].pod, rows[i].objects);
        mounts[i] = begin(fixture, false, CALL_MS);
        fake_run(&fixture->fake, fixture->fake.now_ms);
        assert_string_equal(asked, i == 0 ? "c" : "");
    }
    uint64_t end = since + 10000 + fake_random(NULL);
    fake_run(&fixture->fake, end - 1);
    assert_string_equal(asked, "");
    fake_run(&fixture->fake, end);
    assert_string_equal(asked, "c");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        mount_cancel(&mounts[i]);
}

static void a_new_pod_that_joins_a_rotation_check_does_not_wait_for_its_half(void **state)
{
    static const char *const of_first = "array:\n - '{objectName: c, objectType: secret}'\n";
    static const char *const of_check = "array:\n - '{objectName: d, objectType: secret}'\n";
    struct fixture *fixture = *state;

    fixture->fake.respond = respond_once;
    fixture->fake.now_ms += 1000;
    uint64_t end = fixture->fake.now_ms + 10000 + fake_random(NULL);
    name_pod(fixture, "first", of_first);
    struct mount *first = begin(fixture, false, CALL_MS);
    fake_run(&fixture->fake, fixture->fake.now_ms + 1000);
    name_pod(fixture, "check", of_check);
    struct mount *check = begin(fixture, true, CALL_MS);
    fake_run(&fixture->fake, fixture->fake.now_ms + 1000);
    mount_cancel(&first);
    name_pod(fixture, "joins", of_check);
    struct mount *joins = begin(fixture, false, CALL_MS);
    fake_run(&fixture->fake, end - 1);
    assert_string_equal(asked, "c");
    fake_run(&fixture->fake, end);
    assert_string_equal(asked, "d");
    mount_cancel(&check);
    mount_cancel(&joins);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_volume_keeps_what_it_has_read_however_long_it_waits),
        CASE(a_volume_that_begins_later_reads_for_itself),
        CASE(a_volume_that_comes_back_too_late_reads_again),
        CASE(a_limit_of_ours_is_no_throttling),
        CASE(the_volume_that_waits_for_the_longest_goes_first),
        CASE(a_new_pod_that_joins_a_rotation_check_does_not_wait_for_its_half),
        CASE(requests_that_come_late_in_a_pause_wait_for_its_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
