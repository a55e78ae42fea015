/*
 * test_volume_state.c - what the driver remembers of the volumes, for their rotation checks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/base/secret.h"
#include "driver/rotation/rotation.h"
#include "driver/rotation/volume_metadata.h"
#include "driver/rotation/volume_state.h"

#define SPEC_HASH "0123456789abcdef0123456789abcdef"
#define OTHER     "fedcba9876543210fedcba9876543210"

#define NAMES(path) (&(const struct volume_names){.target_path = (path)})

static void a_volume_is_remembered_until_it_is_removed(void **state)
{
    struct volume_states *volumes = volume_states_create(NULL, NULL, NULL);
    struct volume_state *volume;
    char path[TARGET_PATH_MAX + 1];

    (void)state;
    assert_null(volume_states_find(volumes, "/a"));
    volume = volume_states_get(volumes, NAMES("/a"), NULL);
    assert_non_null(volume);
    assert_string_equal(volume_entry_path(&volume->entry, path), "/a");
    assert_int_equal(shared_names_hash(volume->entry.names), rotation_seed("/a"));
    assert_int_equal(volume->failures, 0);
    assert_null(volume->versions);
    assert_ptr_equal(volume_states_get(volumes, NAMES("/a"), NULL), volume);
    assert_ptr_equal(volume_states_find(volumes, "/a"), volume);
    assert_int_equal(volume_states_count(volumes), 1);
    volume_states_remove(volumes, "/b");
    assert_int_equal(volume_states_count(volumes), 1);
    volume_states_remove(volumes, "/a");
    volume_states_remove(volumes, "/a");
    assert_null(volume_states_find(volumes, "/a"));
    assert_int_equal(volume_states_count(volumes), 0);
    volume_states_destroy(volumes);
}

/* More volumes than the table has chains: every chain holds several. */
static void many_volumes_do_not_get_in_each_others_way(void **state)
{
    enum { N = 3000 };
    struct volume_states *volumes = volume_states_create(NULL, NULL, NULL);
    char path[64];

    (void)state;
    for (unsigned i = 0; i < N; i++) {
        (void)snprintf(path, sizeof(path), "/pods/%u/mount", i);
        volume_states_get(volumes, NAMES(path), NULL)->failures = i;
    }
    assert_int_equal(volume_states_count(volumes), N);
    for (unsigned i = 0; i < N; i += 3) {
        (void)snprintf(path, sizeof(path), "/pods/%u/mount", i);
        volume_states_remove(volumes, path);
    }
    for (unsigned i = 0; i < N; i++) {
        const struct volume_state *volume;

        (void)snprintf(path, sizeof(path), "/pods/%u/mount", i);
        volume = volume_states_find(volumes, path);
        if (i % 3 == 0) {
            assert_null(volume);
        } else {
            assert_non_null(volume);
            assert_int_equal(volume->failures, i);
        }
    }
    assert_int_equal(volume_states_count(volumes), N - N / 3);
    volume_states_destroy(volumes); /* with entries in it */
    volume_states_destroy(NULL);
}

/* A class is edited, and the driver is restarted: the edit may make all rotation checks fail. */
static void a_spec_that_had_changed_when_volumes_are_found_is_spread_and_a_later_one_is_not(void **state)
{
    enum { N = 200, MET = 100000, INTERVAL = 3600, WITHIN = 60, MOST = 12 };
    static const struct rotation_spec old = {.interval_s = INTERVAL, .hash = SPEC_HASH};
    static const struct rotation_spec edited = {.interval_s = INTERVAL, .hash = OTHER};
    struct volume_states *volumes = volume_states_create(NULL, NULL, NULL);
    cleanup_string_map struct string_map versions = {0};
    cleanup_secret_free char *metadata = volume_metadata_print("azure", SPEC_HASH, &versions, NULL);
    struct volume_state *found[N];
    unsigned before = 0;
    char path[64];

    (void)state;
    for (unsigned v = 0; v < N; v++) {
        (void)snprintf(path, sizeof(path), "/var/lib/kubelet/pods/%u/volumes/x/mount", v * 7919);
        found[v] = volume_states_restore(volumes, NAMES(path), metadata, MET);
        assert_non_null(found[v]);
    }
    for (int64_t now = MET; now <= MET + WITHIN; now++) {
        unsigned due = 0;

        for (unsigned v = 0; v < N; v++)
            due += volume_state_due(found[v], &edited, MET - 60, now, 0) ? 1 : 0;
        if (due - before > MOST)
            fail_msg("%u at once", due - before);
        before = due;
    }
    assert_int_equal(before, N);

    for (unsigned v = 0; v < N; v++) { /* found again, with the class as it was; then comes the edit */
        (void)snprintf(path, sizeof(path), "/var/lib/kubelet/pods/%u/volumes/x/mount", v * 7919);
        volume_states_remove(volumes, path);
        found[v] = volume_states_restore(volumes, NAMES(path), metadata, MET);
        assert_false(volume_state_due(found[v], &old, MET - 60, MET, 0));
        assert_true(volume_state_due(found[v], &edited, MET - 60, MET, 0));
    }
    volume_states_destroy(volumes);
}

