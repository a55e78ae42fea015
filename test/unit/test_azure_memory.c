/*
 * test_azure_memory.c - parsers and builders of the provider, with each allocation failing in turn.
 */
#include "test/unit/content_converter.h"
#include "test/unit/failing_memory.h"

#include "common/base/secret.h"
#include "common/crypto/encoding.h"
#include "provider-azure/content/content.h"
#include "provider-azure/identity/entra.h"
#include "provider-azure/mount_request.h"
#include "provider-azure/vault/stale_message.h"
#include "provider-azure/vault/vault_list.h"
#include "test/unit/scratch.h"

#define ENTRA_TENANT "tenant1"

/* What the scenarios work on; made once, with memory. */
static struct {
    struct cloud cloud;
    struct string_map attributes, secrets;
    struct object_list
        objects; /* of the attributes: a secret, a key, a certificate, a split one, a selection */
    struct vault_object pfx, key, json;
    struct identity *identity; /* a service principal with a client secret */
    struct buffer pfx_json;    /* Key Vault's response with a PFX in it */
    struct buffer certificate; /* PEM of an application: key and certificate */
} fixture;

static const char OBJECTS[] =
    "array:\n"
    "  - |\n    objectName: web\n    objectType: secret\n    objectAlias: a/b\n"
    "  - |\n    objectName: k\n    objectType: key\n    filePermission: \"0600\"\n"
    "    keyvaultURL: https://keys.managedhsm.azure.net\n    fallbackKeyvaults: west\n"
    "  - |\n    objectName: c\n    objectType: cert\n    objectVersionHistory: 3\n"
    "  - |\n    objectName: j\n    objectType: secret\n    objectSplit: json\n"
    "  - |\n    objectNamePattern: db-*\n    objectTags: env=prod\n"
    "    objectType: secret\n    objectAlias: x-*\n";

static const char KEY_JSON[] =
    "{\"key\":{\"kid\":\"https://v/keys/k/v1\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}}"; /* RFC 7517, A.1 */

static const char SECRET_JSON[] =
    "{\"value\":\"{\\\"user\\\":\\\"admin\\\",\\\"port\\\":5432}\",\"contentType\":\"text/plain\",\"id\":\"https://v/secrets/j/v1\"}";

/* --- the request --- */

static int read_a_cloud(struct error **err)
{
    static const char text[] =
        "{\"activeDirectoryEndpoint\":\"https://login.example/\",\"keyVaultEndpoint\":\"https://v.example\",\"keyVaultDNSSuffix\":\"v.example\",\"managedHSMEndpoint\":\"https://hsm.example\","
        "\"managedHSMDNSSuffix\":\"hsm.example\"}";
    cleanup_cloud struct cloud cloud = {0}, copy = {0};
    struct vault vault;
    int rc = cloud_parse(text, strlen(text), &cloud, err);

    if (rc == 0)
        rc = cloud_copy(&cloud, &copy, err);
    if (rc == 0)
        rc = vault_init_url(&vault, "https://abc.hsm.example/", &copy, err);
    if (rc == 0) {
        assert_true(vault.hsm);
        vault_finish(&vault);
    }
    return rc;
}

static int read_a_request(struct error **err)
{
    const struct request_defaults defaults = {.cloud = &fixture.cloud,
                                              .endpoints = {.imds = "http://imds", .nmi = "http://nmi"}};
    struct mount_request request = {0};
    const struct mount_input input = {
        .attributes = &fixture.attributes, .secrets = &fixture.secrets, .permission = 0644};

    if (mount_request_parse(&input, &defaults, &request, err) < 0)
        return -1;
    assert_string_equal(request.vaults.at[0].name, "testKV");
    assert_int_equal(request.vaults.n, 4);
    assert_int_equal(request.vaults.n_audiences, 2);
    assert_int_equal(request.objects.n, 5);
    assert_memory_equal(request.identities[0]->key, fixture.identity->key,
                        sizeof(request.identities[0]->key));
    mount_request_finish(&request);
    return 0;
}

static int select_an_object(struct error **err)
{
    struct object_item item = {0};

    if (object_item_select(&fixture.objects.items[4], "db-main", &item, err) < 0)
        return -1;
    assert_string_equal(item.name, "db-main");
    assert_string_equal(item.path, "x-db-main");
    object_item_finish(&item);
    return 0;
}

