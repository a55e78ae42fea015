/*
 * test_secret_patch.c - what is sent for a Secret: the object to create, and the patch for one that exists.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/json.h"
#include "driver/sync/secret_patch.h"

/* Two keys ("a": "1", "b": "two"), two labels, one annotation; owned by the ReplicaSet with uid u1. */
struct example {
    struct secret_content content;
    struct secret_value values[2];
    struct owner_references owners;
};

static void example_make(struct example *example)
{
    *example = (struct example){.content = {.name = strdup("s"), .type = strdup("Opaque"), .n_values = 2}};
    example->values[0] = (struct secret_value){.key = strdup("a"), .bytes = secret_from_bytes("1", 1)};
    example->values[1] = (struct secret_value){.key = strdup("b"), .bytes = secret_from_bytes("two", 3)};
    example->content.values = example->values;
    assert_int_equal(string_map_set(&example->content.labels, "env", "prod", NULL), 0);
    assert_int_equal(string_map_set(&example->content.labels, SECRET_MANAGED_LABEL, "true", NULL), 0);
    assert_int_equal(string_map_set(&example->content.annotations, "note", "x", NULL), 0);
    assert_int_equal(owner_references_add(&example->owners, "apps/v1", "ReplicaSet", "web-1", "u1", NULL), 0);
}

static void example_finish(struct example *example)
{
    for (size_t i = 0; i < ARRAY_SIZE(example->values); i++) {
        free(example->values[i].key);
        secret_destroy(example->values[i].bytes);
    }
    example->content.values = NULL;
    example->content.n_values = 0;
    secret_content_finish(&example->content);
    owner_references_finish(&example->owners);
}

static cJSON *parse(const char *text)
{
    cleanup_error struct error *error = NULL;
    cJSON *json = json_parse(text, strlen(text), 1 << 20, &error);

    if (json == NULL)
        fail_msg("%s: %s", text, error_message(error));
    return json;
}

static void assert_json(const cJSON *found, const char *wanted)
{
    cleanup_json cJSON *json = parse(wanted);
    cleanup_secret_free char *text = json_print(found, NULL);

    if (!cJSON_Compare(found, json, /* case_sensitive= */ 1))
        fail_msg("found %s, wanted %s", text, wanted);
}

#define OWNER_1 "{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"web-1\",\"uid\":\"u1\"}"
/* The example, as the API server would have it, with places for more. */
#define CURRENT(labels, annotations, owners, type, data)                                                     \
    "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"s\",\"resourceVersion\":\"7\","     \
    "\"labels\":{" labels "},\"annotations\":{" annotations "},\"ownerReferences\":[" owners                 \
    "]},\"type\":\"" type "\",\"data\":{" data "}}"
#define LABELS       "\"env\":\"prod\",\"secrets-store.csi.k8s.io/managed\":\"true\""
#define CLAIMS(text) "\"secrets-store.csi.k8s.io/written-by\":\"{\\\"web\\\":{" text "}}\""
#define CLAIM_LABELS "\\\"labels\\\":[\\\"env\\\"],"
#define CLAIM_REST   "\\\"annotations\\\":[\\\"note\\\"],\\\"data\\\":[\\\"a\\\",\\\"b\\\"]"
#define CLAIMED      CLAIMS(CLAIM_LABELS CLAIM_REST)
#define NOTE         "\"note\":\"x\"," CLAIMED
#define DATA         "\"a\":\"MQ==\",\"b\":\"dHdv\""

static void a_new_secret_has_data_labels_and_owners_in_one_write(void **state)
{
    struct example example;
    (void)state;
    example_make(&example);
    const struct desired_secret desired = {
        .class_name = "web", .content = &example.content, .owners = &example.owners};
    cleanup_json cJSON *object = secret_patch_new_object("shop", &desired, NULL);

    assert_json(
        object,
        "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"s\",\"namespace\":\"shop\",\"labels\":{" LABELS
        "},\"annotations\":{" NOTE "},\"ownerReferences\":[" OWNER_1 "]},\"type\":\"Opaque\",\"data\":{" DATA
        "}}");
    example_finish(&example);
}

