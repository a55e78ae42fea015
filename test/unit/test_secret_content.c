/*
 * test_secret_content.c - secretObjects of a class applied to files, and every way in which that fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "driver/sync/secret_content.h"

#define CLASS_HEAD                                                                                           \
    "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\n"                                 \
    "metadata: {name: web, namespace: shop}\nspec:\n  provider: p\n  secretObjects:\n"

static int keep(struct secret_provider_class *class, void *arg, struct error **err)
{
    (void)err;
    *(struct secret_provider_class **)arg = class;
    return 0;
}

/* `objects`: items of secretObjects in YAML flow style, one per line, each with its "- ". */
static struct secret_provider_class *class_of(const char *objects)
{
    struct secret_provider_class *class = NULL;
    char text[4096];

    (void)snprintf(text, sizeof(text), CLASS_HEAD "%s", objects);
    assert_int_equal(class_yaml_each(text, strlen(text), "default", keep, &class, NULL), 0);
    assert_non_null(class);
    return class;
}

static void add_file(struct payload *files, const char *path, const char *text)
{
    assert_int_equal(payload_add(files, path, 0644, secret_from_bytes(text, strlen(text)), NULL), 0);
}

static struct payload some_files(void)
{
    struct payload files = {0};

    add_file(&files, "name", "admin");
    add_file(&files, "nested/bar", "b\n");
    add_file(&files, "empty", "");
    add_file(&files, "bytes", "\xff\xfe\x80");
    add_file(&files, "login64", "eyJhdXRocyI6e319");
    add_file(&files, "marked", "\xef\xbb\xbf{\"auths\":{}}");
    assert_int_equal(payload_seal(&files, NULL), 0);
    return files;
}

static int build_nth(const char *objects, size_t index, struct secret_content *content, struct error **err)
{
    cleanup_class struct secret_provider_class *class = class_of(objects);
    cleanup_payload struct payload files = some_files();

    return secret_content_build(class, index, &files, content, err);
}

static struct secret_content build(const char *objects)
{
    struct secret_content content = {0};
    cleanup_error struct error *error = NULL;

    if (build_nth(objects, 0, &content, &error) < 0)
        fail_msg("%s: %s", objects, error_message(error));
    return content;
}

static void assert_value(const struct secret_content *content, size_t i, const char *key, const char *text)
{
    assert_true(i < content->n_values);
    assert_string_equal(content->values[i].key, key);
    assert_int_equal(secret_len(content->values[i].bytes), strlen(text));
    assert_memory_equal(secret_bytes(content->values[i].bytes), text, strlen(text));
}

static void files_become_values_as_they_are(void **state)
{
    (void)state;
    cleanup_secret_content struct secret_content content = build(
        "  - {secretName: s, type: Opaque, data: [{objectName: nested/bar, key: z}, {objectName: name, key: user}, {objectName: empty, key: none}, {objectName: bytes, key: raw}, {objectName: name, "
        "key: again}]}\n");

    assert_string_equal(content.name, "s");
    assert_string_equal(content.type, "Opaque");
    assert_int_equal(content.n_values, 5);
    assert_value(&content, 0, "again", "admin");
    assert_value(&content, 1, "none", "");
    assert_value(&content, 2, "raw", "\xff\xfe\x80");
    assert_value(&content, 3, "user", "admin");
    assert_value(&content, 4, "z", "b\n");
}

static void white_space_around_names_does_not_count(void **state)
{
    (void)state;
    cleanup_secret_content struct secret_content content =
        build("  - {secretName: ' s\t', type: \" \\n\", data: [{objectName: ' nested/bar ', key: ' k '}]}\n");

    assert_string_equal(content.name, "s");
    assert_string_equal(content.type, "Opaque"); /* blank, but there */
    assert_value(&content, 0, "k", "b\n");
}

