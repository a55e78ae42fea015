/*
 * test_secret_field_owners.c - several classes that own fields of one Secret: what each of them writes, and
 * what it leaves alone. The Secret is kept as an API server would keep it: patches are applied to it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/json.h"
#include "common/crypto/encoding.h"
#include "driver/sync/secret_field_owners.h"
#include "driver/sync/secret_patch.h"
#include "test/unit/merge_patch.h"

enum { FIELDS_MAX = 4 };

/* One class: its keys with values; a label or none. */
struct side {
    const char *class_name;
    const char *label; /* its value; the label's name is "app" */
    const char *fields[FIELDS_MAX][2];
};

struct cluster {
    cJSON *secret;
    unsigned version;
    const cJSON *field_owners; /* for the next write */
    const char *field_owners_version;
    struct error *conflict; /* of the last write */
};

static int make(void **state)
{
    struct cluster *cluster = calloc(1, sizeof(*cluster));

    assert_non_null(cluster);
    *state = cluster;
    return 0;
}

static int unmake(void **state)
{
    struct cluster *cluster = *state;

    cJSON_Delete(cluster->secret);
    error_free(cluster->conflict);
    free(cluster);
    return 0;
}

static void set_version(struct cluster *cluster)
{
    cJSON *metadata = cJSON_GetObjectItemCaseSensitive(cluster->secret, "metadata");
    char text[16];

    (void)snprintf(text, sizeof(text), "%u", ++cluster->version);
    cJSON_DeleteItemFromObjectCaseSensitive(metadata, "resourceVersion");
    assert_non_null(cJSON_AddStringToObject(metadata, "resourceVersion", text));
}

static void content_make(struct secret_content *content, const struct side *side)
{
    *content = (struct secret_content){.name = strdup("s"),
                                       .type = strdup("Opaque"),
                                       .values = calloc(FIELDS_MAX, sizeof(struct secret_value))};
    for (size_t i = 0; i < FIELDS_MAX && side->fields[i][0] != NULL; i++) {
        const char *value = side->fields[i][1];

        content->values[content->n_values++] = (struct secret_value){
            .key = strdup(side->fields[i][0]), .bytes = secret_from_bytes(value, strlen(value))};
    }
    assert_int_equal(string_map_set(&content->labels, SECRET_MANAGED_LABEL, "true", NULL), 0);
    if (side->label != NULL)
        assert_int_equal(string_map_set(&content->labels, "app", side->label, NULL), 0);
}

/* Lets one class bring the Secret up to date. Returns true when it has written. */
static bool write_as(struct cluster *cluster, const struct side *side, enum secret_mode mode, bool force)
{
    cleanup_secret_content struct secret_content content = {0};
    cleanup_secret_patch struct secret_patch patch = {0};
    cleanup_owner_references struct owner_references owners = {0};
    cleanup_error struct error *error = NULL;
    struct desired_secret desired;

    content_make(&content, side);
    desired = (struct desired_secret){.class_name = side->class_name,
                                      .content = &content,
                                      .owners = &owners,
                                      .mode = mode,
                                      .force = force,
                                      .field_owners = cluster->field_owners,
                                      .field_owners_version = cluster->field_owners_version};
    error_free(cluster->conflict);
    cluster->conflict = NULL;
    if (cluster->secret == NULL) {
        cluster->secret = secret_patch_new_object("shop", &desired, &error);
        assert_non_null(cluster->secret);
        set_version(cluster);
        return true;
    }
    if (secret_patch_build(&desired, cluster->secret, &patch, &error) < 0)
        fail_msg("%s", error_message(error));
    cluster->conflict = steal_ptr(&patch.conflict);
    if (patch.json == NULL)
        return false;
    merge_patch(cluster->secret, patch.json);
    set_version(cluster);
    return true;
}

static bool check(struct cluster *cluster, const struct side *side)
{
    return write_as(cluster, side, SECRET_APPLY, /* force= */ false);
}

static bool mount(struct cluster *cluster, const struct side *side)
{
    return write_as(cluster, side, SECRET_APPLY, /* force= */ true);
}

/* `wanted` is the data decoded, "key=value" in any order, all of it. */
static void assert_data(const struct cluster *cluster, const char *wanted)
{
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(cluster->secret, "data");
    cleanup_free char *rest = strdup(wanted);
    char *save = NULL;
    int n = 0;

    for (char *pair = strtok_r(rest, " ", &save); pair != NULL; pair = strtok_r(NULL, " ", &save)) {
        char *value = strchr(pair, '=');

        *value++ = '\0';
        cleanup_secret_free char *text = base64_encode(value, strlen(value));
        const char *found = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(data, pair));
        if (found == NULL || strcmp(found, text) != 0)
            fail_msg("key '%s' is %s, not %s", pair, found != NULL ? found : "missing", text);
        n++;
    }
    assert_int_equal(cJSON_GetArraySize(data), n);
}