static void requests(void **state)
{
    (void)state;
    fail_each_allocation(read_a_cloud, MAY_DO_WITHOUT);
    fail_each_allocation(read_a_request, MAY_DO_WITHOUT);
    fail_each_allocation(select_an_object, 0);
}

/* --- responses of the vault --- */

static int read_a_secret(struct error **err)
{
    struct vault_object object;

    if (vault_object_parse(OBJECT_SECRET, SECRET_JSON, strlen(SECRET_JSON), &object, err) < 0)
        return -1;
    assert_string_equal(object.version, "v1");
    assert_string_equal(object.content_type, "text/plain");
    assert_int_equal(secret_len(object.value), 28);
    vault_object_finish(&object);
    return 0;
}

static int read_a_key(struct error **err)
{
    struct vault_object object;

    if (vault_object_parse(OBJECT_KEY, KEY_JSON, strlen(KEY_JSON), &object, err) < 0)
        return -1;
    assert_string_equal(object.kty, "EC");
    assert_true(secret_len(object.x) == 32 && secret_len(object.y) == 32);
    vault_object_finish(&object);
    return 0;
}

static int read_a_certificate(struct error **err)
{
    static const char text[] = "{\"id\":\"https://v/certificates/c/v1\",\"cer\":\"dGVzdA==\"}";
    struct vault_object object;

    if (vault_object_parse(OBJECT_CERT, text, strlen(text), &object, err) < 0)
        return -1;
    assert_int_equal(secret_len(object.value), 8);
    vault_object_finish(&object);
    return 0;
}

static const char LIST_JSON[] =
    "{\"value\":[{\"id\":\"https://v/secrets/a/1\",\"attributes\":{\"enabled\":true,\"created\":1,\"updated\":2},\"tags\":{\"env\":\"prod\"}},{\"id\":\"https://v/secrets/a/"
    "2\",\"attributes\":{\"enabled\":true}}],\"nextLink\":\"https://v/secrets/a/versions?skip=2\"}";

/* Adds the page to a list with this filter, which must keep `n` entries of it. */
static int read_a_list(struct vault_list_filter *filter, struct vault_list *list, size_t n,
                       struct error **err)
{
    cleanup_free char *next = NULL;

    list->filter = filter;
    if (vault_list_add_page(list, LIST_JSON, strlen(LIST_JSON), &next, err) < 0)
        return -1;
    assert_int_equal(list->n, n);
    assert_non_null(next);
    return 0;
}

static int read_versions(struct error **err)
{
    cleanup_vault_list struct vault_list list = {0};
    struct vault_list_filter *filter = vault_list_filter_create("", err);

    if (filter == NULL)
        return -1;
    vault_list_filter_add_count(filter, 5);
    if (read_a_list(filter, &list, 2, err) < 0)
        return -1;
    assert_string_equal(list.entries[0].version, "1");
    return 0;
}

static int read_selected_objects(struct error **err)
{
    cleanup_vault_list struct vault_list list = {0};
    struct object_select *select = object_select_create("*", "env=prod", err);
    struct vault_list_filter *filter = select != NULL ? vault_list_filter_create("", err) : NULL;
    int rc = filter != NULL ? vault_list_filter_add_select(filter, select, err) : -1;

    object_select_unref(select);
    if (rc < 0) {
        vault_list_filter_unref(filter);
        return -1;
    }
    if (read_a_list(filter, &list, 1, err) < 0)
        return -1;
    assert_string_equal(string_map_get(&list.entries[0].tags, "env"), "prod");
    return 0;
}

/* What is kept for outages, to the next process: as a message and back. */
static int turn_through_a_message(struct vault_response *response, struct error **err)
{
    const struct stale_value value = {.response = response, .age_ms = 1, .keep_ms = 1000};
    struct stale_value read = {0};
    Handover__V1__Value *message = stale_message_create(&value, err);
    int rc = message != NULL ? stale_message_read(message, 100, &read, err) : -1;

    stale_message_destroy(message);
    if (rc < 0)
        return -1;
    assert_int_equal(read.response->read_ms, 99);
    assert_int_equal(read.response->list.n, response->list.n);
    vault_response_unref(read.response);
    return 0;
}