static void rotation_checks_that_failed_for_lack_of_a_class_go_on_when_classes_can_be_read(void **state)
{
    enum { NOW = 100000, STEADY = 500, INTERVAL = 60 };
    static const struct rotation_spec no_class = {.interval_s = INTERVAL};
    static const struct rotation_spec known = {.interval_s = INTERVAL, .hash = SPEC_HASH};
    struct volume_states *volumes = volume_states_create(NULL, NULL, NULL);
    cleanup_string_map struct string_map versions = {0};
    struct volume_state *unread, *refused;

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        volume_states_failed(volumes, NAMES("/unread"), i == 0 ? &known : &no_class, 0, STEADY);
        volume_states_failed(volumes, NAMES("/refused"), i == 0 ? &no_class : &known, 0, STEADY);
    }
    unread = volume_states_find(volumes, "/unread");
    refused = volume_states_find(volumes, "/refused");
    assert_false(volume_state_due(unread, &known, NOW - 10 * INTERVAL, NOW, STEADY + INTERVAL - 1));
    volume_states_retry_class_errors(volumes);
    assert_true(volume_state_due(unread, &known, NOW - 10 * INTERVAL, NOW, STEADY));
    assert_false(volume_state_due(refused, &known, NOW - 10 * INTERVAL, NOW,
                                  STEADY + INTERVAL - 1)); /* by its provider */

    /* the pauses start from the shortest, and a success in the meantime is not checked again */
    volume_states_failed(volumes, NAMES("/unread"), &no_class, 0, STEADY);
    assert_int_equal(unread->retry_steady_s, STEADY + rotation_backoff_s(1, INTERVAL, 0));
    volume_states_succeeded(volumes, NAMES("/unread"), "azure", &known, &versions, NOW);
    volume_states_retry_class_errors(volumes);
    assert_false(volume_state_due(unread, &known, NOW, NOW + INTERVAL - 1, STEADY + INTERVAL - 1));
    volume_states_destroy(volumes);
}

/* The pause after a failure is a duration: a wall clock that is set, by a minute or by years, neither ends
 * nor prolongs it. */
static void a_clock_that_is_set_does_not_change_the_pause_after_a_failure(void **state)
{
    enum { NOW = 1000000000, STEADY = 500, INTERVAL = 60, YEAR = 365 * 86400 };
    static const int64_t set_by[] = {-YEAR, -3600, -1, 0, 1, 3600, YEAR};
    static const struct rotation_spec spec = {.interval_s = INTERVAL, .hash = SPEC_HASH};
    struct volume_states *volumes = volume_states_create(NULL, NULL, NULL);
    int64_t pause = rotation_backoff_s(1, INTERVAL, 0);
    struct volume_state *volume;

    (void)state;
    volume_states_failed(volumes, NAMES("/v"), &spec, 0, STEADY);
    volume = volume_states_find(volumes, "/v");
    for (size_t i = 0; i < ARRAY_SIZE(set_by); i++) {
        assert_false(volume_state_due(volume, &spec, 1, NOW + set_by[i], STEADY + pause - 1));
        assert_true(volume_state_due(volume, &spec, 1, NOW + set_by[i], STEADY + pause));
    }
    volume_states_destroy(volumes);
}

static void a_found_volume_is_restored_from_its_metadata(void **state)
{
    static const char text[] =
        "{\"provider\":\"azure\",\"class\":\"" SPEC_HASH "\",\"versions\":{\"a\":\"1\"}}";
    struct volume_states *volumes = volume_states_create(NULL, NULL, NULL);
    const struct volume_state *volume = volume_states_restore(volumes, NAMES("/a"), text, 77);

    (void)state;
    assert_string_equal(volume->provider, "azure");
    assert_false(volume_state_spec_changed(volume, &(const struct rotation_spec){.hash = SPEC_HASH}));
    assert_true(volume_state_spec_changed(volume, &(const struct rotation_spec){.hash = OTHER}));
    assert_string_equal(string_map_get(version_set_map(volume->versions), "a"), "1");
    assert_int_equal(volume->first_seen_unix, 77);
    volume = volume_states_restore(volumes, NAMES("/b"), "{", 78);
    assert_null(volume->provider);
    volume = volume_states_restore(volumes, NAMES("/c"), NULL, 79);
    assert_int_equal(volume->spec_digest, 0);
    assert_int_equal(volume_states_count(volumes), 3);
    volume_states_destroy(volumes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_volume_is_remembered_until_it_is_removed),
        cmocka_unit_test(many_volumes_do_not_get_in_each_others_way),
        cmocka_unit_test(a_spec_that_had_changed_when_volumes_are_found_is_spread_and_a_later_one_is_not),
        cmocka_unit_test(rotation_checks_that_failed_for_lack_of_a_class_go_on_when_classes_can_be_read),
        cmocka_unit_test(a_clock_that_is_set_does_not_change_the_pause_after_a_failure),
        cmocka_unit_test(a_found_volume_is_restored_from_its_metadata),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
