/*
 * test_driver_memory.c - what the driver reads and builds, with each allocation failing in turn.
 */
#include "test/unit/failing_memory.h"

#include <stdio.h>

#include "common/base/json.h"
#include "common/base/secret.h"
#include "common/class/class.h"
#include "common/grpc/message.h"
#include "common/kube/kubeconfig_file.h"
#include "driver/payload/payload.h"
#include "driver/publish/publish_request.h"
#include "driver/rotation/volume_metadata.h"
#include "driver/status/pod_status_object.h"
#include "driver/sync/secret_content.h"
#include "driver/sync/secret_patch.h"
#include "driver/sync/secret_source.h"
#include "driver/sync/tls_split.h"
#include "proto/csi.pb-c.h"
#include "proto/provider.pb-c.h"
#include "test/unit/scratch.h"

/* What the scenarios work on; made once, with memory. */
static struct {
    struct secret_provider_class *class;
    struct payload files; /* "user", "tls" */
    struct buffer pfx;
    struct secret_content content;
    struct owner_references owners;
    struct string_map versions;
    struct error *failure;
    struct desired_pod_status *desired;
    cJSON *secret, *status; /* as the API server has them */
} fixture;

static const char CLASS_YAML[] =
    "apiVersion: secrets-store.csi.x-k8s.io/v1\n"
    "kind: SecretProviderClass\n"
    "metadata:\n"
    "  name: web\n"
    "  namespace: shop\n"
    "  annotations: {secrets-store.csi.k8s.io/rotation-poll-interval: 5m}\n"
    "spec:\n"
    "  provider: azure\n"
    "  parameters: {vault: kv, objects: 'a: b'}\n"
    "  secretObjects:\n"
    "    - {secretName: s, type: Opaque, labels: {env: prod}, annotations: {note: x},\n"
    "       data: [{objectName: user, key: name}, {objectName: tls, key: bundle}]}\n"
    "    - {secretName: t, type: kubernetes.io/tls,\n"
    "       data: [{objectName: tls, key: tls.crt}, {objectName: tls, key: tls.key}]}\n";

static const char CLASS_JSON[] =
    "{\"kind\":\"List\",\"items\":[{\"apiVersion\":\"secrets-store.csi.x-k8s.io/v1\",\"kind\":\"SecretProviderClass\",\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"uid\":\"u\","
    "\"resourceVersion\":\"7\",\"annotations\":{\"secrets-store.csi.k8s.io/refresh\":\"now\"}},\"spec\":{"
    "\"provider\":\"azure\",\"parameters\":{\"a\":\"b\",\"c\":\"d\"},\"secretObjects\":[{\"secretName\":\"s\","
    "\"type\":\"Opaque\",\"labels\":{\"l\":\"m\"},\"data\":[{\"objectName\":\"user\",\"key\":\"k\"}]}]}}]}";

/* --- classes --- */

static int keep_class(struct secret_provider_class *class, void *arg, struct error **err)
{
    (void)err;
    *(struct secret_provider_class **)arg = class;
    return 0;
}

static int read_yaml_class(struct error **err)
{
    cleanup_class struct secret_provider_class *class = NULL;

    if (class_yaml_each(CLASS_YAML, strlen(CLASS_YAML), "default", keep_class, &class, err) < 0)
        return -1;
    assert_string_equal(class->rotation_interval, "5m");
    assert_int_equal(class->parameters.n, 2);
    assert_int_equal(class->n_secret_objects, 2);
    assert_int_equal(class->secret_objects[0].labels.n + class->secret_objects[0].annotations.n, 2);
    assert_int_equal(class->secret_objects[1].n_data, 2);
    return 0;
}

static int read_json_class(struct error **err)
{
    cleanup_class struct secret_provider_class *class = NULL;

    if (class_json_each(CLASS_JSON, strlen(CLASS_JSON), "default", keep_class, &class, err) < 0)
        return -1;
    assert_string_equal(class->uid, "u");
    assert_string_equal(class->resource_version, "7");
    assert_string_equal(class->refresh, "now");
    assert_int_equal(class->parameters.n, 2);
    assert_int_equal(class->secret_objects[0].labels.n + class->secret_objects[0].n_data, 2);
    return 0;
}