static int hand_over_a_key(struct error **err)
{
    struct vault_response response = {.object = fixture.key};
    return turn_through_a_message(&response, err);
}

static int hand_over_a_list(struct error **err)
{
    char name[] = "a", key[] = "env", text[] = "prod";
    struct string_map_entry tag = {.key = key, .value = text};
    struct vault_entry entry = {.name = name, .tags = {.entries = &tag, .n = 1}};
    struct vault_response response = {.list = {.entries = &entry, .n = 1}};
    return turn_through_a_message(&response, err);
}

static void responses(void **state)
{
    (void)state;
    fail_each_allocation(read_a_secret, 0);
    fail_each_allocation(read_a_key, 0);
    fail_each_allocation(read_a_certificate, 0);
    fail_each_allocation(read_versions, 0);
    fail_each_allocation(read_selected_objects, 0);
    fail_each_allocation(hand_over_a_key, 0);
    fail_each_allocation(hand_over_a_list, 0);
}

/* --- files --- */

/* Makes the files of item `i` and counts their bytes. */
static int make_files(size_t i, const struct vault_object *object, size_t n_parts, struct error **err)
{
    const struct content_options options = {.order = CERTIFICATE_ORDER_CHAIN, .separate_files = i == 0};
    struct content content = {0};

    if (convert_content(&options, &fixture.objects.items[i], "", object, &content, err) < 0)
        return -1;
    assert_int_equal(content.files.n, n_parts);
    for (size_t part = 0; part < content.files.n; part++)
        assert_true(content.files.at[part].len > 0);
    content_finish(&content);
    return 0;
}

static int convert_a_pfx(struct error **err)
{
    return make_files(0, &fixture.pfx, 3, err);
}

static int convert_a_key(struct error **err)
{
    return make_files(1, &fixture.key, 1, err);
}

static int split_json(struct error **err)
{
    return make_files(3, &fixture.json, 2, err);
}

static void files(void **state)
{
    (void)state;
    fail_each_allocation(convert_a_pfx, 0);
    fail_each_allocation(convert_a_key, 0);
    fail_each_allocation(split_json, MAY_DO_WITHOUT);
}

/* --- identities --- */

static struct identity *make_identity(enum credential_kind kind, const void *credential, size_t len,
                                      struct error **err)
{
    struct credentials credentials = {.mode = IDENTITY_SERVICE_PRINCIPAL, .kind = kind};
    char client_id[] = "app";
    const struct identity_input input = {.credentials = &credentials,
                                         .cloud = &fixture.cloud,
                                         .tenant = ENTRA_TENANT,
                                         .pod_name = "pod1",
                                         .pod_namespace = "ns1"};
    struct identity *identity;