static const char *metadata_string(const struct cluster *cluster, enum secret_part part, const char *key)
{
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(cluster->secret, "metadata");
    const cJSON *fields = cJSON_GetObjectItemCaseSensitive(metadata, secret_part_name(part));

    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(fields, key));
}

static void assert_conflict(const struct cluster *cluster, const char *key, const char *owner)
{
    char wanted[100];

    if (key == NULL) {
        assert_null(cluster->conflict);
        return;
    }
    assert_non_null(cluster->conflict);
    assert_int_equal(error_code(cluster->conflict), GRPC_STATUS_FAILED_PRECONDITION);
    (void)snprintf(wanted, sizeof(wanted), "key '%s' keeps the value of secretproviderclass '%s'", key,
                   owner);
    if (strstr(error_message(cluster->conflict), wanted) == NULL)
        fail_msg("'%s' does not say \"%s\"", error_message(cluster->conflict), wanted);
}

static const struct side web = {
    .class_name = "web", .label = "web", .fields = {{"user", "u"}, {"pass", "p"}}};
static const struct side api = {.class_name = "api", .fields = {{"token", "t"}}};

static void classes_with_keys_of_their_own_leave_each_other_alone(void **state)
{
    struct cluster *cluster = *state;

    assert_true(mount(cluster, &web));
    assert_true(mount(cluster, &api));
    assert_data(cluster, "user=u pass=p token=t");
    for (int round = 0; round < 3; round++) {
        assert_false(check(cluster, &web));
        assert_false(check(cluster, &api));
        assert_false(mount(cluster, &web));
    }
    assert_string_equal(metadata_string(cluster, SECRET_LABELS, "app"), "web");
    assert_conflict(cluster, NULL, NULL);
}

static void a_key_that_its_class_drops_goes_and_the_others_stay(void **state)
{
    static const struct side web_later = {.class_name = "web", .fields = {{"user", "u"}, {"name", "n"}}};
    struct cluster *cluster = *state;

    (void)mount(cluster, &web);
    (void)mount(cluster, &api);
    assert_true(check(cluster, &web_later));
    assert_data(cluster, "user=u name=n token=t");
    assert_null(metadata_string(cluster, SECRET_LABELS, "app"));
    assert_false(check(cluster, &api));
}

/* Both read the same vault. One of them is always the first to see a new version. */
static void classes_that_agree_on_a_key_may_both_rotate_it(void **state)
{
    static const struct side old[] = {{.class_name = "a", .fields = {{"k", "1"}}},
                                      {.class_name = "b", .fields = {{"k", "1"}}}};
    static const struct side new[] = {{.class_name = "a", .fields = {{"k", "2"}}},
                                      {.class_name = "b", .fields = {{"k", "2"}}}};
    static const struct side none = {.class_name = "b", .fields = {{"other", "o"}}};
    struct cluster *cluster = *state;

    (void)mount(cluster, &old[0]);
    (void)mount(cluster, &old[1]);
    for (int first = 0; first < 2; first++) {
        assert_true(check(cluster, &new[first]));
        assert_conflict(cluster, NULL, NULL);
        (void)check(cluster, &new[1 - first]);
        assert_conflict(cluster, NULL, NULL);
        assert_data(cluster, "k=2");
        (void)check(cluster, &old[first]);
        (void)check(cluster, &old[1 - first]);
    }
    /* it stays when one of them drops it */
    (void)check(cluster, &none);
    assert_data(cluster, "k=1 other=o");
}

static void of_two_values_the_last_mount_forces_its_own_and_checks_do_not(void **state)
{
    static const struct side one = {.class_name = "one", .fields = {{"k", "1"}, {"own", "x"}}};
    static const struct side two = {.class_name = "two", .fields = {{"k", "2"}}};
    struct cluster *cluster = *state;

    (void)mount(cluster, &one);
    assert_false(check(cluster, &two));
    assert_conflict(cluster, "k", "one");
    assert_data(cluster, "k=1 own=x");
    assert_true(mount(cluster, &two));
    assert_conflict(cluster, NULL, NULL);
    assert_data(cluster, "k=2 own=x");
    for (int round = 0; round < 3; round++) {
        assert_false(check(cluster, &one));
        assert_conflict(cluster, "k", "two");
        assert_false(check(cluster, &two));
        assert_conflict(cluster, NULL, NULL);
    }
    assert_data(cluster, "k=2 own=x");
    assert_true(mount(cluster, &one));
    assert_data(cluster, "k=1 own=x");
}

static void labels_follow_the_same_rule(void **state)
{
    static const struct side one = {.class_name = "one", .label = "1", .fields = {{"a", "x"}}};
    static const struct side two = {.class_name = "two", .label = "2", .fields = {{"b", "y"}, {"a", "x"}}};
    struct cluster *cluster = *state;

    (void)mount(cluster, &one);
    assert_true(check(cluster, &two));
    assert_string_equal(metadata_string(cluster, SECRET_LABELS, "app"), "1");
    assert_non_null(strstr(error_message(cluster->conflict), "label 'app' keeps the value"));
    assert_data(cluster, "a=x b=y");
}

