/*
 * test_pod_status_object.c - what a status object says, and how one that is there differs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/status/pod_status_object.h"

#define PATH(volume) "/var/lib/kubelet/pods/uid-1/volumes/kubernetes.io~csi/" volume "/mount"
#define OBJECTS      "[{\"id\":\"a/1\",\"version\":\"v1\"},{\"id\":\"b\",\"version\":\"v2\"}]"
#define METADATA                                                                                             \
    "\"metadata\":{\"name\":\"web-0-shop-db\",\"namespace\":\"shop\",\"labels\":{"                           \
    "\"internal.secrets-store.csi.k8s.io/node-name\":\"node-1\"},\"ownerReferences\":[{\"apiVersion\":"      \
    "\"v1\",\"kind\":\"Pod\",\"name\":\"web-0\",\"uid\":\"uid-1\"}]}"
#define FACTS                                                                                                \
    "\"podName\":\"web-0\",\"secretProviderClassName\":\"db\",\"mounted\":true,\"targetPath\":\"" PATH(      \
        "v") "\",\"objects\":" OBJECTS
#define OBJECT(more)                                                                                         \
    "{\"apiVersion\":\"secrets-store.csi.x-k8s.io/v1\",\"kind\":\"SecretProviderClassPodStatus\"," METADATA  \
    ",\"status\":{" FACTS more "}}"

static struct desired_pod_status *desired_of(enum volume_event_type type, const char *failure, bool changed,
                                             const char *path)
{
    cleanup_string_map struct string_map versions = {0};
    cleanup_error struct error *error = NULL;
    struct volume_event event = {.type = type,
                                 .pod_name = "web-0",
                                 .pod_namespace = "shop",
                                 .pod_uid = "uid-1",
                                 .target_path = path,
                                 .class_name = "db",
                                 .versions = &versions,
                                 .changed = changed,
                                 .checked_unix = 1767323045};
    struct desired_pod_status *desired;

    assert_int_equal(string_map_set(&versions, "b", "v2", NULL), 0);
    assert_int_equal(string_map_set(&versions, "a/1", "v1", NULL), 0);
    if (failure != NULL)
        (void)error_set(&error, GRPC_STATUS_UNAVAILABLE, "%s", failure);
    event.failure = error;
    desired = desired_pod_status_create(&event, "node-1", 1767323046, NULL);
    assert_non_null(desired);
    return desired;
}

static void assert_json(cJSON *json, const char *expected)
{
    cJSON *wanted = cJSON_Parse(expected);
    char *text = cJSON_PrintUnformatted(json);

    assert_non_null(wanted);
    if (!cJSON_Compare(json, wanted, true))
        fail_msg("%s\nis not\n%s", text, expected);
    cJSON_free(text);
    cJSON_Delete(wanted);
    cJSON_Delete(json);
}

static void the_object_is_as_specified(void **state)
{
    struct desired_pod_status *desired = desired_of(VOLUME_EVENT_MOUNTED, NULL, false, PATH("v"));

    (void)state;
    assert_json(pod_status_object(desired, "web-0-shop-db", NULL),
                OBJECT(",\"lastCheckedTime\":\"2026-01-02T03:04:05Z\""));
    desired_pod_status_destroy(desired);
    desired = desired_of(VOLUME_EVENT_FAILED, "the vault is gone", true, PATH("v"));
    assert_json(
        pod_status_object(desired, "web-0-shop-db", NULL),
        OBJECT(
            ",\"lastCheckedTime\":\"2026-01-02T03:04:05Z\",\"lastRotatedTime\":\"2026-01-02T03:04:06Z\",\"lastError\":\"the vault is gone\",\"lastErrorTime\":\"2026-01-02T03:04:06Z\""));
    desired_pod_status_destroy(desired);
}

/* Compares with one difference at a time; the patch carries all of the desired status. */
static void a_difference_is_patched_and_nothing_else(void **state)
{
    static const struct {
        const char *change; /* JSON merged into the object by replacing `from` */
        const char *from;
    } table[] = {
        {"\"node-2\"", "\"node-1\""},
        {"\"uid-0\"", "\"uid-1\""},
        {"\"kind\":\"ReplicaSet\"", "\"kind\":\"Pod\""},
        {"\"controller\":true,\"uid\":", "\"uid\":"},
        {"\"mounted\":false", "\"mounted\":true"},
        {"\"mounted\":\"true\"", "\"mounted\":true"},
        {"\"v3\"", "\"v2\""},
        {"\"targetPath\":\"/elsewhere\",\"x\":", "\"targetPath\":"},
        {"\"objects\":[],\"x\":", "\"objects\":"},
        {"\"labels\":{},\"x\":", "\"labels\":"},
        {"\"labels\":null,\"x\":", "\"labels\":"},
        {"\"x\":", "\"labels\":"}, /* no labels at all */
        {"\"metadata\":5,\"x\":", "\"metadata\":"},
        {"\"status\":[],\"x\":", "\"status\":"},
        {"\"lastError\":\"old\",\"podName\":", "\"podName\":"},
    };
    struct desired_pod_status *desired = desired_of(VOLUME_EVENT_CHECKED, NULL, false, PATH("v"));
    const char *plain = OBJECT("");
    bool other = true;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        char text[2048];
        const char *at = strstr(plain, table[i].from);
        cJSON *current;
        cJSON *patch;

        assert_non_null(at);
        (void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - plain), plain, table[i].change,
                       at + strlen(table[i].from));
        current = cJSON_Parse(text);
        if (current == NULL)
            fail_msg("%s", text);
        patch = pod_status_patch(current, desired, 0, &other, NULL);
        if (patch == NULL)
            fail_msg("%s is no difference", table[i].change);
        assert_false(other);
        assert_null(cJSON_GetObjectItem(cJSON_GetObjectItem(patch, "metadata"), "name"));
        cJSON_Delete(patch);
        cJSON_Delete(current);
    }
    desired_pod_status_destroy(desired);
}