static int reduce_a_class(struct error **err)
{
    cleanup_class struct secret_provider_class *class = secret_source_class(fixture.class, err);
    cleanup_payload struct payload files = {0};

    if (class == NULL || secret_source_files(class, &fixture.files, &files, err) < 0)
        return -1;
    assert_int_equal(class->n_secret_objects, 2);
    assert_int_equal(class->secret_objects[0].labels.n, 1);
    assert_int_equal(files.n, 2);
    return 0;
}

static void classes(void **state)
{
    (void)state;
    fail_each_allocation(read_yaml_class, 0);
    fail_each_allocation(read_json_class, 0);
    fail_each_allocation(reduce_a_class, 0);
}

/* --- JSON --- */

static int read_and_print_json(struct error **err)
{
    static const char text[] = "{\"a\":[1,2.5,null,true,\"x\\u00e9\"],\"b\":{\"c\":\"d\"}}";
    cleanup_json cJSON *json = json_parse(text, strlen(text), sizeof(text), err);
    cleanup_secret_free char *printed = json != NULL ? json_print(json, err) : NULL;

    if (printed == NULL)
        return -1;
    assert_string_equal(printed, "{\"a\":[1,2.5,null,true,\"x\xc3\xa9\"],\"b\":{\"c\":\"d\"}}");
    return 0;
}

static int maps_as_json(struct error **err)
{
    static const char text[] = "{\"a\":\"1\",\"b\":null,\"c\":\"\"}";
    cleanup_string_map struct string_map map = {0};
    cleanup_secret_free char *printed = NULL;

    if (string_map_from_json(&map, text, strlen(text), NULL, err) < 0)
        return -1;
    assert_int_equal(map.n, 3);
    printed = string_map_to_json(&map, err);
    if (printed == NULL)
        return -1;
    assert_string_equal(printed, "{\"a\":\"1\",\"b\":\"\",\"c\":\"\"}");
    return 0;
}

static void json(void **state)
{
    (void)state;
    fail_each_allocation(read_and_print_json, 0);
    fail_each_allocation(maps_as_json, 0);
}

/* --- messages --- */

static char *borrow(const char *text)
{
    return (char *)(uintptr_t)text; /* messages are only read */
}

typedef Csi__V1__NodePublishVolumeRequest__VolumeContextEntry context_entry;

static int read_a_publish_request(struct error **err)
{
    static const char *const pairs[][2] = {{CONTEXT_CLASS, "web"},
                                           {CONTEXT_POD_NAME, "web-0"},
                                           {CONTEXT_POD_NAMESPACE, "shop"},
                                           {CONTEXT_POD_UID, "u"},
                                           {CONTEXT_TOKENS, "{\"a\":{\"token\":\"t\"}}"}};
    context_entry entries[ARRAY_SIZE(pairs)];
    context_entry *context[ARRAY_SIZE(pairs)];
    Csi__V1__VolumeCapability__MountVolume mount = CSI__V1__VOLUME_CAPABILITY__MOUNT_VOLUME__INIT;
    Csi__V1__VolumeCapability capability = CSI__V1__VOLUME_CAPABILITY__INIT;
    Csi__V1__NodePublishVolumeRequest__SecretsEntry secret =
        CSI__V1__NODE_PUBLISH_VOLUME_REQUEST__SECRETS_ENTRY__INIT;
    Csi__V1__NodePublishVolumeRequest__SecretsEntry *secrets[] = {&secret};
    Csi__V1__NodePublishVolumeRequest message = CSI__V1__NODE_PUBLISH_VOLUME_REQUEST__INIT;
    struct publish_request request = {0};
    cleanup_string_map struct string_map attributes = {0};
    int rc;

    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        csi__v1__node_publish_volume_request__volume_context_entry__init(&entries[i]);
        entries[i].key = borrow(pairs[i][0]);
        entries[i].value = borrow(pairs[i][1]);
        context[i] = &entries[i];
    }
    capability.access_type_case = CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_MOUNT;
    capability.mount = &mount;
    secret.key = borrow("clientid");
    secret.value = borrow("me");
    message.volume_id = borrow("csi-1");
    message.target_path = borrow("/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/v/mount");
    message.volume_capability = &capability;
    message.readonly = 1;
    message.volume_context = context;
    message.n_volume_context = ARRAY_SIZE(context);
    message.secrets = secrets;
    message.n_secrets = ARRAY_SIZE(secrets);
    if (publish_request_decode(&message, &request, err) < 0)
        return -1;
    rc = publish_request_attributes(&request, &fixture.class->parameters, false, &attributes, err);
    if (rc == 0) {
        assert_string_equal(request.pod_name, "web-0");
        assert_string_equal(string_map_get(&request.secrets, "clientid"), "me");
        assert_string_equal(string_map_get(&attributes, "vault"), "kv");
        assert_non_null(string_map_get(&attributes, CONTEXT_TOKENS));
    }
    publish_request_finish(&request);
    return rc;
}