static void any_type_is_passed_on(void **state)
{
    static const char *const types[] = {
        "kubernetes.io/basic-auth", "bootstrap.kubernetes.io/token", "kubernetes.io/dockerconfigjson",
        "kubernetes.io/dockercfg",  "kubernetes.io/ssh-auth",        "kubernetes.io/service-account-token",
        "example.org/own"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        char objects[256];

        (void)snprintf(objects, sizeof(objects),
                       "  - {secretName: s, type: %s, data: [{objectName: name, key: username}]}\n",
                       types[i]);
        cleanup_secret_content struct secret_content content = build(objects);
        assert_string_equal(content.type, types[i]);
        assert_value(&content, 0, "username", "admin");
    }
}

static void labels_and_annotations_are_copied_and_the_managed_label_is_ours(void **state)
{
    (void)state;
    cleanup_secret_content struct secret_content content = build(
        "  - {secretName: s, type: Opaque, data: [{objectName: name, key: k}], labels: {env: prod, secrets-store.csi.k8s.io/managed: 'no'}, annotations: {a: b}}\n");

    assert_int_equal(content.labels.n, 2);
    assert_string_equal(string_map_get(&content.labels, "env"), "prod");
    assert_string_equal(string_map_get(&content.labels, SECRET_MANAGED_LABEL), "true");
    assert_int_equal(content.annotations.n, 1);
    assert_string_equal(string_map_get(&content.annotations, "a"), "b");
}

static void of_a_repeated_key_the_last_one_counts(void **state)
{
    (void)state;
    cleanup_secret_content struct secret_content content = build(
        "  - {secretName: s, type: Opaque, data: [{objectName: name, key: k}, {objectName: nested/bar, key: k}]}\n");

    assert_int_equal(content.n_values, 1);
    assert_value(&content, 0, "k", "b\n");
}