static void an_equal_object_is_left_alone(void **state)
{
    static const char *const table[] = {
        OBJECT(""),
        OBJECT(",\"lastCheckedTime\":\"2020-01-01T00:00:00Z\",\"lastRotatedTime\":\"2020-01-01T00:00:00Z\""),
        OBJECT(",\"foreign\":1"),
    };
    struct desired_pod_status *desired = desired_of(VOLUME_EVENT_CHECKED, NULL, false, PATH("v"));
    bool other = true;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        cJSON *current = cJSON_Parse(table[i]);

        assert_non_null(current);
        assert_null(pod_status_patch(current, desired, 0, &other, NULL));
        assert_false(other);
        cJSON_Delete(current);
    }
    desired_pod_status_destroy(desired);
}

static void changed_content_is_a_change_even_with_the_same_versions(void **state)
{
    struct desired_pod_status *desired = desired_of(VOLUME_EVENT_CHECKED, NULL, true, PATH("v"));
    cleanup_json cJSON *current = cJSON_Parse(OBJECT(""));
    bool other;

    (void)state;
    assert_json(
        pod_status_patch(current, desired, 0, &other, NULL),
        "{\"metadata\":{\"labels\":{\"internal.secrets-store.csi.k8s.io/node-name\":\"node-1\"},\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"web-0\",\"uid\":"
        "\"uid-1\"}]},\"status\":{" FACTS
        ",\"lastCheckedTime\":\"2026-01-02T03:04:05Z\",\"lastRotatedTime\":\"2026-01-02T03:04:06Z\"}}");
    desired_pod_status_destroy(desired);
}

static const cJSON *of_status(const cJSON *patch, const char *key)
{
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(patch, "status"), key);
}

