/*
 * test_pod_status_written.c - what is kept of a status that was written, and what can be made of it again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/status/pod_status_written.h"

enum { NOW = 1767323046 };

static const struct volume_names names = {.target_path = "/pods/uid-1/volumes/kubernetes.io~csi/v/mount",
                                          .ns = "shop",
                                          .pod_name = "web-0",
                                          .pod_uid = "uid-1",
                                          .class_name = "db"};

static struct desired_pod_status *desired_of(struct version_sets *sets, const char *version,
                                             const char *failure)
{
    cleanup_string_map struct string_map versions = {0};
    cleanup_error struct error *error = NULL;
    struct volume_event event = {.type = VOLUME_EVENT_CHECKED,
                                 .pod_name = names.pod_name,
                                 .pod_namespace = names.ns,
                                 .pod_uid = names.pod_uid,
                                 .target_path = names.target_path,
                                 .class_name = names.class_name,
                                 .versions = version != NULL ? &versions : NULL,
                                 .checked_unix = NOW - 1};
    struct desired_pod_status *desired;

    if (version != NULL)
        assert_int_equal(string_map_set(&versions, "secret/a", version, NULL), 0);
    if (failure != NULL)
        (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "%s", failure);
    event.failure = error;
    desired = desired_pod_status_create_shared(&event, "node-1", NOW, sets, NULL);
    assert_non_null(desired);
    return desired;
}

/* Is the object that would be created the same? */
static void assert_same_object(const struct desired_pod_status *a, const struct desired_pod_status *b)
{
    cleanup_json cJSON *one = pod_status_object(a, "name", NULL);
    cleanup_json cJSON *other = pod_status_object(b, "name", NULL);

    assert_true(cJSON_Compare(one, other, true));
    assert_string_equal(a->digest, b->digest);
}

static void what_was_written_is_known_and_can_be_made_again(void **state)
{
    static const struct {
        const char *version, *failure;
    } rows[] = {{"v1", NULL}, {"v1", "the vault is away"}, {NULL, NULL}, {NULL, "the class is gone"}};
    struct version_sets sets;

    (void)state;
    version_sets_init(&sets);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pod_status_written written = {0};
        struct desired_pod_status *desired = desired_of(&sets, rows[i].version, rows[i].failure);
        struct desired_pod_status *again;

        assert_false(pod_status_written_matches(&written, desired));
        assert_null(pod_status_written_desire(&written, &sets, &names, "node-1", NOW));
        pod_status_written_set(&written, desired, "7");
        assert_true(pod_status_written_matches(&written, desired));
        again = pod_status_written_desire(&written, &sets, &names, "node-1", NOW);
        assert_same_object(again, desired);
        pod_status_written_forget(&written);
        assert_false(pod_status_written_matches(&written, desired));
        desired_pod_status_destroy(desired);
        desired_pod_status_destroy(again);
        pod_status_written_finish(&written, &sets);
    }
    assert_int_equal(sets.table.n, 0);
    version_sets_finish(&sets);
}

/* A hundred pods of a class, and the other components: the versions are there once. */
static void equal_versions_of_all_volumes_are_kept_once(void **state)
{
    enum { N = 100 };
    static struct pod_status_written written[N];
    struct version_sets sets;

    (void)state;
    version_sets_init(&sets);
    for (size_t i = 0; i < N; i++) {
        struct desired_pod_status *desired = desired_of(&sets, "v1", NULL);

        pod_status_written_set(&written[i], desired, "7");
        desired_pod_status_destroy(desired);
        assert_ptr_equal(written[i].versions, written[0].versions);
    }
    assert_int_equal(sets.table.n, 1);
    for (size_t i = 0; i < N; i++)
        pod_status_written_finish(&written[i], &sets);
    version_sets_finish(&sets);
}

/* A version that is no number is not kept: a write reads the object first. */
static void versions_are_kept_as_numbers(void **state)
{
    static const struct {
        const char *text, *kept;
    } rows[] = {{"1", "1"},
                {"9007199254740993", "9007199254740993"},
                {"9223372036854775807", "9223372036854775807"},
                {"", NULL},
                {"0", NULL},
                {"007", NULL},
                {"-1", NULL},
                {"12a", NULL},
                {"opaque", NULL},
                {"99999999999999999999", NULL},
                {"1000000000000000000000000", NULL}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pod_status_written written = {0};
        struct desired_pod_status *desired = desired_of(NULL, "v1", NULL);
        char buffer[POD_STATUS_VERSION_SIZE];
        const char *version;

        pod_status_written_set(&written, desired, rows[i].text);
        version = pod_status_written_version(&written, buffer);
        if (rows[i].kept == NULL)
            assert_null(version);
        else
            assert_string_equal(version, rows[i].kept);
        assert_true(pod_status_written_matches(&written, desired));
        desired_pod_status_destroy(desired);
        pod_status_written_finish(&written, NULL);
    }
}

/* A provider puts something new into each error: the object keeps its text for a while, and what is made
 * again has the last one. */
static void another_text_of_a_failure_is_written_after_a_while(void **state)
{
    struct pod_status_written written = {0};
    struct desired_pod_status *first = desired_of(NULL, "v1", "failed at 1");
    struct desired_pod_status *second = desired_of(NULL, "v1", "failed at 2");
    struct desired_pod_status *again;

    (void)state;
    pod_status_written_set(&written, first, "7");
    assert_true(pod_status_written_matches(&written, second));
    second->now_unix += POD_STATUS_ERROR_RENEWAL_S - 1;
    assert_true(pod_status_written_matches(&written, second));
    pod_status_written_set(&written, second, "8"); /* for another reason, with the first text */
    again = pod_status_written_desire(&written, NULL, &names, "node-1", NOW);
    assert_string_equal(again->error, "failed at 2");
    second->now_unix++;
    assert_true(pod_status_written_error_is_old(&written, second));
    assert_false(pod_status_written_matches(&written, second));
    desired_pod_status_destroy(first);
    desired_pod_status_destroy(second);
    desired_pod_status_destroy(again);
    pod_status_written_finish(&written, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_known_and_can_be_made_again),
        cmocka_unit_test(equal_versions_of_all_volumes_are_kept_once),
        cmocka_unit_test(versions_are_kept_as_numbers),
        cmocka_unit_test(another_text_of_a_failure_is_written_after_a_while),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