static int pack_and_unpack_a_response(struct error **err)
{
    V1alpha1__File file = V1ALPHA1__FILE__INIT;
    V1alpha1__File *files[] = {&file};
    V1alpha1__ObjectVersion version = V1ALPHA1__OBJECT_VERSION__INIT;
    V1alpha1__ObjectVersion *versions[] = {&version};
    V1alpha1__MountResponse response = V1ALPHA1__MOUNT_RESPONSE__INIT;
    ProtobufCMessage *back;
    size_t len = 0;
    cleanup_secret_free uint8_t *bytes = NULL;

    file.path = borrow("user");
    file.contents = (ProtobufCBinaryData){.data = (uint8_t *)borrow("admin"), .len = 5};
    version.id = borrow("secret/user");
    version.version = borrow("1");
    response.files = files;
    response.n_files = 1;
    response.object_version = versions;
    response.n_object_version = 1;
    bytes = message_pack_framed(&response.base, &len, err);
    if (bytes == NULL)
        return -1;
    back = message_unpack(&v1alpha1__mount_response__descriptor, bytes + 5, len - 5, err);
    if (back == NULL)
        return -1;
    assert_string_equal(((V1alpha1__MountResponse *)back)->files[0]->path, "user");
    message_free(back);
    return 0;
}

static void messages(void **state)
{
    (void)state;
    fail_each_allocation(read_a_publish_request, 0);
    fail_each_allocation(pack_and_unpack_a_response, 0);
}

/* --- files --- */

static int collect_files(struct error **err)
{
    static const char *const paths[] = {"b/c", "a", "b/a", "a"};
    cleanup_payload struct payload files = {0};

    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct secret *contents = secret_from_bytes("x", 1);

        if (contents == NULL)
            return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        if (payload_add(&files, paths[i], 0644, contents, err) < 0)
            return -1;
    }
    if (payload_seal(&files, err) < 0)
        return -1;
    assert_int_equal(files.n, 3);
    return 0;
}

static int keep_a_record(struct error **err)
{
    cleanup_secret_free char *text = volume_metadata_print("azure", "", &fixture.versions, err);
    cleanup_volume_metadata struct volume_metadata metadata = {0};

    if (text == NULL || volume_metadata_parse(text, strlen(text), &metadata, err) < 0)
        return -1;
    assert_string_equal(metadata.provider, "azure");
    assert_int_equal(metadata.versions.n, 2);
    return 0;
}

static void files_and_metadata(void **state)
{
    (void)state;
    fail_each_allocation(collect_files, 0);
    fail_each_allocation(keep_a_record, 0);
}

/* --- Secrets --- */

static int fill_a_secret(struct error **err)
{
    cleanup_secret_content struct secret_content content = {0};

    if (secret_content_build(fixture.class, 0, &fixture.files, &content, err) < 0)
        return -1;
    assert_int_equal(content.n_values, 2);
    assert_int_equal(content.labels.n, 2);
    assert_memory_equal(content.digest, fixture.content.digest, sizeof(content.digest));
    return 0;
}

static int fill_a_tls_secret(struct error **err)
{
    cleanup_secret_content struct secret_content content = {0};

    if (secret_content_build(fixture.class, 1, &fixture.files, &content, err) < 0)
        return -1;
    assert_int_equal(content.n_values, 2);
    assert_true(secret_len(content.values[0].bytes) > 0 && secret_len(content.values[1].bytes) > 0);
    return 0;
}