static void an_error_begins_and_ends_once(void **state)
{
    struct desired_pod_status *failed =
        desired_of(VOLUME_EVENT_FAILED, "the vault is gone", false, PATH("v"));
    struct desired_pod_status *fine = desired_of(VOLUME_EVENT_CHECKED, NULL, false, PATH("v"));
    cleanup_json cJSON *without = cJSON_Parse(OBJECT(""));
    cleanup_json cJSON *with = cJSON_Parse(OBJECT(",\"lastError\":\"another\",\"lastErrorTime\":\"x\""));
    cJSON *patch;
    bool other;

    (void)state;
    assert_string_not_equal(failed->digest, fine->digest);
    patch = pod_status_patch(without, failed, 0, &other, NULL);
    assert_string_equal(cJSON_GetStringValue(of_status(patch, "lastError")), "the vault is gone");
    cJSON_Delete(patch);
    assert_null(pod_status_patch(with, failed, 0, &other, NULL)); /* still failing */
    patch = pod_status_patch(with, failed, POD_STATUS_PATCH_ERROR_TEXT, &other, NULL);
    assert_string_equal(cJSON_GetStringValue(of_status(patch, "lastError")), "the vault is gone");
    cJSON_Delete(patch);
    patch = pod_status_patch(with, fine, 0, &other, NULL);
    assert_true(cJSON_IsNull(of_status(patch, "lastError")));
    assert_true(cJSON_IsNull(of_status(patch, "lastErrorTime")));
    cJSON_Delete(patch);
    /* not knowing what is there, everything that could be is taken out */
    patch = pod_status_patch(NULL, fine, 0, &other, NULL);
    assert_true(cJSON_IsNull(of_status(patch, "lastError")));
    assert_null(of_status(patch, "lastRotatedTime"));
    cJSON_Delete(patch);
    desired_pod_status_destroy(failed);
    desired_pod_status_destroy(fine);
}

static void a_new_pod_has_not_rotated_yet(void **state)
{
    struct desired_pod_status *desired = desired_of(VOLUME_EVENT_MOUNTED, NULL, false, PATH("v"));
    char text[2048];
    cJSON *current;
    cJSON *patch;
    bool other;

    (void)state;
    (void)snprintf(text, sizeof(text), "%s", OBJECT(",\"lastRotatedTime\":\"x\""));
    memcpy(strstr(text, "\"uid-1\""), "\"uid-0\"", 7); /* of the owner */
    current = cJSON_Parse(text);
    assert_int_equal(pod_status_relation(current, desired), POD_STATUS_OTHER_POD);
    patch = pod_status_patch(current, desired, 0, &other, NULL);
    assert_true(cJSON_IsNull(of_status(patch, "lastRotatedTime")));
    cJSON_Delete(patch);
    cJSON_Delete(current);
    desired_pod_status_destroy(desired);
}

static void two_volumes_of_one_pod_agree_on_a_path(void **state)
{
    struct desired_pod_status *first = desired_of(VOLUME_EVENT_CHECKED, NULL, false, PATH("a"));
    struct desired_pod_status *last = desired_of(VOLUME_EVENT_CHECKED, NULL, false, PATH("z"));
    struct desired_pod_status *foreign = desired_of(VOLUME_EVENT_CHECKED, NULL, false, "/z");
    cleanup_json cJSON *current = cJSON_Parse(OBJECT("")); /* PATH("v") */
    cJSON *patch;
    bool other;

    (void)state;
    assert_null(pod_status_patch(current, last, 0, &other, NULL));
    assert_true(other);
    patch = pod_status_patch(current, first, 0, &other, NULL);
    assert_string_equal(cJSON_GetStringValue(of_status(patch, "targetPath")), PATH("a"));
    assert_false(other);
    cJSON_Delete(patch);
    patch = pod_status_patch(NULL, last, POD_STATUS_PATCH_KEEP_PATH, &other, NULL);
    assert_null(of_status(patch, "targetPath"));
    assert_true(other);
    cJSON_Delete(patch);
    patch = pod_status_patch(current, foreign, 0, &other, NULL); /* no path of the kubelet's */
    assert_string_equal(cJSON_GetStringValue(of_status(patch, "targetPath")), "/z");
    cJSON_Delete(patch);
    desired_pod_status_destroy(first);
    desired_pod_status_destroy(last);
    desired_pod_status_destroy(foreign);
}

