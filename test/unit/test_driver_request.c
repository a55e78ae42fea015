/*
 * test_driver_request.c - decoding a NodePublishVolume request, target paths, and the attributes for the
 * provider.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/publish/publish_request.h"
#include "driver/volume/target_path.h"

#define UID    "11111111-2222-3333-4444-555555555555"
#define TARGET "/var/lib/kubelet/pods/" UID "/volumes/kubernetes.io~csi/secrets/mount"

enum { PAIRS_MAX = 12 };

/* A message with everything a request needs; tests take parts away. */
struct message {
    Csi__V1__NodePublishVolumeRequest request;
    Csi__V1__VolumeCapability capability;
    Csi__V1__VolumeCapability__MountVolume mount;
    Csi__V1__VolumeCapability__BlockVolume block;
    Csi__V1__NodePublishVolumeRequest__VolumeContextEntry context[PAIRS_MAX];
    Csi__V1__NodePublishVolumeRequest__VolumeContextEntry *context_pointers[PAIRS_MAX];
    Csi__V1__NodePublishVolumeRequest__SecretsEntry secrets[PAIRS_MAX];
    Csi__V1__NodePublishVolumeRequest__SecretsEntry *secrets_pointers[PAIRS_MAX];
};

static char *borrow(const char *text)
{
    return (char *)(uintptr_t)text; /* the message is only read */
}

static void add_context(struct message *message, const char *key, const char *value)
{
    size_t i = message->request.n_volume_context++;

    assert_true(i < PAIRS_MAX);
    csi__v1__node_publish_volume_request__volume_context_entry__init(&message->context[i]);
    message->context[i].key = borrow(key);
    message->context[i].value = borrow(value);
    message->context_pointers[i] = &message->context[i];
}

static void add_secret(struct message *message, const char *key, const char *value)
{
    size_t i = message->request.n_secrets++;

    assert_true(i < PAIRS_MAX);
    csi__v1__node_publish_volume_request__secrets_entry__init(&message->secrets[i]);
    message->secrets[i].key = borrow(key);
    message->secrets[i].value = borrow(value);
    message->secrets_pointers[i] = &message->secrets[i];
}

static void message_init(struct message *message)
{
    *message = (struct message){0};
    csi__v1__node_publish_volume_request__init(&message->request);
    csi__v1__volume_capability__init(&message->capability);
    csi__v1__volume_capability__mount_volume__init(&message->mount);
    csi__v1__volume_capability__block_volume__init(&message->block);
    message->capability.access_type_case = CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_MOUNT;
    message->capability.mount = &message->mount;
    message->request.volume_capability = &message->capability;
    message->request.volume_id = borrow("csi-1234");
    message->request.target_path = borrow(TARGET);
    message->request.volume_context = message->context_pointers;
    message->request.secrets = message->secrets_pointers;
    message->request.readonly = 1;
}

static struct publish_request decode(const struct message *message)
{
    struct publish_request request;
    cleanup_error struct error *error = NULL;

    if (publish_request_decode(&message->request, &request, &error) < 0)
        fail_msg("refused: %s", error_message(error));
    return request;
}

static void assert_refused(const struct message *message, const char *text)
{
    struct publish_request request;
    cleanup_error struct error *error = NULL;

    assert_int_equal(publish_request_decode(&message->request, &request, &error), -1);
    assert_int_equal(error_code(error), GRPC_STATUS_INVALID_ARGUMENT);
    if (strstr(error_message(error), text) == NULL)
        fail_msg("'%s' is not in '%s'", text, error_message(error));
}

/* --- decoding --- */

static void a_whole_request_is_copied(void **state)
{
    struct message message;
    struct publish_request request;
    char target[] = TARGET;

    (void)state;
    message_init(&message);
    message.request.target_path = target;
    add_context(&message, "secretProviderClass", "web");
    add_context(&message, "providerName", "azure");
    add_context(&message, "csi.storage.k8s.io/pod.name", "web-0");
    add_context(&message, "csi.storage.k8s.io/pod.namespace", "shop");
    add_context(&message, "csi.storage.k8s.io/pod.uid", UID);
    add_context(&message, "csi.storage.k8s.io/ephemeral", "true");
    add_secret(&message, "clientid", "me");
    request = decode(&message);
    memset(target, 'x', sizeof(target) - 1);
    assert_string_equal(request.volume_id, "csi-1234");
    assert_string_equal(request.target_path, TARGET);
    assert_string_equal(request.class_name, "web");
    assert_string_equal(request.provider_hint, "azure");
    assert_string_equal(request.pod_name, "web-0");
    assert_string_equal(request.pod_namespace, "shop");
    assert_string_equal(request.pod_uid, UID);
    assert_string_equal(string_map_get(&request.secrets, "clientid"), "me");
    assert_true(request.readonly);
    assert_true(request.gid == (gid_t)-1);
    publish_request_finish(&request);
    assert_null(request.target_path);
}