static const struct {
    const char *what;
    const char *current;
    const char *patch; /* NULL = nothing to write */
} patches[] = {
    {"equal", CURRENT(LABELS, NOTE, OWNER_1, "Opaque", DATA), NULL},
    {"what others added is no difference",
     CURRENT(
         LABELS ",\"team\":\"a\"", NOTE ",\"tool\":\"y\"",
         "{\"apiVersion\":\"v1\",\"kind\":\"X\",\"name\":\"n\",\"uid\":\"u9\",\"controller\":true}," OWNER_1,
         "Opaque", DATA),
     NULL},
    {"one value differs", CURRENT(LABELS, NOTE, OWNER_1, "Opaque", "\"a\":\"MQ==\",\"b\":\"b2xk\""),
     "{\"data\":{\"b\":\"dHdv\"}}"},
    {"a key is missing, another is too many",
     CURRENT(LABELS, NOTE, OWNER_1, "Opaque", "\"a\":\"MQ==\",\"c\":\"MQ==\""),
     "{\"data\":{\"b\":\"dHdv\",\"c\":null}}"},
    {"the managed label is gone, but an owner is ours",
     CURRENT("\"env\":\"prod\"", NOTE, OWNER_1, "Opaque", DATA),
     "{\"metadata\":{\"labels\":{\"secrets-store.csi.k8s.io/managed\":\"true\"}}}"},
    {"label and annotation differ",
     CURRENT("\"env\":\"test\",\"secrets-store.csi.k8s.io/managed\":\"true\"", CLAIMED, OWNER_1, "Opaque",
             DATA),
     "{\"metadata\":{\"labels\":{\"env\":\"prod\"},\"annotations\":{\"note\":\"x\"}}}"},
    {"a label and an annotation that the class had before are removed",
     CURRENT(
         LABELS ",\"old\":\"1\"",
         "\"note\":\"x\",\"was\":\"2\"," CLAIMS(
             "\\\"labels\\\":[\\\"old\\\",\\\"env\\\"],\\\"annotations\\\":[\\\"was\\\",\\\"note\\\"],\\\"data\\\":[\\\"a\\\",\\\"b\\\"]"),
         OWNER_1, "Opaque", DATA),
     "{\"metadata\":{\"labels\":{\"old\":null},\"annotations\":{\"was\":null," CLAIMED "}}}"},
    {"a Secret that an earlier driver has made: nothing is removed yet, whose it is is written down",
     CURRENT(LABELS, "\"note\":\"x\"", OWNER_1, "Opaque", DATA ",\"c\":\"MQ==\""),
     "{\"metadata\":{\"annotations\":{" CLAIMED "}}}"},
    {"field owners that no driver has written are none",
     CURRENT(LABELS, "\"note\":\"x\",\"secrets-store.csi.k8s.io/written-by\":\"me\"", OWNER_1, "Opaque",
             DATA),
     "{\"metadata\":{\"annotations\":{" CLAIMED "}}}"},
    {"owners of others stay, whatever they are",
     CURRENT(LABELS, NOTE,
             "{\"apiVersion\":\"v1\",\"kind\":\"X\",\"name\":\"n\",\"uid\":\"u9\",\"controller\":true}",
             "Opaque", DATA),
     "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"X\",\"name\":\"n\",\"uid\":\"u9\",\"controller\":true}," OWNER_1
     "]}}"},
    {"an owner of the same name with another uid is another owner",
     CURRENT(LABELS, NOTE,
             "{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"web-1\",\"uid\":\"u0\"}",
             "Opaque", DATA),
     "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"web-1\",\"uid\":\"u0\"}," OWNER_1
     "]}}"},
    {"nothing there at all but the mark", "{\"metadata\":{\"labels\":{" LABELS "}},\"type\":\"Opaque\"}",
     "{\"metadata\":{\"annotations\":{" NOTE "},\"ownerReferences\":[" OWNER_1 "]},\"data\":{" DATA "}}"},
};

static struct desired_secret desired_of(const struct example *example, enum secret_mode mode)
{
    return (struct desired_secret){
        .class_name = "web", .content = &example->content, .owners = &example->owners, .mode = mode};
}

static void only_differences_are_written(void **state)
{
    struct example example;
    (void)state;
    example_make(&example);
    for (size_t i = 0; i < ARRAY_SIZE(patches); i++) {
        cleanup_json cJSON *current = parse(patches[i].current);
        cleanup_secret_patch struct secret_patch patch = {0};
        cleanup_error struct error *error = NULL;
        const struct desired_secret desired = desired_of(&example, SECRET_APPLY);

        if (secret_patch_build(&desired, current, &patch, &error) < 0)
            fail_msg("%s: %s", patches[i].what, error_message(error));
        assert_null(patch.conflict);
        if (patches[i].patch == NULL && patch.json != NULL)
            fail_msg("%s: written without need", patches[i].what);
        if (patches[i].patch != NULL)
            assert_json(patch.json, patches[i].patch);
    }
    example_finish(&example);
}