static void an_object_is_ours_or_another_pods(void **state)
{
    static const struct {
        const char *json;
        enum pod_status_relation relation;
    } table[] = {
        {OBJECT(""), POD_STATUS_OURS},
        {"{}", POD_STATUS_OURS},
        {"5", POD_STATUS_OURS},
        {"{\"status\":{\"podName\":\"web-0\"}}", POD_STATUS_OURS},
        {"{\"status\":{\"podName\":\"web\"}}", POD_STATUS_OTHER_NAME},
        {"{\"status\":{\"podName\":\"web-0\",\"secretProviderClassName\":\"x\"}}", POD_STATUS_OTHER_NAME},
        {"{\"metadata\":{\"ownerReferences\":[{\"kind\":\"Pod\",\"uid\":\"other\"}]}}", POD_STATUS_OTHER_POD},
        {"{\"metadata\":{\"ownerReferences\":[{\"kind\":\"Job\",\"uid\":\"other\"}]}}", POD_STATUS_OURS},
        {"{\"metadata\":{\"ownerReferences\":[7,{\"kind\":\"Pod\",\"uid\":\"uid-1\"}]}}", POD_STATUS_OURS},
    };
    struct desired_pod_status *desired = desired_of(VOLUME_EVENT_CHECKED, NULL, false, PATH("v"));

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        cleanup_json cJSON *json = cJSON_Parse(table[i].json);

        assert_int_equal(pod_status_relation(json, desired), table[i].relation);
    }
    desired_pod_status_destroy(desired);
}

/* RFC 1123: what Kubernetes takes for an object name, and for a label value. */
static void assert_is_name(const char *name, size_t max)
{
    assert_in_range(strlen(name), 1, max);
    assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-."), strlen(name));
    assert_null(strstr(name, ".-"));
    assert_null(strstr(name, "-."));
    assert_true(name[0] != '-' && name[strlen(name) - 1] != '-');
}

static void names_are_plain_until_they_are_too_long(void **state)
{
    char longest[254];
    cleanup_free char *plain = pod_status_name("web-0", "shop", "db", 0, NULL);
    cleanup_free char *unique = pod_status_name("web-0", "shop", "db", POD_STATUS_NAME_UNIQUE, NULL);
    cleanup_free char *a = NULL;
    cleanup_free char *b = NULL;
    cleanup_free char *cut = NULL;

    (void)state;
    assert_string_equal(plain, "web-0-shop-db");
    /* printf web-0/shop/db | sha256sum */
    assert_string_equal(unique, "web-0-shop-db-d2222dc35e1727d2");
    memset(longest, 'a', 253);
    longest[253] = '\0';
    a = pod_status_name(longest, "shop", "db", 0, NULL);
    b = pod_status_name(longest, "shop", "dc", 0, NULL);
    assert_is_name(a, POD_STATUS_NAME_MAX);
    assert_is_name(b, POD_STATUS_NAME_MAX);
    assert_string_not_equal(a, b);
    longest[235] = '.'; /* where it is cut */
    longest[234] = '-';
    cut = pod_status_name(longest, "shop", "db", 0, NULL);
    assert_is_name(cut, POD_STATUS_NAME_MAX);
    longest[253 - 10] = '\0';
    free(steal_ptr(&a));
    a = pod_status_name(longest, "shop", "four", 0, NULL);
    assert_int_equal(strlen(a), 253); /* the longest plain one */
    assert_int_equal(strncmp(a, longest, strlen(longest)), 0);
}