static void absent_keys_are_empty_and_left_to_the_operation_to_check(void **state)
{
    struct message message;
    struct publish_request request;

    (void)state;
    message_init(&message);
    message.request.readonly = 0;
    message.request.target_path = borrow("/mnt/anywhere");
    add_context(&message, "anything", "");
    request = decode(&message);
    assert_string_equal(request.class_name, "");
    assert_string_equal(request.provider_hint, "");
    assert_string_equal(request.pod_name, "");
    assert_string_equal(request.pod_namespace, "");
    assert_string_equal(request.pod_uid, "");
    assert_int_equal(request.secrets.n, 0);
    assert_false(request.readonly);
    publish_request_finish(&request);
}

/* Each row is one more part that is there: what is missing is named in this order. */
static void missing_parts_are_named_in_the_order_that_conformance_tests_expect(void **state)
{
    struct message message;

    (void)state;
    message_init(&message);
    message.request.volume_capability = NULL;
    message.request.volume_id = borrow("");
    message.request.target_path = borrow("");
    assert_refused(&message, "Volume capability missing in request");
    message.request.volume_capability = &message.capability;
    assert_refused(&message, "Volume ID missing in request");
    message.request.volume_id = borrow("v");
    assert_refused(&message, "Target path missing in request");
    message.request.target_path = borrow("relative");
    assert_refused(&message, "Volume attributes missing in request");
    add_context(&message, "a", "b");
    assert_refused(&message, "target_path 'relative' is not an absolute path");
}

static void a_pod_cannot_pass_for_another_one(void **state)
{
    struct message message;

    (void)state;
    message_init(&message);
    add_context(&message, "csi.storage.k8s.io/pod.uid", "99999999-2222-3333-4444-555555555555");
    assert_refused(&message, "is not the one in the target path");
    message.context[0].value = borrow("11111111"); /* a prefix is another one, too */
    assert_refused(&message, "podInfoOnMount");
}

static void a_pod_cannot_hide_its_uid(void **state)
{
    struct message message;

    (void)state;
    message_init(&message);
    add_context(&message, "csi.storage.k8s.io/pod.namespace", "victim");
    assert_refused(&message,
                   "pod.uid is missing in the volume context: the CSIDriver object must set podInfoOnMount");
    add_context(&message, "csi.storage.k8s.io/pod.uid", "");
    assert_refused(&message, "podInfoOnMount");
}

static void any_uid_is_taken_with_a_path_that_is_not_the_kubelets(void **state)
{
    struct message message;
    struct publish_request request;

    (void)state;
    message_init(&message);
    message.request.target_path = borrow("/tmp/sanity/target");
    add_context(&message, "csi.storage.k8s.io/pod.uid", "whatever");
    request = decode(&message);
    assert_string_equal(request.pod_uid, "whatever");
    publish_request_finish(&request);
}

static void persistent_volumes_are_refused(void **state)
{
    static const struct {
        const char *value;
        bool ok;
    } table[] = {{"true", true}, {"", true}, {"false", false}, {"True", false}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct message message;

        message_init(&message);
        message.request.target_path = borrow("/mnt/anywhere");
        add_context(&message, "csi.storage.k8s.io/ephemeral", table[i].value);
        if (table[i].ok) {
            struct publish_request request = decode(&message);
            publish_request_finish(&request);
        } else {
            assert_refused(&message, "only inline (ephemeral) volumes are supported");
        }
    }
}

static void the_mount_group_is_a_decimal_group_id(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        gid_t gid;
    } table[] = {
        {"", true, (gid_t)-1},    {"0", true, 0},
        {"2000", true, 2000},     {"4294967294", true, 4294967294U},
        {"4294967295", false, 0}, /* means "leave it" to chown(2) */
        {"4294967296", false, 0}, {"99999999999999999999999", false, 0},
        {"-1", false, 0},         {"+1", false, 0},
        {" 1", false, 0},         {"1 ", false, 0},
        {"0x10", false, 0},       {"staff", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct message message;

        message_init(&message);
        message.request.target_path = borrow("/mnt/anywhere");
        add_context(&message, "a", "b");
        message.mount.volume_mount_group = borrow(table[i].text);
        if (table[i].ok) {
            struct publish_request request = decode(&message);
            assert_true(request.gid == table[i].gid);
            publish_request_finish(&request);
        } else {
            assert_refused(&message, "is not a group id");
        }
    }
}

static void block_volumes_are_refused_and_no_access_type_is_a_mount(void **state)
{
    struct message message;
    struct publish_request request;

    (void)state;
    message_init(&message);
    message.request.target_path = borrow("/mnt/anywhere");
    add_context(&message, "a", "b");
    message.capability.access_type_case = CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_BLOCK;
    message.capability.block = &message.block;
    assert_refused(&message, "a block volume cannot hold secrets");
    message.capability.access_type_case = CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE__NOT_SET;
    request = decode(&message);
    assert_true(request.gid == (gid_t)-1);
    publish_request_finish(&request);
}