static int split_a_pkcs12_file(struct error **err)
{
    cleanup_secret struct secret *certificates =
        tls_split_certificates(buffer_str(&fixture.pfx), fixture.pfx.len, err);
    cleanup_secret struct secret *key =
        certificates != NULL ? tls_split_private_key(buffer_str(&fixture.pfx), fixture.pfx.len, err) : NULL;

    return key != NULL ? 0 : -1;
}

static struct desired_secret desired_secret(void)
{
    return (struct desired_secret){
        .class_name = "web", .content = &fixture.content, .owners = &fixture.owners, .mode = SECRET_APPLY};
}

static int create_a_secret(struct error **err)
{
    static char *first;
    struct desired_secret desired = desired_secret();
    cleanup_json cJSON *object = secret_patch_new_object("shop", &desired, err);

    if (object == NULL)
        return -1;
    assert_always_the_same(object, &first);
    return 0;
}

static int patch_a_secret(struct error **err)
{
    static char *first;
    struct desired_secret desired = desired_secret();
    cleanup_secret_patch struct secret_patch patch = {0};

    if (secret_patch_build(&desired, fixture.secret, &patch, err) < 0)
        return -1;
    assert_null(patch.conflict);
    assert_always_the_same(patch.json, &first);
    return 0;
}

static int read_owners(struct error **err)
{
    cleanup_owner_references struct owner_references owners = {0};
    cleanup_json cJSON *reference = NULL;

    if (owner_references_from_object(fixture.secret, &owners, err) < 0)
        return -1;
    assert_true(owner_references_contain(&owners, "u1"));
    reference = owner_reference_to_json(&owners.items[0]);
    return reference != NULL ? 0
                             : error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "owner_reference_to_json()");
}

static void secrets(void **state)
{
    (void)state;
    fail_each_allocation(fill_a_secret, 0);
    fail_each_allocation(fill_a_tls_secret, SAMPLE);
    fail_each_allocation(split_a_pkcs12_file, 0);
    fail_each_allocation(create_a_secret, 0);
    fail_each_allocation(patch_a_secret, 0);
    fail_each_allocation(read_owners, 0);
}

/* --- status objects --- */

static struct desired_pod_status *make_desired(struct error **err)
{
    const struct volume_event event = {.type = VOLUME_EVENT_MOUNTED,
                                       .pod_name = "web-0",
                                       .pod_namespace = "shop",
                                       .pod_uid = "uid-1",
                                       .target_path = "/v",
                                       .class_name = "web",
                                       .versions = &fixture.versions,
                                       .changed = true,
                                       .checked_unix = 1767323045,
                                       .failure = fixture.failure};

    return desired_pod_status_create(&event, "node-1", 1767323046, err);
}

static int desire_a_status(struct error **err)
{
    struct desired_pod_status *desired = make_desired(err);

    if (desired == NULL)
        return -1;
    assert_string_equal(desired->digest, fixture.desired->digest);
    assert_int_equal(cJSON_GetArraySize(desired->objects), 2);
    assert_non_null(desired->error);
    desired_pod_status_destroy(desired);
    return 0;
}

static int name_a_status(struct error **err)
{
    cleanup_free char *name = pod_status_name("web-0", "shop", "web", POD_STATUS_NAME_UNIQUE, err);

    if (name == NULL)
        return -1;
    assert_string_equal(name, "web-0-shop-web-fbb64a2bf306f4a8");
    return 0;
}

static int create_a_status(struct error **err)
{
    static char *first;
    cleanup_json cJSON *object = pod_status_object(fixture.desired, "web-0-shop-web", err);

    if (object == NULL)
        return -1;
    assert_always_the_same(object, &first);
    return 0;
}

static int patch_a_status(struct error **err)
{
    static char *first;
    bool other_path = false;
    cleanup_json cJSON *patch =
        pod_status_patch(fixture.status, fixture.desired, POD_STATUS_PATCH_ERROR_TEXT, &other_path, err);

    if (patch == NULL)
        return -1;
    assert_always_the_same(patch, &first);
    return 0;
}

static void status_objects(void **state)
{
    (void)state;
    fail_each_allocation(desire_a_status, 0);
    fail_each_allocation(name_a_status, MAY_DO_WITHOUT);
    fail_each_allocation(create_a_status, 0);
    fail_each_allocation(patch_a_status, 0);
}

/* --- the configuration --- */

