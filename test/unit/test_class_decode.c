/*
 * test_class_decode.c - SecretProviderClasses in YAML and JSON: one decoder, two notations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/json.h"
#include "common/class/class.h"

enum { FOUND_MAX = 8 };

struct found {
    struct secret_provider_class *classes[FOUND_MAX];
    size_t n;
    size_t stop_after; /* 0 = never */
};

static int collect(struct secret_provider_class *class, void *arg, struct error **err)
{
    struct found *found = arg;

    assert_true(found->n < FOUND_MAX);
    found->classes[found->n++] = class;
    if (found->n == found->stop_after)
        return error_set(err, GRPC_STATUS_CANCELLED, "that is enough");
    return 0;
}

static void found_finish(struct found *found)
{
    for (size_t i = 0; i < found->n; i++)
        secret_provider_class_free(found->classes[i]);
}

typedef int each_function(const char *text, size_t len, const char *default_namespace, class_found *found,
                          void *arg, struct error **err);

static struct found read_all(each_function *each, const char *text)
{
    struct found found = {0};
    cleanup_error struct error *error = NULL;

    if (each(text, strlen(text), "default", collect, &found, &error) < 0)
        fail_msg("refused: %s", error_message(error));
    return found;
}

static void assert_refused(each_function *each, const char *text, const char *expected)
{
    struct found found = {0};
    cleanup_error struct error *error = NULL;

    if (each(text, strlen(text), "default", collect, &found, &error) == 0)
        fail_msg("taken: %s", text);
    assert_int_equal(error_code(error), GRPC_STATUS_INVALID_ARGUMENT);
    if (strstr(error_message(error), expected) == NULL)
        fail_msg("'%s' is not in '%s'", expected, error_message(error));
    found_finish(&found);
}

#define HEAD "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\n"

static const char whole_yaml[] = HEAD "metadata:\n"
                                      "  name: web\n"
                                      "  namespace: shop\n"
                                      "  uid: 1-2-3\n"
                                      "spec:\n"
                                      "  provider: azure\n"
                                      "  parameters:\n"
                                      "    keyvaultName: kv\n"
                                      "    usePodIdentity: \"false\"\n"
                                      "    cloudName:\n"
                                      "    objects: |\n"
                                      "      array:\n"
                                      "        - one\n"
                                      "  secretObjects:\n"
                                      "    - secretName: tls\n"
                                      "      type: kubernetes.io/tls\n"
                                      "      labels: {app: web}\n"
                                      "      annotations: {a: b, c: d}\n"
                                      "      data:\n"
                                      "        - {objectName: cert, key: tls.crt}\n"
                                      "        - {objectName: dir/cert, key: tls.key}\n"
                                      "    - secretName: other\n";

static const char whole_json[] =
    "{\"apiVersion\":\"secrets-store.csi.x-k8s.io/v1\",\"kind\":\"SecretProviderClass\",\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"uid\":\"1-2-3\",\"managedFields\":[{\"x\":1}]},\"spec\":"
    "{\"provider\":\"azure\",\"parameters\":{\"keyvaultName\":\"kv\",\"usePodIdentity\":\"false\",\"cloudName\":null,\"objects\":\"array:\\n  - one\\n\"},\"secretObjects\":[{\"secretName\":\"tls\","
    "\"type\":\"kubernetes.io/tls\",\"labels\":{\"app\":\"web\"},\"annotations\":{\"a\":\"b\",\"c\":\"d\"},\"data\":[{\"objectName\":\"cert\",\"key\":\"tls.crt\"},{\"objectName\":\"dir/cert\",\"key\":"
    "\"tls.key\"}]},{\"secretName\":\"other\"}]},\"status\":{}}";