/* --- target paths --- */

static void target_paths_of_the_kubelets_shape_name_the_pod(void **state)
{
    static const struct {
        const char *path, *uid, *volume; /* NULL: another shape */
    } table[] = {
        {TARGET, UID, "secrets"},
        {"/pods/u/volumes/kubernetes.io~csi/v/mount", "u", "v"},
        {"/var/lib//kubelet/pods//u/volumes/kubernetes.io~csi///v/mount//", "u", "v"},
        {"/data/pods/x/pods/u/volumes/kubernetes.io~csi/v/mount", "u", "v"},
        {"/pods/u/volumes/kubernetes.io~csi/v", NULL, NULL},
        {"/pods/u/volumes/kubernetes.io~csi/v/mounts", NULL, NULL},
        {"/pods/u/volumes/kubernetes.io~secret/v/mount", NULL, NULL},
        {"/pods/u/volume/kubernetes.io~csi/v/mount", NULL, NULL},
        {"/pod/u/volumes/kubernetes.io~csi/v/mount", NULL, NULL},
        {"/volumes/kubernetes.io~csi/v/mount", NULL, NULL},
        {"mount", NULL, NULL},
        {"/", NULL, NULL},
        {"", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct target_path parsed;
        char text[64];

        if (target_path_parse(table[i].path, &parsed) != (table[i].uid != NULL))
            fail_msg("%s", table[i].path);
        if (table[i].uid == NULL)
            continue;
        (void)snprintf(text, sizeof(text), "%.*s", (int)parsed.pod_uid_len, parsed.pod_uid);
        assert_string_equal(text, table[i].uid);
        (void)snprintf(text, sizeof(text), "%.*s", (int)parsed.volume_name_len, parsed.volume_name);
        assert_string_equal(text, table[i].volume);
    }
}

static void target_paths_are_absolute_clean_and_bounded(void **state)
{
    static char long_path[TARGET_PATH_MAX + 2];
    const struct {
        const char *path, *text; /* NULL: fine */
    } table[] = {
        {"/a", NULL},
        {"/a/..b/c..", NULL},
        {"/a/b/", NULL},
        {"", "is not an absolute path"},
        {"a/b", "is not an absolute path"},
        {"/a/../b", "contains '..'"},
        {"/..", "contains '..'"},
        {"/a/..", "contains '..'"},
        {"/", "must not be the root directory"},
        {"///", "must not be the root directory"},
        {long_path, "is longer than 4095 bytes"},
    };

    (void)state;
    memset(long_path, 'a', sizeof(long_path) - 1);
    long_path[0] = '/';
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        cleanup_error struct error *error = NULL;
        int ret = target_path_check("volume_path", table[i].path, &error);

        assert_int_equal(ret, table[i].text == NULL ? 0 : -1);
        if (table[i].text == NULL)
            continue;
        assert_int_equal(error_code(error), GRPC_STATUS_INVALID_ARGUMENT);
        assert_non_null(strstr(error_message(error), table[i].text));
        assert_memory_equal(error_message(error), "volume_path ", 12);
    }
    long_path[TARGET_PATH_MAX] = '\0';
    assert_int_equal(target_path_check("volume_path", long_path, NULL), 0);
}

/* --- the attributes for the provider --- */

struct pair {
    const char *key, *value;
};

static struct string_map attributes_of(const struct pair *context, const struct pair *secrets,
                                       const struct pair *parameters, bool pod_overrides)
{
    struct publish_request request = {.gid = (gid_t)-1};
    cleanup_string_map struct string_map class_parameters = {0};
    struct string_map attributes = {0};

    for (; context->key != NULL; context++)
        assert_int_equal(string_map_set(&request.context, context->key, context->value, NULL), 0);
    for (; secrets->key != NULL; secrets++)
        assert_int_equal(string_map_set(&request.secrets, secrets->key, secrets->value, NULL), 0);
    for (; parameters->key != NULL; parameters++)
        assert_int_equal(string_map_set(&class_parameters, parameters->key, parameters->value, NULL), 0);
    assert_int_equal(
        publish_request_attributes(&request, &class_parameters, pod_overrides, &attributes, NULL), 0);
    publish_request_finish(&request);
    return attributes;
}

#define PAIRS(...)                                                                                           \
    (const struct pair[])                                                                                    \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
        {                                                                                                    \
            NULL, NULL                                                                                       \
        }                                                                                                    \
    }