static void a_restore_leaves_data_alone(void **state)
{
    struct example example;
    cleanup_json cJSON *current =
        parse(CURRENT("\"secrets-store.csi.k8s.io/managed\":\"true\"", "\"note\":\"x\"", "", "Opaque",
                      "\"a\":\"bmV3ZXI=\",\"c\":\"MQ==\""));
    cleanup_secret_patch struct secret_patch patch = {0};
    (void)state;
    example_make(&example);
    const struct desired_secret desired = desired_of(&example, SECRET_RESTORE);
    assert_int_equal(secret_patch_build(&desired, current, &patch, NULL), 0);
    assert_json(patch.json, "{\"metadata\":{\"labels\":{\"env\":\"prod\"},\"annotations\":{" CLAIMED
                            "},\"ownerReferences\":[" OWNER_1 "]}}");
    example_finish(&example);
}

static void secrets_that_may_not_be_changed_are_refused(void **state)
{
    static const struct {
        const char *current;
        const char *message;
    } cases[] = {
        {CURRENT("\"env\":\"prod\"", NOTE, "", "Opaque", DATA), "was not created by this driver"},
        {CURRENT("\"secrets-store.csi.k8s.io/managed\":\"false\"", NOTE, "", "Opaque", DATA),
         "secrets-store.csi.k8s.io/managed=true"},
        {"{\"metadata\":{},\"type\":\"Opaque\"}", "was not created by this driver"},
        {CURRENT(LABELS, NOTE, OWNER_1, "kubernetes.io/tls", DATA),
         "exists with type 'kubernetes.io/tls', the class says 'Opaque'"},
        {"{\"metadata\":{\"labels\":{" LABELS "}},\"type\":\"Opaque\",\"immutable\":true}",
         "the Secret is immutable"},
    };
    struct example example;
    (void)state;
    example_make(&example);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_json cJSON *current = parse(cases[i].current);
        cleanup_error struct error *error = NULL;
        struct secret_patch patch = {0};
        const struct desired_secret desired = desired_of(&example, SECRET_APPLY);

        assert_int_equal(secret_patch_build(&desired, current, &patch, &error), -1);
        assert_int_equal(error_code(error), GRPC_STATUS_FAILED_PRECONDITION);
        if (strstr(error_message(error), cases[i].message) == NULL)
            fail_msg("'%s' does not say '%s'", error_message(error), cases[i].message);
    }
    example_finish(&example);
}

static void owners_are_identified_by_uid_and_reduced(void **state)
{
    cleanup_json cJSON *pod = parse(
        "{\"metadata\":{\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"name\":\"web-1\",\"uid\":\"u1\",\"controller\":true,\"blockOwnerDeletion\":true},{\"apiVersion\":\"v1\","
        "\"kind\":\"X\",\"name\":\"web-1\",\"uid\":\"u2\"},{\"apiVersion\":\"v1\",\"kind\":\"X\",\"name\":\"again\",\"uid\":\"u2\"}]}}");
    cleanup_json cJSON *bare = parse("{\"metadata\":{\"name\":\"p\"}}");
    cleanup_json cJSON *bad = parse("{\"metadata\":{\"ownerReferences\":[{\"kind\":\"X\"}]}}");
    cleanup_owner_references struct owner_references owners = {0}, none = {0};
    cleanup_error struct error *error = NULL;
    (void)state;
    assert_int_equal(owner_references_from_object(pod, &owners, NULL), 0);
    assert_int_equal(owners.n, 2);
    cleanup_json cJSON *first = owner_reference_to_json(&owners.items[0]);
    assert_json(first, OWNER_1);
    assert_true(owner_references_contain(&owners, "u2"));
    assert_false(owner_references_contain(&owners, "web-1"));
    assert_int_equal(owner_references_from_object(bare, &none, NULL), 0);
    assert_int_equal(none.n, 0);
    assert_true(owner_references_contain_all(&owners, &none));
    assert_false(owner_references_contain_all(&none, &owners));
    assert_int_equal(owner_references_from_object(bad, &none, &error), -1);
    assert_non_null(strstr(error_message(error), "ownerReferences"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_secret_has_data_labels_and_owners_in_one_write),
        cmocka_unit_test(only_differences_are_written),
        cmocka_unit_test(a_restore_leaves_data_alone),
        cmocka_unit_test(secrets_that_may_not_be_changed_are_refused),
        cmocka_unit_test(owners_are_identified_by_uid_and_reduced),
    };
    secret_install_json_hooks();
    return cmocka_run_group_tests_name("secret_object", tests, NULL, NULL);
}