static void both_notations_give_the_same_class(void **state)
{
    static const struct {
        each_function *each;
        const char *text;
    } table[] = {{class_yaml_each, whole_yaml}, {class_json_each, whole_json}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct found found = read_all(table[i].each, table[i].text);
        const struct secret_provider_class *class = found.classes[0];
        const struct secret_object *tls = &class->secret_objects[0];

        assert_int_equal(found.n, 1);
        assert_string_equal(class->name, "web");
        assert_string_equal(class->ns, "shop");
        assert_string_equal(class->uid, "1-2-3");
        assert_string_equal(class->provider, "azure");
        assert_int_equal(class->parameters.n, 4);
        assert_string_equal(string_map_get(&class->parameters, "keyvaultName"), "kv");
        assert_string_equal(string_map_get(&class->parameters, "usePodIdentity"), "false");
        assert_string_equal(string_map_get(&class->parameters, "cloudName"), "");
        assert_int_equal(class->n_secret_objects, 2);
        assert_string_equal(tls->secret_name, "tls");
        assert_string_equal(tls->type, "kubernetes.io/tls");
        assert_string_equal(string_map_get(&tls->labels, "app"), "web");
        assert_int_equal(tls->annotations.n, 2);
        assert_int_equal(tls->n_data, 2);
        assert_string_equal(tls->data[1].object_name, "dir/cert");
        assert_string_equal(tls->data[1].key, "tls.key");
        assert_string_equal(class->secret_objects[1].secret_name, "other");
        assert_string_equal(class->secret_objects[1].type, "");
        assert_int_equal(class->secret_objects[1].n_data, 0);
        found_finish(&found);
    }
}

#define META "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\nmetadata:\n  name: web\n"

static void the_annotations_of_rotation_are_read_and_others_are_not(void **state)
{
    struct found found =
        read_all(class_yaml_each, META "  resourceVersion: \"17\"\n"
                                       "  annotations:\n"
                                       "    other: 1\n"
                                       "    secrets-store.csi.k8s.io/rotation-poll-interval: 30s\n"
                                       "    secrets-store.csi.k8s.io/refresh: \"2026-01-02\"\n");
    struct found without = read_all(class_yaml_each, META "  annotations: {}\n");

    (void)state;
    assert_string_equal(found.classes[0]->resource_version, "17");
    assert_string_equal(found.classes[0]->rotation_interval, "30s");
    assert_string_equal(found.classes[0]->refresh, "2026-01-02");
    assert_string_equal(without.classes[0]->resource_version, "");
    assert_string_equal(without.classes[0]->rotation_interval, "");
    assert_refused(class_yaml_each,
                   META "  annotations: {secrets-store.csi.k8s.io/rotation-poll-interval: 30}\n",
                   "must be a string (quote it)");
    assert_refused(class_yaml_each, META "  annotations: []\n", "metadata.annotations must be a map");
    found_finish(&found);
    found_finish(&without);
}

static void a_class_lives_until_its_last_owner_lets_go(void **state)
{
    struct found found = read_all(class_yaml_each, META);
    struct secret_provider_class *class = found.classes[0];

    (void)state;
    assert_ptr_equal(secret_provider_class_ref(class), class);
    found_finish(&found);
    assert_string_equal(class->name, "web");
    secret_provider_class_free(class);
}

static void a_block_scalar_keeps_its_text(void **state)
{
    struct found found = read_all(class_yaml_each, whole_yaml);

    (void)state;
    assert_string_equal(string_map_get(&found.classes[0]->parameters, "objects"), "array:\n  - one\n");
    found_finish(&found);
}

static void a_class_without_namespace_is_in_the_default_one_and_needs_no_spec(void **state)
{
    struct found found = read_all(class_yaml_each, HEAD "metadata: {name: bare}\n");

    (void)state;
    assert_int_equal(found.n, 1);
    assert_string_equal(found.classes[0]->ns, "default");
    assert_string_equal(found.classes[0]->uid, "");
    assert_string_equal(found.classes[0]->provider, "");
    assert_int_equal(found.classes[0]->parameters.n, 0);
    found_finish(&found);
}

static void merged_members_count_where_there_are_none_of_their_own(void **state)
{
    (void)state;
    static const char text[] = "common: &common {vault: shop, tenant: t}\n"
                               "more: &more\n"
                               "  <<: *common\n"
                               "  vault: other\n"
                               "apiVersion: secrets-store.csi.x-k8s.io/v1\n"
                               "kind: SecretProviderClass\n"
                               "metadata: {name: a}\n"
                               "spec:\n"
                               "  provider: azure\n"
                               "  parameters:\n"
                               "    <<: [*more, {vault: third, objects: o}]\n"
                               "    tenant: own\n";
    struct found found = read_all(class_yaml_each, text);
    assert_int_equal(found.n, 1);
    const struct string_map *parameters = &found.classes[0]->parameters;
    assert_int_equal(parameters->n, 3);
    assert_string_equal(string_map_get(parameters, "vault"), "other");
    assert_string_equal(string_map_get(parameters, "tenant"), "own");
    assert_string_equal(string_map_get(parameters, "objects"), "o");
    found_finish(&found);
}