static int read_a_kubeconfig(struct error **err)
{
    static const char text[] =
        "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u, namespace: shop}}]\n"
        "clusters: [{name: k, cluster: {server: 'https://api:6443', certificate-authority-data: Q0E=}}]\n"
        "users: [{name: u, user: {client-certificate-data: QQ==, client-key-data: Qg==}}]\n";
    const struct kubeconfig_text texts[] = {{.path = "/config", .text = text, .len = strlen(text)}};
    cleanup_kube_rest_config struct kube_rest_config config = {0};

    if (kubeconfig_parse(texts, ARRAY_SIZE(texts), &config, err) < 0)
        return -1;
    assert_string_equal(config.server, "https://api:6443");
    assert_string_equal(config.ns, "shop");
    assert_int_equal(secret_len(config.ca), 2);
    assert_int_equal(secret_len(config.client_cert) + secret_len(config.client_key), 2);
    return 0;
}

static void the_configuration(void **state)
{
    (void)state;
    fail_each_allocation(read_a_kubeconfig, 0);
}

/* --- set-up --- */

static int set_up(void **state)
{
    (void)state;
    cleanup_error struct error *error = NULL;
    struct scratch scratch;
    cleanup_buffer struct buffer pem = {0};

    secret_install_json_hooks();
    assert_int_equal(class_yaml_each(CLASS_YAML, strlen(CLASS_YAML), "", keep_class, &fixture.class, NULL),
                     0);
    assert_int_equal(scratch_make(&scratch), 0);
    assert_int_equal(
        scratch_run(
            &scratch,
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=a -keyout key -out crt && cat key crt >pem && openssl pkcs12 -export -inkey key -in crt -passout pass: -iter 1 -out pfx"),
        0);
    assert_int_equal(scratch_read(&scratch, "pfx", &fixture.pfx), 0);
    assert_int_equal(scratch_read(&scratch, "pem", &pem), 0);
    assert_int_equal(scratch_remove(&scratch), 0);
    assert_int_equal(payload_add(&fixture.files, "tls", 0644, secret_from_bytes(pem.data, pem.len), NULL), 0);
    assert_int_equal(payload_add(&fixture.files, "user", 0644, secret_from_bytes("admin", 5), NULL), 0);
    assert_int_equal(payload_seal(&fixture.files, NULL), 0);
    assert_int_equal(secret_content_build(fixture.class, 0, &fixture.files, &fixture.content, NULL), 0);
    assert_int_equal(owner_references_add(&fixture.owners, "apps/v1", "ReplicaSet", "web-1", "u1", NULL), 0);
    assert_int_equal(string_map_set(&fixture.versions, "secret/a", "1", NULL), 0);
    assert_int_equal(string_map_set(&fixture.versions, "secret/b", "2", NULL), 0);
    (void)error_set(&fixture.failure, GRPC_STATUS_UNAVAILABLE, "the vault is away");
    fixture.desired = make_desired(&error);
    assert_non_null(fixture.desired);
    fixture.secret = cJSON_Parse(
        "{\"kind\":\"Secret\",\"metadata\":{\"name\":\"s\",\"labels\":{\"" SECRET_MANAGED_LABEL
        "\":\"true\"},\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"a\",\"uid\":\"u1\"},{\"apiVersion\":\"v1\",\"kind\":\"Pod\","
        "\"name\":\"b\",\"uid\":\"u9\"}]},\"type\":\"Opaque\",\"data\":{\"old\":\"MQ==\"}}");
    fixture.status = cJSON_Parse("{\"status\":{\"podName\":\"web-0\",\"lastError\":\"another\"}}");
    assert_true(fixture.secret != NULL && fixture.status != NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    secret_provider_class_free(fixture.class);
    payload_finish(&fixture.files);
    buffer_finish(&fixture.pfx);
    secret_content_finish(&fixture.content);
    owner_references_finish(&fixture.owners);
    string_map_finish(&fixture.versions);
    desired_pod_status_destroy(fixture.desired);
    error_free(fixture.failure);
    cJSON_Delete(fixture.secret);
    cJSON_Delete(fixture.status);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes),           cmocka_unit_test(json),
        cmocka_unit_test(messages),          cmocka_unit_test(files_and_metadata),
        cmocka_unit_test(secrets),           cmocka_unit_test(status_objects),
        cmocka_unit_test(the_configuration),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