    credentials.client_id = client_id;
    credentials.credential = secret_from_bytes(credential, len);
    if (credentials.credential == NULL) {
        (void)error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    identity = identity_create(&input, err);
    secret_destroy(credentials.credential);
    return identity;
}

static int request_token_with(struct identity *identity, struct error **err)
{
    const struct token_request_context context = {.now_unix = 1700000000};
    struct token_request request = {0};
    int rc;

    if (identity == NULL)
        return -1;
    rc = identity->ops->build_request(identity, &context, &request, err);
    if (rc == 0) {
        assert_string_equal(request.url, "https://login.microsoftonline.com/tenant1/oauth2/v2.0/token");
        assert_non_null(strstr(buffer_str(&request.body), "client_id=app"));
        assert_non_null(request.headers[1]);
    }
    token_request_finish(&request);
    identity_unref(identity);
    return rc;
}

static int request_token_with_a_secret(struct error **err)
{
    return request_token_with(make_identity(CREDENTIAL_CLIENT_SECRET, "bar", 3, err), err);
}

static int request_token_with_a_certificate(struct error **err)
{
    return request_token_with(
        make_identity(CREDENTIAL_CERTIFICATE, fixture.certificate.data, fixture.certificate.len, err), err);
}

static int take_a_token(struct error **err)
{
    static const char text[] = "{\"access_token\":\"a.b.c\",\"expires_in\":3599,\"token_type\":\"Bearer\"}";
    struct http_reply reply = {.status = 200, .retry_after_ms = -1};
    struct token *token = NULL;

    buffer_init(&reply.body, sizeof(text));
    if (buffer_append(&reply.body, text, strlen(text), err) == 0)
        token = fixture.identity->ops->parse_response(fixture.identity, &reply, /* sent= */ NULL, 1700000000,
                                                      err);
    buffer_finish(&reply.body);
    if (token == NULL)
        return -1;
    assert_string_equal(token_text(token), "a.b.c");
    token_unref(token);
    return 0;
}

static void identities(void **state)
{
    (void)state;
    fail_each_allocation(request_token_with_a_secret, MAY_DO_WITHOUT);
    fail_each_allocation(request_token_with_a_certificate, MAY_DO_WITHOUT | SAMPLE);
    fail_each_allocation(take_a_token, 0);
}

/* --- set-up --- */

static int set_up(void **state)
{
    static const char attributes[] =
        "{\"csi.storage.k8s.io/pod.name\":\"pod1\",\"csi.storage.k8s.io/pod.namespace\":\"ns1\",\"keyvaultName\":\"testKV\",\"tenantId\":\"" ENTRA_TENANT
        "\"}";
    static const char secrets[] = "{\"clientid\":\"app\",\"clientsecret\":\"bar\"}";
    const struct object_defaults defaults = {.mode = 0644};
    cleanup_buffer struct buffer pfx = {0};
    struct scratch scratch;

    (void)state;
    secret_install_json_hooks();
    assert_int_equal(scratch_make(&scratch), 0);
    assert_int_equal(
        scratch_run(
            &scratch,
            "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=a -keyout key -out crt && cat key crt >pem && openssl pkcs12 -export -inkey key -in crt -iter 1 -passout pass: | openssl base64 -A >pfx"),
        0);
    assert_int_equal(scratch_read(&scratch, "pem", &fixture.certificate), 0);
    assert_int_equal(scratch_read(&scratch, "pfx", &pfx), 0);
    assert_int_equal(scratch_remove(&scratch), 0);
    buffer_init(&fixture.pfx_json, 1 << 20);
    assert_int_equal(
        buffer_printf(
            &fixture.pfx_json, NULL,
            "{\"value\":\"%s\",\"contentType\":\"application/x-pkcs12\",\"id\":\"https://v/secrets/web/v1\",\"kid\":\"https://v/keys/web/v1\"}",
            buffer_str(&pfx)),
        0);
    assert_int_equal(cloud_resolve("AzurePublicCloud", NULL, &fixture.cloud, NULL), 0);
    assert_int_equal(string_map_from_json(&fixture.attributes, attributes, strlen(attributes), NULL, NULL),
                     0);
    assert_int_equal(string_map_set(&fixture.attributes, "objects", OBJECTS, NULL), 0);
    assert_int_equal(string_map_set(&fixture.attributes, "fallbackKeyvaults", "west, north", NULL), 0);
    assert_int_equal(string_map_from_json(&fixture.secrets, secrets, strlen(secrets), NULL, NULL), 0);
    assert_int_equal(objects_parse(OBJECTS, &defaults, &fixture.objects, NULL), 0);
    fixture.identity = make_identity(CREDENTIAL_CLIENT_SECRET, "bar", 3, NULL);
    assert_non_null(fixture.identity);
    assert_int_equal(vault_object_parse(OBJECT_SECRET, buffer_str(&fixture.pfx_json), fixture.pfx_json.len,
                                        &fixture.pfx, NULL),
                     0);
    assert_int_equal(vault_object_parse(OBJECT_KEY, KEY_JSON, strlen(KEY_JSON), &fixture.key, NULL), 0);
    assert_int_equal(vault_object_parse(OBJECT_SECRET, SECRET_JSON, strlen(SECRET_JSON), &fixture.json, NULL),
                     0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cloud_finish(&fixture.cloud);
    string_map_finish(&fixture.attributes);
    string_map_finish(&fixture.secrets);
    object_list_finish(&fixture.objects);
    vault_object_finish(&fixture.pfx);
    vault_object_finish(&fixture.key);
    vault_object_finish(&fixture.json);
    identity_unref(fixture.identity);
    buffer_finish(&fixture.pfx_json);
    buffer_finish(&fixture.certificate);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests),
        cmocka_unit_test(responses),
        cmocka_unit_test(files),
        cmocka_unit_test(identities),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