static void other_kinds_are_passed_over(void **state)
{
    static const struct {
        each_function *each;
        const char *text;
    } table[] = {
        {class_yaml_each, ""},
        {class_yaml_each, "---\n---\n"},
        {class_yaml_each, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 5}\n"},
        {class_yaml_each, "apiVersion: secrets-store.csi.x-k8s.io/v2\nkind: SecretProviderClass\n"},
        {class_yaml_each, "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: secretproviderclass\n"},
        {class_yaml_each, "kind: SecretProviderClass\n"},
        {class_yaml_each, "apiVersion: [1]\nkind: {}\n"},
        {class_json_each, "{}"},
        {class_json_each, "null"},
        {class_json_each, "{\"kind\":\"List\",\"items\":[{},{\"kind\":\"Pod\",\"apiVersion\":\"v1\"}]}"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct found found = read_all(table[i].each, table[i].text);
        assert_int_equal(found.n, 0);
    }
}

static void a_stream_and_a_list_give_their_classes_in_order(void **state)
{
    static const char yaml[] = HEAD "metadata: {name: a}\n---\nkind: Pod\n---\n"
                                    "apiVersion: secrets-store.csi.x-k8s.io/v1alpha1\n"
                                    "kind: SecretProviderClass\nmetadata: {name: b, namespace: x}\n";
#define ITEM(version, name)                                                                                  \
    "{\"apiVersion\":\"secrets-store.csi.x-k8s.io/" version "\",\"kind\":\"SecretProviderClass\","           \
    "\"metadata\":{\"name\":\"" name "\"}}"
    static const char json[] =
        "{\"kind\":\"List\",\"items\":[" ITEM("v1", "a") ",null," ITEM("v1alpha1", "b") "]}";
    struct found found = read_all(class_yaml_each, yaml);

    (void)state;
    assert_int_equal(found.n, 2);
    assert_string_equal(found.classes[0]->name, "a");
    assert_string_equal(found.classes[1]->name, "b");
    assert_string_equal(found.classes[1]->ns, "x");
    found_finish(&found);
    found = read_all(class_json_each, json);
    assert_int_equal(found.n, 2);
    assert_string_equal(found.classes[1]->name, "b");
    found_finish(&found);
}

static void the_reader_stops_when_its_callback_says_so(void **state)
{
    static const char yaml[] = HEAD "metadata: {name: a}\n---\n" HEAD "metadata: {name: b}\n";
    static const char json[] = "{\"items\":[" ITEM("v1", "a") "," ITEM("v1", "b") "]}";
    static const struct {
        each_function *each;
        const char *text;
    } table[] = {{class_yaml_each, yaml}, {class_json_each, json}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct found found = {.stop_after = 1};
        cleanup_error struct error *error = NULL;

        assert_int_equal(
            table[i].each(table[i].text, strlen(table[i].text), "default", collect, &found, &error), -1);
        assert_int_equal(error_code(error), GRPC_STATUS_CANCELLED);
        assert_int_equal(found.n, 1);
        found_finish(&found);
    }
}

static void malformed_objects_are_refused_with_field_and_line(void **state)
{
    static const struct {
        const char *yaml, *expected;
    } table[] = {
        {"- a\n", "the document must be a map"},
        {HEAD "metadata: {name: a}\nspec:\n  parameters:\n    <<: text\n",
         "spec.parameters: line 6: << must be a map"},
        {"just text\n", "the document must be a map"},
        {HEAD, "metadata.name must be set"},
        {HEAD "metadata: []\n", "line 3: metadata must be a map"},
        {HEAD "metadata: {}\n", "metadata.name must be a Kubernetes object name"},
        {HEAD "metadata: {name: Web}\n", "metadata.name must be a Kubernetes object name"},
        {HEAD "metadata: {name: ../x}\n", "metadata.name must be a Kubernetes object name"},
        {HEAD "metadata: {name: a, namespace: a/b}\n", "metadata.namespace must be a Kubernetes object name"},
        {HEAD "metadata: {name: 5}\n", "line 3: metadata.name must be a string (quote it)"},
        {HEAD "metadata: {name: a}\nspec: text\n", "line 4: spec must be a map"},
        {HEAD "metadata: {name: a}\nspec:\n  provider: true\n",
         "line 5: spec.provider must be a string (quote it)"},
        {HEAD "metadata: {name: a}\nspec:\n  provider: [azure]\n", "line 5: spec.provider must be a string"},
        {HEAD "metadata: {name: a}\nspec:\n  parameters: [a]\n", "line 5: spec.parameters must be a map"},
        {HEAD "metadata: {name: a}\nspec:\n  parameters:\n    ok: fine\n    usePodIdentity: false\n",
         "spec.parameters: line 7: usePodIdentity must be a string (quote it)"},
        {HEAD "metadata: {name: a}\nspec:\n  parameters:\n    objects:\n      - x\n",
         "objects must be a string (a bar behind its colon makes text of the lines below)"},
        {HEAD "metadata: {name: a}\nspec:\n  parameters:\n    objects: {array: [x]}\n",
         "spec.parameters: line 6: objects must be a string (a bar behind its colon"},
        {HEAD "metadata: {name: a}\nspec:\n  parameters:\n    objects: |\n    array:\n      - x\n",
         "spec.parameters: line 8: array must be a string (this list belongs below objects, indented further)"},
        {HEAD "metadata: {name: a}\nspec:\n  parameters:\n    secretObjects:\n      - secretName: x\n",
         "secretObjects must be a string (this list belongs into spec, beside parameters)"},
        {HEAD "metadata: {name: a}\nspec:\n  secretObjects: {}\n",
         "line 5: spec.secretObjects must be a list"},
        {HEAD "metadata: {name: a}\nspec:\n  secretObjects: [x]\n",
         "line 5: spec.secretObjects must be a list of maps"},
        {HEAD "metadata: {name: a}\nspec:\n  secretObjects:\n    - secretName: 1\n",
         "line 6: secretObjects[].secretName must be a string (quote it)"},
        {HEAD "metadata: {name: a}\nspec:\n  secretObjects:\n    - labels: {a: 1}\n",
         "secretObjects[].labels: line 6: a must be a string (quote it)"},
        {HEAD "metadata: {name: a}\nspec:\n  secretObjects:\n    - data: [{key: [x]}]\n",
         "secretObjects[].data[].key must be a string"},
        {HEAD "metadata: {name: a}\nmetadata: {name: b}\n", "metadata"}, /* duplicate key */
        {HEAD "metadata: {name: a\n", "line"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        assert_refused(class_yaml_each, table[i].yaml, table[i].expected);
}

static void json_scalars_of_another_type_are_refused(void **state)
{
#define WITH_SPEC(spec)                                                                                      \
    "{\"apiVersion\":\"secrets-store.csi.x-k8s.io/v1\",\"kind\":\"SecretProviderClass\","                    \
    "\"metadata\":{\"name\":\"a\"},\"spec\":" spec "}"
    static const struct {
        const char *json, *expected;
    } table[] = {
        {"[]", "the document must be a map"},
        {"5", "the document must be a map"},
        {"{", ""},
        {WITH_SPEC("[]"), "spec must be a map"},
        {WITH_SPEC("{\"provider\":5}"), "spec.provider must be a string (quote it)"},
        {WITH_SPEC("{\"parameters\":{\"a\":false}}"), "spec.parameters: a must be a string (quote it)"},
        {"{\"items\":[" ITEM("v1", "a") ",[]]}", "the document must be a map"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        assert_refused(class_json_each, table[i].json, table[i].expected);
}

/* The other side is what the API server's YAML 1.1 reader makes of a plain scalar. */
static void plain_scalars_are_typed_as_the_api_server_types_them(void **state)
{
    static const struct {
        const char *scalar;
        bool is_string;
    } table[] = {
        {"text", true},     {"\"5\"", true},  {"'true'", true}, {"1.2.3", true}, {"10.0.0.1", true},
        {"12e", true},      {"0x", true},     {"1a", true},     {"+", true},     {".", true},
        {"_1", true},       {"v1", true},     {"truee", true},  {"5", false},    {"-5", false},
        {"+5", false},      {"1_000", false}, {"0x1F", false},  {"0o17", false}, {"1.5", false},
        {".5", false},      {"1e5", false},   {"1E+5", false},  {"true", false}, {"True", false},
        {"no", false},      {"off", false},   {".inf", false},  {".nan", false}, {"0755", false},
        {"-1.5e-3", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        char yaml[256];

        (void)snprintf(yaml, sizeof(yaml), HEAD "metadata: {name: a}\nspec:\n  provider: %s\n",
                       table[i].scalar);
        if (table[i].is_string) {
            struct found found = read_all(class_yaml_each, yaml);
            assert_int_equal(found.n, 1);
            found_finish(&found);
        } else {
            assert_refused(class_yaml_each, yaml, "spec.provider must be a string (quote it)");
        }
    }
}

static void too_many_secret_objects_are_refused(void **state)
{
    static char text[16 * (CLASS_SECRET_OBJECTS_MAX + 64)];
    size_t len = (size_t)snprintf(text, sizeof(text), HEAD "metadata: {name: a}\nspec:\n  secretObjects:\n");
    struct found found;

    (void)state;
    for (size_t i = 0; i < CLASS_SECRET_OBJECTS_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "  - {}\n");
    found = read_all(class_yaml_each, text);
    assert_int_equal(found.classes[0]->n_secret_objects, CLASS_SECRET_OBJECTS_MAX);
    found_finish(&found);
    (void)snprintf(text + len, sizeof(text) - len, "  - {}\n");
    assert_refused(class_yaml_each, text, "spec.secretObjects has more than 1000 entries");
}

static void an_api_response_of_another_kind_is_an_error(void **state)
{
    static const char *const texts[] = {"{\"kind\":\"Status\",\"apiVersion\":\"v1\"}", "null", "[]"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        cleanup_json cJSON *json = json_parse(texts[i], strlen(texts[i]), 1000, NULL);
        cleanup_error struct error *error = NULL;

        assert_non_null(json);
        assert_null(class_from_json(json, "default", &error));
        assert_int_equal(error_code(error), GRPC_STATUS_INVALID_ARGUMENT);
    }
}

static void names_are_those_kubernetes_accepts(void **state)
{
    char longest[CLASS_NAME_MAX + 2];
    const struct {
        const char *name;
        bool ok;
    } table[] = {{"a", true},         {"web-1.example", true}, {"0", true},     {"", false},
                 {"-a", false},       {".a", false},           {"a..b", false}, {"A", false},
                 {"a_b", false},      {"a/b", false},          {"a b", false},  {"a\n", false},
                 {"\xc3\xa4", false}, {longest, false}};

    (void)state;
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (class_name_valid(table[i].name) != table[i].ok)
            fail_msg("'%s'", table[i].name);
    longest[CLASS_NAME_MAX] = '\0';
    assert_true(class_name_valid(longest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_notations_give_the_same_class),
        cmocka_unit_test(the_annotations_of_rotation_are_read_and_others_are_not),
        cmocka_unit_test(a_class_lives_until_its_last_owner_lets_go),
        cmocka_unit_test(a_block_scalar_keeps_its_text),
        cmocka_unit_test(a_class_without_namespace_is_in_the_default_one_and_needs_no_spec),
        cmocka_unit_test(merged_members_count_where_there_are_none_of_their_own),
        cmocka_unit_test(other_kinds_are_passed_over),
        cmocka_unit_test(a_stream_and_a_list_give_their_classes_in_order),
        cmocka_unit_test(the_reader_stops_when_its_callback_says_so),
        cmocka_unit_test(malformed_objects_are_refused_with_field_and_line),
        cmocka_unit_test(json_scalars_of_another_type_are_refused),
        cmocka_unit_test(plain_scalars_are_typed_as_the_api_server_types_them),
        cmocka_unit_test(too_many_secret_objects_are_refused),
        cmocka_unit_test(an_api_response_of_another_kind_is_an_error),
        cmocka_unit_test(names_are_those_kubernetes_accepts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