static void the_class_wins_over_the_pod(void **state)
{
    cleanup_string_map struct string_map map =
        attributes_of(PAIRS({"keyvaultName", "evil"}, {"extra", "pod"}, ), PAIRS(),
                      PAIRS({"keyvaultName", "good"}, {"tenantId", "t"}, ), false);

    (void)state;
    assert_int_equal(map.n, 3);
    assert_string_equal(string_map_get(&map, "keyvaultName"), "good");
    assert_string_equal(string_map_get(&map, "extra"), "pod");
    assert_string_equal(string_map_get(&map, "tenantId"), "t");
}

static void the_class_wins_even_with_an_empty_value(void **state)
{
    cleanup_string_map struct string_map map =
        attributes_of(PAIRS({"cloudName", "evil"}, ), PAIRS(), PAIRS({"cloudName", ""}, ), false);

    (void)state;
    assert_string_equal(string_map_get(&map, "cloudName"), "");
}

static void the_pod_wins_when_it_may_override(void **state)
{
    cleanup_string_map struct string_map map =
        attributes_of(PAIRS({"keyvaultName", "mine"}, ), PAIRS(), PAIRS({"keyvaultName", "class"}, ), true);

    (void)state;
    assert_string_equal(string_map_get(&map, "keyvaultName"), "mine");
}

static void keys_of_the_kubelet_come_from_the_kubelet_only(void **state)
{
    static const bool overrides[] = {false, true};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(overrides); i++) {
        cleanup_string_map struct string_map map = attributes_of(
            PAIRS({"csi.storage.k8s.io/pod.name", "real"}, ), PAIRS(),
            PAIRS({"csi.storage.k8s.io/pod.name", "forged"}, {"csi.storage.k8s.io/pod.namespace", "forged"},
                  {"csi.storage.k8s.io/serviceAccount.tokens", "forged"}, {"a", "b"}, ),
            overrides[i]);

        assert_int_equal(map.n, 2);
        assert_string_equal(string_map_get(&map, "csi.storage.k8s.io/pod.name"), "real");
        assert_string_equal(string_map_get(&map, "a"), "b");
    }
}

static void tokens_come_from_the_secrets_before_the_context(void **state)
{
#define TOKENS "csi.storage.k8s.io/serviceAccount.tokens"
    static const struct {
        const char *context, *secret, *expected; /* NULL: absent */
    } table[] = {
        {NULL, NULL, NULL},         {"context", NULL, "context"},
        {NULL, "secret", "secret"}, {"context", "secret", "secret"},
        {"", NULL, NULL},           {"", "secret", "secret"},
        {"context", "", "context"}, {NULL, "", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        const struct pair context[] = {{table[i].context != NULL ? TOKENS : NULL, table[i].context},
                                       {NULL, NULL}};
        const struct pair secrets[] = {{table[i].secret != NULL ? TOKENS : NULL, table[i].secret},
                                       {NULL, NULL}};
        cleanup_string_map struct string_map map =
            attributes_of(context, secrets, PAIRS({TOKENS, "forged"}, ), false);
        const char *tokens = string_map_get(&map, TOKENS);

        if (table[i].expected == NULL)
            assert_null(tokens);
        else
            assert_string_equal(tokens, table[i].expected);
    }
}

static void other_secrets_are_no_attributes(void **state)
{
    cleanup_string_map struct string_map map =
        attributes_of(PAIRS({"a", "b"}, ), PAIRS({"clientsecret", "hush"}, ), PAIRS(), true);

    (void)state;
    assert_int_equal(map.n, 1);
    assert_null(string_map_get(&map, "clientsecret"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_request_is_copied),
        cmocka_unit_test(absent_keys_are_empty_and_left_to_the_operation_to_check),
        cmocka_unit_test(missing_parts_are_named_in_the_order_that_conformance_tests_expect),
        cmocka_unit_test(a_pod_cannot_pass_for_another_one),
        cmocka_unit_test(a_pod_cannot_hide_its_uid),
        cmocka_unit_test(any_uid_is_taken_with_a_path_that_is_not_the_kubelets),
        cmocka_unit_test(persistent_volumes_are_refused),
        cmocka_unit_test(the_mount_group_is_a_decimal_group_id),
        cmocka_unit_test(block_volumes_are_refused_and_no_access_type_is_a_mount),
        cmocka_unit_test(target_paths_of_the_kubelets_shape_name_the_pod),
        cmocka_unit_test(target_paths_are_absolute_clean_and_bounded),
        cmocka_unit_test(the_class_wins_over_the_pod),
        cmocka_unit_test(the_class_wins_even_with_an_empty_value),
        cmocka_unit_test(the_pod_wins_when_it_may_override),
        cmocka_unit_test(keys_of_the_kubelet_come_from_the_kubelet_only),
        cmocka_unit_test(tokens_come_from_the_secrets_before_the_context),
        cmocka_unit_test(other_secrets_are_no_attributes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