static void mistakes_in_a_class_are_named(void **state)
{
    static const struct {
        const char *objects;
        const char *message;
    } cases[] = {
        {"  - {type: Opaque, data: [{objectName: name, key: k}]}\n", "secretName is empty"},
        {"  - {secretName: ' ', type: Opaque, data: [{objectName: name, key: k}]}\n",
         "secretName '' is not a Kubernetes object name"},
        {"  - {secretName: ../x, type: Opaque, data: [{objectName: name, key: k}]}\n",
         "secretName '../x' is not a Kubernetes object name"},
        {"  - {secretName: s, data: [{objectName: name, key: k}]}\n", "type is empty"},
        {"  - {secretName: s, type: Opaque}\n", "data is empty"},
        {"  - {secretName: s, type: Opaque, data: [{objectName: name, key: k}, {objectName: ' ', key: k}]}\n",
         "data[1] (key 'k', file ''): objectName is empty"},
        {"  - {secretName: s, type: Opaque, data: [{objectName: name}]}\n",
         "data[0] (key '', file 'name'): key is empty"},
        {"  - {secretName: s, type: Opaque, data: [{objectName: nested, key: k}]}\n",
         "data[0] (key 'k', file 'nested'): the volume has no such file (has: bytes, empty, login64, marked, name, nested/bar)"},
        {"  - {secretName: s, type: Opaque, data: [{objectName: name, key: my key}]}\n",
         "data[0] (key 'my key', file 'name'): a key of a Secret consists of letters"},
        {"  - {secretName: s, type: Opaque, data: [{objectName: name, key: ..x}]}\n",
         "does not begin with '..'"},
        {"  - {secretName: s, type: Other, data: [{objectName: name, key: k}, {objectName: nope, key: l}]}\n",
         "data[1] (key 'l', file 'nope'): the volume has no such file"},
        {"  - {secretName: s, type: kubernetes.io/tls, data: [{objectName: name, key: tls.crt}]}\n",
         "no certificate: neither PEM nor PKCS#12"},
        {"  - {secretName: s, type: kubernetes.io/tls, data: [{objectName: name, key: tls.key}]}\n",
         "no private key: neither PEM nor PKCS#12"},
        {"  - {secretName: s, type: kubernetes.io/dockerconfigjson, data: [{objectName: login64, key: .dockerconfigjson}]}\n",
         "the file is no JSON [hint: it is base64 text"},
        {"  - {secretName: s, type: kubernetes.io/dockercfg, data: [{objectName: login64, key: .dockercfg}]}\n",
         "the file is no JSON [hint: it is base64 text"},
        {"  - {secretName: s, type: kubernetes.io/dockerconfigjson, data: [{objectName: marked, key: .dockerconfigjson}]}\n",
         "the file is no JSON: it begins with a byte order mark"},
        {"  - {secretName: s, type: Opaque, data: [{objectName: name, key: k}]}\n"
         "  - {secretName: ' s', type: Opaque, data: [{objectName: name, key: k}]}\n",
         "secretObjects[1] names the same Secret"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct secret_content content = {0};
        cleanup_error struct error *error = NULL;

        if (build_nth(cases[i].objects, 0, &content, &error) == 0)
            fail_msg("taken: %s", cases[i].objects);
        if (strstr(error_message(error), cases[i].message) == NULL)
            fail_msg("'%s' does not say '%s'", error_message(error), cases[i].message);
        assert_non_null(strstr(error_message(error), "secretproviderclass shop/web, secretObjects[0]"));
        assert_null(strstr(error_message(error), "admin")); /* no content */
        assert_null(content.name);
    }
}

static void an_entry_that_fails_keeps_its_key_and_the_others_have_values(void **state)
{
    (void)state;
    cleanup_secret_content struct secret_content content = build(
        "  - {secretName: s, type: Opaque, data: [{objectName: nope, key: a}, {objectName: name, key: b}, "
        "{objectName: name, key: c}, {objectName: gone, key: c}, {objectName: none, key: d}, "
        "{objectName: name, key: d}]}\n");

    assert_int_equal(content.n_values, 2);
    assert_value(&content, 0, "b", "admin");
    assert_value(&content, 1, "d", "admin");
    assert_int_equal(content.n_kept, 2);
    assert_true(secret_content_names(&content, "a") && secret_content_names(&content, "c"));
    assert_false(secret_content_names(&content, "e"));
    assert_int_equal(content.n_failures, 3);
    assert_non_null(
        strstr(error_message(content.failures[1]),
               "secretObjects[0], Secret 's': data[3] (key 'c', file 'gone'): the volume has no"));
}

static void a_secret_of_another_type_is_built_whole_or_not_and_all_failures_are_known(void **state)
{
    struct secret_content content = {0};
    cleanup_error struct error *error = NULL;
    (void)state;
    assert_int_equal(
        build_nth("  - {secretName: s, type: Other, data: [{objectName: nope, key: a}, {objectName: "
                  "name, key: b}, {objectName: none, key: c}]}\n",
                  0, &content, &error),
        -1);
    assert_non_null(strstr(error_message(error), "data[0] (key 'a'"));
    assert_int_equal(content.n_failures, 1);
    assert_non_null(strstr(error_message(content.failures[0]), "data[2] (key 'c'"));
    assert_null(content.name);
    secret_content_finish(&content);
}

static void further_keys_of_a_tls_secret_are_files_as_they_are(void **state)
{
    (void)state;
    cleanup_secret_content struct secret_content content = build(
        "  - {secretName: s, type: kubernetes.io/tls, data: [{objectName: nested/bar, key: ca.crt}]}\n");

    assert_value(&content, 0, "ca.crt", "b\n");
}

static void many_files_are_cut_in_the_report(void **state)
{
    cleanup_class struct secret_provider_class *class =
        class_of("  - {secretName: s, type: Opaque, data: [{objectName: nope, key: a}]}\n");
    cleanup_payload struct payload files = {0};
    struct secret_content content = {0};
    cleanup_error struct error *error = NULL;
    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        char path[PAYLOAD_COMPONENT_MAX];

        (void)snprintf(path, sizeof(path), "file-%04u", i);
        add_file(&files, path, "");
    }
    assert_int_equal(payload_seal(&files, NULL), 0);
    assert_int_equal(secret_content_build(class, 0, &files, &content, &error), -1);
    assert_non_null(strstr(error_message(error), "(has: file-0000, file-0001, "));
    assert_non_null(strstr(error_message(error), " more)"));
    assert_true(strlen(error_message(error)) < 500);
}