static void fields_of_a_deleted_class_are_removed(void **state)
{
    struct cluster *cluster = *state;
    cleanup_json cJSON *owners = NULL;

    (void)mount(cluster, &web);
    (void)mount(cluster, &api);
    owners = secret_field_owners_read(cluster->secret);
    assert_true(secret_field_owners_shared(owners, "api"));
    assert_true(secret_field_owners_prune(owners, "web", NULL, "s"));
    assert_false(secret_field_owners_prune(owners, "web", NULL, "s"));
    assert_false(secret_field_owners_shared(owners, "api"));
    cluster->field_owners = owners;
    cluster->field_owners_version = "1"; /* written since: not valid any more */
    assert_false(check(cluster, &api));
    cluster->field_owners_version = "2";
    assert_true(check(cluster, &api));
    assert_data(cluster, "token=t");
    assert_null(metadata_string(cluster, SECRET_LABELS, "app"));
    assert_string_equal(metadata_string(cluster, SECRET_LABELS, SECRET_MANAGED_LABEL), "true");
    assert_string_equal(metadata_string(cluster, SECRET_ANNOTATIONS, SECRET_FIELD_OWNERS_ANNOTATION),
                        "{\"api\":{\"data\":[\"token\"]}}");
}

static void a_class_keeps_the_fields_it_still_names(void **state)
{
    struct secret_object_data data[] = {{.object_name = (char[]){"f"}, .key = (char[]){" user\n"}}};
    struct secret_object objects[] = {{.secret_name = (char[]){"other"}, .data = data, .n_data = 1},
                                      {.secret_name = (char[]){" s "}, .data = data, .n_data = 1}};
    const struct secret_provider_class class = {.secret_objects = objects, .n_secret_objects = 2};
    struct cluster *cluster = *state;
    cleanup_json cJSON *owners = NULL;

    (void)mount(cluster, &web);
    owners = secret_field_owners_read(cluster->secret);
    assert_true(secret_field_owners_prune(owners, "web", &class, "s"));
    cleanup_secret_free char *text = secret_field_owners_text(owners);
    assert_string_equal(text, "{\"web\":{\"data\":[\"user\"]}}");
    assert_false(secret_field_owners_prune(owners, "web", &class, "s"));
    assert_false(secret_field_owners_prune(owners, "api", &class, "s"));
}

/* As the driver in Go leaves a Secret. */
static void a_secret_without_field_owners_loses_nothing_before_all_are_known(void **state)
{
    struct cluster *cluster = *state;
    cJSON *annotations;

    (void)mount(cluster, &web);
    (void)mount(cluster, &api);
    annotations = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(cluster->secret, "metadata"), "annotations");
    cJSON_DeleteItemFromObjectCaseSensitive(annotations, SECRET_FIELD_OWNERS_ANNOTATION);
    assert_non_null(
        cJSON_AddStringToObject(cJSON_GetObjectItemCaseSensitive(cluster->secret, "data"), "stray", "eA=="));
    assert_true(check(cluster, &web));
    assert_data(cluster, "user=u pass=p token=t stray=x");
    assert_true(check(cluster, &api)); /* owners, and tidies up */
    assert_data(cluster, "user=u pass=p token=t");
    assert_false(check(cluster, &web));
    assert_data(cluster, "user=u pass=p token=t");
}

static void a_malformed_annotation_counts_as_none(void **state)
{
    static const char *const texts[] = {
        "",  "[]", "{\"Web\":{}}", "{\"web\":[]}", "{\"web\":{\"data\":\"a\"}}", "{\"web\":{\"data\":[1]}}",
        "{", "7"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        cleanup_json cJSON *secret = cJSON_CreateObject();
        cJSON *annotations =
            cJSON_AddObjectToObject(cJSON_AddObjectToObject(secret, "metadata"), "annotations");

        assert_non_null(cJSON_AddStringToObject(annotations, SECRET_FIELD_OWNERS_ANNOTATION, texts[i]));
        cleanup_json cJSON *owners = secret_field_owners_read(secret);
        assert_true(cJSON_IsObject(owners));
        assert_int_equal(cJSON_GetArraySize(owners), 0);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make, unmake)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(classes_with_keys_of_their_own_leave_each_other_alone),
        CASE(a_key_that_its_class_drops_goes_and_the_others_stay),
        CASE(classes_that_agree_on_a_key_may_both_rotate_it),
        CASE(of_two_values_the_last_mount_forces_its_own_and_checks_do_not),
        CASE(labels_follow_the_same_rule),
        CASE(fields_of_a_deleted_class_are_removed),
        CASE(a_class_keeps_the_fields_it_still_names),
        CASE(a_secret_without_field_owners_loses_nothing_before_all_are_known),
        CASE(a_malformed_annotation_counts_as_none),
    };
    secret_install_json_hooks();
    return cmocka_run_group_tests_name("secret_field_owners", tests, NULL, NULL);
}
