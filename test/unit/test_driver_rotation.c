/*
 * test_driver_rotation.c - when a volume is due, and how long to wait after failures.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "driver/rotation/rotation.h"
#include "driver/rotation/volume_metadata.h"
#include "driver/rotation/volume_state.h"

#define SPEC_HASH "0123456789abcdef0123456789abcdef"
#define OTHER     "fedcba9876543210fedcba9876543210"

static void a_volume_is_due_when_the_interval_is_over(void **state)
{
    static const struct {
        int64_t now;
        uint64_t last;
        int64_t interval;
        uint32_t seed;
        bool due;
    } table[] = {
        {1000, 900, 120, 0, false},
        {1000, 880, 120, 0, true}, /* to the second */
        {1000, 881, 120, 0, false},
        {1000, 1000, 120, 0, false},
        {1000, 1000, 0, 0, true},
        {1000, 1001, 120, 0, true}, /* the clock was set back */
        {1000, 1000, -1, 5, true},
        {INT64_MAX, 1, INT64_MAX, 0, false},
        {1000, 880, 120, 15, false}, /* the delay of its own: at most an eighth */
        {1000, 865, 120, 15, true},
        {1000, 866, 120, 15, false},
        {1000, 880, 120, 16, true},
        {1000, 993, 7, 12345, true}, /* short intervals have none */
        {1000, 900, 100, UINT32_MAX, false},
    };
    const struct rotation_spec no_spec = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct rotation_spec spec = no_spec;
        const struct rotation_facts facts = {
            .last_checked_unix = table[i].last,
            .seed = table[i].seed,
        };

        spec.interval_s = table[i].interval;
        if (rotation_due(&facts, &spec, table[i].now) != table[i].due)
            fail_msg("row %zu", i);
    }
}

/* Nothing is known of a volume that another driver published, or whose spec hash is nonsense. */
static void volumes_without_metadata_become_due_within_one_interval_one_after_the_other(void **state)
{
    static const uint64_t unknown[] = {0, UINT64_MAX, (uint64_t)INT64_MAX + 1};
    const struct rotation_spec spec = {.interval_s = 120};

    (void)state;
    for (size_t u = 0; u < ARRAY_SIZE(unknown); u++) {
        unsigned due_before = 0;

        for (int64_t now = 5000; now <= 5120; now += 10) {
            unsigned due = 0;

            for (uint32_t seed = 0; seed < 120; seed++)
                due += rotation_due(&(struct rotation_facts){.last_checked_unix = unknown[u],
                                                             .first_seen_unix = 5000,
                                                             .seed = seed},
                                    &spec, now)
                           ? 1
                           : 0;
            assert_in_range(due - due_before, 0, 10);
            due_before = due;
        }
        assert_int_equal(due_before, 120);
    }
}

/* Their rotation checks have been failing for an hour, the driver is restarted, and the kubelet, too: it
 * calls for all of them every second. */
static void volumes_with_failing_rotation_checks_do_not_come_all_at_once_after_a_restart(void **state)
{
    enum { N = 200, MET = 100000 };
    static const struct {
        int64_t interval;
        int64_t age;    /* of the last success when the driver found the volume */
        int64_t within; /* so many seconds all are due */
        unsigned most;  /* that become due in one second */
    } table[] = {
        {120, 3600, 60, 12},       {3600, 3 * 3600, 60, 12},
        {20, 3600, 20, 25},        {1, 3600, 1, N}, /* the interval is meant */
        {120, 120 + 90 - 1, 1, N}, /* the driver was away, no check has failed: nothing to spread */
    };
    char path[64];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        const struct rotation_spec specs[] = {{.interval_s = table[i].interval},
                                              {.interval_s = table[i].interval, .hash = OTHER}};

        for (size_t w = 0; w < ARRAY_SIZE(specs); w++) {
            unsigned before = 0;

            for (int64_t now = MET; now <= MET + table[i].within; now++) {
                unsigned due = 0;

                for (unsigned v = 0; v < N; v++) {
                    (void)snprintf(path, sizeof(path), "/var/lib/kubelet/pods/%u/volumes/x/mount", v * 7919);
                    due += rotation_due(
                               &(struct rotation_facts){.last_checked_unix = (uint64_t)(MET - table[i].age),
                                                        .first_seen_unix = MET,
                                                        .seed = rotation_seed(path),
                                                        .spec_digest = rotation_spec_digest(SPEC_HASH)},
                               &specs[w], now)
                               ? 1
                               : 0;
                }
                if (due - before > table[i].most)
                    fail_msg("row %zu: %u at once", i, due - before);
                before = due;
            }
            assert_int_equal(before, N);
        }
    }
}