static void names_that_would_be_one_have_unique_forms(void **state)
{
    cleanup_free char *plain_a = pod_status_name("a", "ns", "b-ns-c", 0, NULL);
    cleanup_free char *plain_b = pod_status_name("a-ns-b", "ns", "c", 0, NULL);
    cleanup_free char *a = pod_status_name("a", "ns", "b-ns-c", POD_STATUS_NAME_UNIQUE, NULL);
    cleanup_free char *b = pod_status_name("a-ns-b", "ns", "c", POD_STATUS_NAME_UNIQUE, NULL);

    (void)state;
    assert_string_equal(plain_a, plain_b);
    assert_string_not_equal(a, b);
}

static void a_node_name_becomes_a_label_value(void **state)
{
    char name[254];
    cleanup_free char *plain = NULL;
    cleanup_free char *longest = NULL;
    cleanup_free char *cut = NULL;

    (void)state;
    memset(name, 'n', sizeof(name));
    name[45] = '.';
    name[63] = '\0';
    plain = pod_status_node_label(name, NULL);
    assert_string_equal(plain, name);
    name[63] = 'n';
    name[253] = '\0';
    cut = pod_status_node_label(name, NULL);
    assert_is_name(cut, POD_STATUS_LABEL_MAX);
    assert_int_equal(strncmp(cut, name, 45), 0);
    longest = pod_status_node_label("", NULL);
    assert_string_equal(longest, "");
}

static void what_is_not_utf8_does_not_get_into_the_object(void **state)
{
    cleanup_string_map struct string_map versions = {0};
    const struct volume_event event = {.type = VOLUME_EVENT_MOUNTED,
                                       .pod_name = "p",
                                       .pod_namespace = "n",
                                       .pod_uid = "u",
                                       .target_path = "/t",
                                       .class_name = "c",
                                       .versions = &versions};
    struct desired_pod_status *desired;
    const cJSON *object;

    (void)state;
    assert_int_equal(string_map_set(&versions, "a\xff", "\xc3(", NULL), 0);
    desired = desired_pod_status_create(&event, "node", 1, NULL);
    assert_non_null(desired);
    object = cJSON_GetArrayItem(desired->objects, 0);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(object, "id")), "a?");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(object, "version")), "?(");
    desired_pod_status_destroy(desired);
}

static void a_long_error_is_cut_between_characters(void **state)
{
    char message[2000];
    struct desired_pod_status *desired;

    (void)state;
    memset(message, 'x', sizeof(message));
    message[POD_STATUS_ERROR_MAX - 1] = '\xc3';
    message[POD_STATUS_ERROR_MAX] = '\xa4';
    message[sizeof(message) - 1] = '\0';
    desired = desired_of(VOLUME_EVENT_FAILED, message, false, PATH("v"));
    assert_int_equal(strlen(desired->error), POD_STATUS_ERROR_MAX - 1);
    desired_pod_status_destroy(desired);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_object_is_as_specified),
        cmocka_unit_test(a_difference_is_patched_and_nothing_else),
        cmocka_unit_test(an_equal_object_is_left_alone),
        cmocka_unit_test(changed_content_is_a_change_even_with_the_same_versions),
        cmocka_unit_test(an_error_begins_and_ends_once),
        cmocka_unit_test(a_new_pod_has_not_rotated_yet),
        cmocka_unit_test(two_volumes_of_one_pod_agree_on_a_path),
        cmocka_unit_test(an_object_is_ours_or_another_pods),
        cmocka_unit_test(names_are_plain_until_they_are_too_long),
        cmocka_unit_test(names_that_would_be_one_have_unique_forms),
        cmocka_unit_test(a_node_name_becomes_a_label_value),
        cmocka_unit_test(what_is_not_utf8_does_not_get_into_the_object),
        cmocka_unit_test(a_long_error_is_cut_between_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