static void a_bad_entry_does_not_touch_the_one_behind_it(void **state)
{
    struct secret_content content = {0};
    static const char objects[] = "  - {secretName: s, type: Opaque}\n"
                                  "  - {secretName: t, type: Opaque, data: [{objectName: name, key: k}]}\n";
    (void)state;
    assert_int_equal(build_nth(objects, 0, &content, NULL), -1);
    assert_int_equal(build_nth(objects, 1, &content, NULL), 0);
    assert_string_equal(content.name, "t");
    secret_content_finish(&content);
}

/* One MiB fits, one byte more does not. */
static void too_much_data_is_an_error(void **state)
{
    cleanup_class struct secret_provider_class *class = class_of(
        "  - {secretName: s, type: Opaque, data: [{objectName: a, key: a}, {objectName: b, key: b}]}\n");
    (void)state;
    for (size_t extra = 0; extra < 2; extra++) {
        cleanup_payload struct payload files = {0};
        cleanup_secret_content struct secret_content content = {0};
        cleanup_error struct error *error = NULL;

        assert_int_equal(payload_add(&files, "a", 0644, secret_create(SECRET_DATA_MAX / 2), NULL), 0);
        assert_int_equal(payload_add(&files, "b", 0644, secret_create(SECRET_DATA_MAX / 2 + extra), NULL), 0);
        assert_int_equal(payload_seal(&files, NULL), 0);
        assert_int_equal(secret_content_build(class, 0, &files, &content, &error), extra == 0 ? 0 : -1);
        if (extra > 0) {
            assert_int_equal(error_code(error), GRPC_STATUS_RESOURCE_EXHAUSTED);
            assert_non_null(strstr(error_message(error), "1048577 bytes"));
            assert_non_null(strstr(error_message(error), "at most 1048576"));
        }
    }
}

static void the_digest_changes_with_everything_that_counts(void **state)
{
    static const char *const different[] = {
        "  - {secretName: s, type: Opaque, data: [{objectName: name, key: k}]}\n",
        "  - {secretName: s, type: Other, data: [{objectName: name, key: k}]}\n",
        "  - {secretName: s, type: Opaque, data: [{objectName: name, key: l}]}\n",
        "  - {secretName: s, type: Opaque, data: [{objectName: empty, key: k}]}\n",
        "  - {secretName: s, type: Opaque, data: [{objectName: name, key: k}], labels: {a: b}}\n",
        "  - {secretName: s, type: Opaque, data: [{objectName: name, key: k}], annotations: {a: b}}\n",
        "  - {secretName: s, type: Opaque, data: [{objectName: name, key: k}], annotations: {ab: ''}}\n",
        "  - {secretName: s, type: Opaque, data: [{objectName: name, key: k}, {objectName: name, key: m}]}\n",
    };
    uint8_t digests[ARRAY_SIZE(different)][DIGEST_SHA256_LEN];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(different); i++) {
        cleanup_secret_content struct secret_content content = build(different[i]);
        cleanup_secret_content struct secret_content again = build(different[i]);

        assert_memory_equal(content.digest, again.digest, DIGEST_SHA256_LEN);
        memcpy(digests[i], content.digest, DIGEST_SHA256_LEN);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(digests[k], digests[i], DIGEST_SHA256_LEN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_become_values_as_they_are),
        cmocka_unit_test(white_space_around_names_does_not_count),
        cmocka_unit_test(any_type_is_passed_on),
        cmocka_unit_test(labels_and_annotations_are_copied_and_the_managed_label_is_ours),
        cmocka_unit_test(of_a_repeated_key_the_last_one_counts),
        cmocka_unit_test(mistakes_in_a_class_are_named),
        cmocka_unit_test(an_entry_that_fails_keeps_its_key_and_the_others_have_values),
        cmocka_unit_test(a_secret_of_another_type_is_built_whole_or_not_and_all_failures_are_known),
        cmocka_unit_test(further_keys_of_a_tls_secret_are_files_as_they_are),
        cmocka_unit_test(many_files_are_cut_in_the_report),
        cmocka_unit_test(a_bad_entry_does_not_touch_the_one_behind_it),
        cmocka_unit_test(too_much_data_is_an_error),
        cmocka_unit_test(the_digest_changes_with_everything_that_counts),
    };
    return cmocka_run_group_tests_name("secret_content", tests, NULL, NULL);
}