/* 200 pods that started at one time, a kubelet that calls every 75 seconds: round by round they move apart,
 * and every gap is between the interval and a kubelet's round more. */
static void volumes_that_were_published_together_do_not_stay_together(void **state)
{
    enum { N = 200, INTERVAL = 600, ROUNDS = 12, END = 60 * INTERVAL };
    const struct rotation_spec spec = {.interval_s = INTERVAL};
    uint64_t last[N];
    unsigned checks[N] = {0};
    unsigned in_minute[END / 60] = {0};
    unsigned most_at_first = 0, most_later = 0;
    char path[64];

    (void)state;
    for (unsigned i = 0; i < N; i++)
        last[i] = 1000000;
    for (int64_t t = 0; t < END; t++) {
        for (unsigned i = 0; i < N; i++) {
            struct rotation_facts facts = {.last_checked_unix = last[i]};

            (void)snprintf(path, sizeof(path), "/var/lib/kubelet/pods/%u/volumes/x/mount", i * 7919);
            facts.seed = rotation_seed(path);
            if (!rotation_due(&facts, &spec, 1000000 + t))
                continue;
            assert_in_range(1000000 + t - (int64_t)last[i], INTERVAL, INTERVAL + INTERVAL / 8);
            last[i] = (uint64_t)(1000000 + t);
            checks[i]++;
            in_minute[t / 60]++;
        }
    }
    for (unsigned minute = 0; minute < END / 60; minute++) {
        if (minute < 20)
            most_at_first = in_minute[minute] > most_at_first ? in_minute[minute] : most_at_first;
        if (minute >= END / 60 / 2)
            most_later = in_minute[minute] > most_later ? in_minute[minute] : most_later;
    }
    assert_in_range(most_at_first, N / 2, N); /* at first they come in one wave */
    assert_in_range(most_later, 1, N / 3);    /* ten times twenty a minute would be perfect */
    for (unsigned i = 0; i < N; i++)
        assert_in_range(checks[i], END / (INTERVAL + INTERVAL / 8) - 1, END / INTERVAL);
}

static void a_changed_rotation_spec_is_due_once(void **state)
{
    static const struct {
        const char *spec_hash, *failed_spec_hash, *spec;
        bool waits;
        bool due;
    } table[] = {
        {SPEC_HASH, "", SPEC_HASH, false, false},
        {SPEC_HASH, "", OTHER, false, true},
        {SPEC_HASH, "", OTHER, true, true}, /* not tried yet */
        {SPEC_HASH, SPEC_HASH, OTHER, true, true},
        {SPEC_HASH, OTHER, OTHER, true, false}, /* tried, and it failed lately */
        {SPEC_HASH, OTHER, OTHER, false, true},
        {"", "", OTHER, false, false}, /* the last spec is not known */
        {SPEC_HASH, "", "", false, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct rotation_spec spec = {.interval_s = 3600};
        const struct rotation_facts facts = {.last_checked_unix = 999,
                                             .spec_digest = rotation_spec_digest(table[i].spec_hash),
                                             .failed_spec_digest =
                                                 rotation_spec_digest(table[i].failed_spec_hash),
                                             .waits_after_failure = table[i].waits};

        memcpy(spec.hash, table[i].spec, strlen(table[i].spec) + 1);
        if (rotation_due(&facts, &spec, 1000) != table[i].due)
            fail_msg("row %zu", i);
    }
}

static void only_a_whole_hash_has_a_digest(void **state)
{
    static const char *const unknown[] = {"", "0123456789abcdef", SPEC_HASH "0",
                                          "0123456789ABCDEF0123456789ABCDEF",
                                          "0123456789abcdef0123456789abcdeg"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
        assert_int_equal(rotation_spec_digest(unknown[i]), 0);
    assert_true(rotation_spec_digest("0123456789abcdef0123456789abcdef") == 0x0123456789abcdef);
    assert_true(rotation_spec_digest(SPEC_HASH) != rotation_spec_digest(OTHER));
}

static void a_failure_delays_the_next_rotation_check(void **state)
{
    const struct rotation_spec spec = {.interval_s = 60};
    struct rotation_facts facts = {.last_checked_unix = 1, .waits_after_failure = true};

    (void)state;
    assert_false(rotation_due(&facts, &spec, 1000));
    facts.waits_after_failure = false;
    assert_true(rotation_due(&facts, &spec, 1000));
}

/* --- the spec of a class --- */

static struct secret_provider_class *make_class(const char *provider, const char *key, const char *value,
                                                const char *refresh, const char *interval)
{
    struct secret_provider_class *class = calloc(1, sizeof(*class));

    assert_non_null(class);
    class->name = strdup("web");
    class->ns = strdup("shop");
    class->provider = strdup(provider);
    class->refresh = refresh != NULL ? strdup(refresh) : NULL;
    class->rotation_interval = interval != NULL ? strdup(interval) : NULL;
    assert_int_equal(string_map_set(&class->parameters, key, value, NULL), 0);
    return class;
}

static struct rotation_spec spec_of(const char *provider, const char *key, const char *value,
                                    const char *refresh, const char *interval)
{
    cleanup_class struct secret_provider_class *class = make_class(provider, key, value, refresh, interval);
    struct rotation_spec spec;

    assert_int_equal(class_rotation_spec(class, 120, &spec, NULL), 0);
    assert_int_equal(strlen(spec.hash), ROTATION_SPEC_HASH_LEN);
    return spec;
}

static void the_hash_covers_provider_parameters_and_refresh(void **state)
{
    const struct rotation_spec spec = spec_of("p", "a", "b", NULL, NULL);

    (void)state;
    assert_string_equal(spec_of("p", "a", "b", "", "1h").hash, spec.hash);
    assert_string_not_equal(spec_of("q", "a", "b", NULL, NULL).hash, spec.hash);
    assert_string_not_equal(spec_of("p", "ab", "", NULL, NULL).hash, spec.hash);
    assert_string_not_equal(spec_of("p", "a", "c", NULL, NULL).hash, spec.hash);
    assert_string_not_equal(spec_of("p", "a", "b", "1", NULL).hash, spec.hash);
}

/* A class without the annotation has the hash that earlier versions have stored with volumes. */
static void the_hash_covers_updates_in_place_only_where_they_are_set(void **state)
{
    cleanup_class struct secret_provider_class *class = make_class("p", "a", "b", NULL, NULL);
    cleanup_class struct secret_provider_class *set = make_class("p", "a", "b", NULL, NULL);
    const struct rotation_spec without = spec_of("p", "a", "b", NULL, NULL);
    struct rotation_spec spec;

    (void)state;
    assert_string_equal(without.hash, "3e3ba394c5c68a4de8c1752faef5985b");
    class->update_in_place = strdup("");
    assert_int_equal(class_rotation_spec(class, 120, &spec, NULL), 0);
    assert_string_equal(spec.hash, without.hash);
    set->update_in_place = strdup("true");
    assert_int_equal(class_rotation_spec(set, 120, &spec, NULL), 0);
    assert_string_not_equal(spec.hash, without.hash);
}

static void the_hash_of_a_class_is_computed_once(void **state)
{
    cleanup_class struct secret_provider_class *class = make_class("p", "a", "b", NULL, "1h");
    struct rotation_spec first, second;

    (void)state;
    assert_int_equal(class_rotation_spec(class, 120, &first, NULL), 0);
    string_map_finish(&class->parameters); /* nothing is left to compute it from */
    assert_int_equal(class_rotation_spec(class, 120, &second, NULL), 0);
    assert_string_equal(second.hash, first.hash);
    assert_int_equal(second.interval_s, 3600);
}

static void a_class_asks_for_updates_in_place_in_one_way(void **state)
{
    static const struct {
        const char *text;
        int result;
        bool in_place;
    } table[] = {{NULL, 0, false},   {"", 0, false},      {"false", 0, false}, {"true", 0, true},
                 {"yes", -1, false}, {"True", -1, false}, {"1", -1, false},    {" true", -1, false}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        cleanup_class struct secret_provider_class *class = make_class("p", "a", "b", NULL, NULL);
        cleanup_error struct error *error = NULL;
        bool in_place = true;

        class->update_in_place = table[i].text != NULL ? strdup(table[i].text) : NULL;
        assert_int_equal(class_updates_in_place(class, &in_place, &error), table[i].result);
        assert_int_equal(in_place, table[i].in_place);
        if (table[i].result < 0)
            assert_non_null(strstr(error_message(error), "neither 'true' nor 'false'"));
    }
}

static void a_class_sets_its_interval_as_a_duration(void **state)
{
    static const struct {
        const char *text;
        int64_t interval;
        int result;
    } table[] = {
        {NULL, 120, 0},        {"", 120, 0},      {"30s", 30, 0},         {"1h30m", 5400, 0},
        {"1s", 1, 0},          {"1500ms", 1, 0},  {"8760h", 31536000, 0}, {"8760h1s", 120, -1},
        {"999ms", 120, -1},    {"0", 120, -1},    {"-5m", 120, -1},       {"30", 120, -1},
        {"soon", 120, -1},     {" 30s", 120, -1}, {"30s ", 120, -1},      {"\xff\xfe", 120, -1},
        {"9999999h", 120, -1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        cleanup_class struct secret_provider_class *class = make_class("p", "a", "b", NULL, table[i].text);
        cleanup_error struct error *error = NULL;
        struct rotation_spec spec = {0};

        if (class_rotation_spec(class, 120, &spec, &error) != table[i].result ||
            spec.interval_s != table[i].interval)
            fail_msg("row %zu", i);
        assert_int_equal(strlen(spec.hash), ROTATION_SPEC_HASH_LEN);
        if (table[i].result < 0)
            assert_non_null(strstr(
                error_message(error),
                "annotation secrets-store.csi.k8s.io/rotation-poll-interval of secretproviderclass shop/web: '"));
    }
}

static void failures_are_retried_after_growing_pauses_up_to_the_interval(void **state)
{
    static const struct {
        unsigned failures;
        int64_t interval;
        int64_t wait; /* without the random part */
    } table[] = {
        {1, 120, 15},    {2, 120, 30},
        {3, 120, 60},    {4, 120, 120},
        {5, 120, 120},   {1000000, 120, 120},
        {3, 30, 60},     {4, 30, 60},
        {4, 0, 60},      {4, -5, 60},
        {9, 3600, 3600}, {0, 120, 15},
        {8, 3600, 1920}, {UINT32_MAX, 3600, 3600},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        int64_t wait = rotation_backoff_s(table[i].failures, table[i].interval, 0);
        if (wait != table[i].wait)
            fail_msg("row %zu: %lld", i, (long long)wait);
    }
}

static void up_to_a_quarter_is_added_by_chance(void **state)
{
    int64_t least = INT64_MAX, most = 0;

    (void)state;
    for (uint32_t random = 0; random < 1000; random++) {
        int64_t wait = rotation_backoff_s(3, 120, random);

        least = wait < least ? wait : least;
        most = wait > most ? wait : most;
    }
    assert_int_equal(least, 60);
    assert_int_equal(most, 75);
    assert_in_range(rotation_backoff_s(3, 120, UINT32_MAX), 60, 75);
}

static void an_absurd_interval_does_not_overflow(void **state)
{
    (void)state;
    for (unsigned failures = 1; failures < 100; failures++)
        assert_true(rotation_backoff_s(failures, INT64_MAX, UINT32_MAX) >= 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_volume_is_due_when_the_interval_is_over),
        cmocka_unit_test(volumes_without_metadata_become_due_within_one_interval_one_after_the_other),
        cmocka_unit_test(volumes_with_failing_rotation_checks_do_not_come_all_at_once_after_a_restart),
        cmocka_unit_test(volumes_that_were_published_together_do_not_stay_together),
        cmocka_unit_test(a_changed_rotation_spec_is_due_once),
        cmocka_unit_test(only_a_whole_hash_has_a_digest),
        cmocka_unit_test(a_failure_delays_the_next_rotation_check),
        cmocka_unit_test(the_hash_covers_provider_parameters_and_refresh),
        cmocka_unit_test(the_hash_covers_updates_in_place_only_where_they_are_set),
        cmocka_unit_test(the_hash_of_a_class_is_computed_once),
        cmocka_unit_test(a_class_asks_for_updates_in_place_in_one_way),
        cmocka_unit_test(a_class_sets_its_interval_as_a_duration),
        cmocka_unit_test(failures_are_retried_after_growing_pauses_up_to_the_interval),
        cmocka_unit_test(up_to_a_quarter_is_added_by_chance),
        cmocka_unit_test(an_absurd_interval_does_not_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
