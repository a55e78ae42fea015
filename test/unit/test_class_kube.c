/*
 * test_class_kube.c - classes looked up in a Kubernetes API server that responds by script.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/class/class_kube.h"
#include "test/unit/kube_fixture.h"

struct fixture {
    struct kube_fixture kube;
    struct class_source classes;

    /* the outcome */
    unsigned callbacks;
    enum grpc_status code;
    char message[1024];
    char provider[64]; /* of the class; "" without one */
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    *state = fixture;
    kube_fixture_open(&fixture->kube);
    assert_int_equal(class_kube_create(fixture->kube.kube, &fixture->classes, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    class_source_destroy(&fixture->classes);
    kube_fixture_close(&fixture->kube);
    free(fixture);
    return 0;
}

#define CLASS(version)                                                                                       \
    "{\"apiVersion\":\"secrets-store.csi.x-k8s.io/" version "\",\"kind\":\"SecretProviderClass\","           \
    "\"metadata\":{\"name\":\"web\",\"namespace\":\"shop\",\"uid\":\"u\"},\"spec\":{\"provider\":\"azure\"}" \
    "}"

static void looked_up(struct secret_provider_class *class, const struct error *error, void *arg)
{
    struct fixture *fixture = arg;

    fixture->callbacks++;
    fixture->code = error_code(error);
    (void)snprintf(fixture->message, sizeof(fixture->message), "%s", error_message(error));
    (void)snprintf(fixture->provider, sizeof(fixture->provider), "%s", class != NULL ? class->provider : "");
    secret_provider_class_free(class);
}

static void run_until_response(struct fixture *fixture)
{
    assert_int_equal(fixture->callbacks, 0); /* neither at the start nor of a lookup that was cancelled */
    while (fixture->callbacks == 0)
        assert_int_not_equal(uv_run(&fixture->kube.loop, UV_RUN_ONCE), 0);
    assert_int_equal(fixture->callbacks, 1);
    fixture->callbacks = 0;
}

static void look_up(struct fixture *fixture)
{
    assert_non_null(class_source_start(&fixture->classes, "shop", "web", 10000, looked_up, fixture, NULL));
    run_until_response(fixture);
}

static void a_class_is_one_get(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->kube.api, RESPONSE(200, "", CLASS("v1")));
    look_up(fixture);
    assert_string_equal(fixture->provider, "azure");
    assert_sent(&fixture->kube.api, 0,
                "GET /apis/secrets-store.csi.x-k8s.io/v1/namespaces/shop/secretproviderclasses/web ");
}

static void a_version_that_is_known_goes_with_the_request(void **state)
{
    static const struct {
        const char *version, *expected;
    } table[] = {
        {"4711", "secretproviderclasses/web?resourceVersion=4711 "},
        {"", "secretproviderclasses/web "},
        {NULL, "secretproviderclasses/web "},
        {"1&watch=1", "secretproviderclasses/web "}, /* not what an API server calls a version */
        {"111111111111111111111", "secretproviderclasses/web "},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        SCRIPT(&fixture->kube.api, RESPONSE(200, "", CLASS("v1")));
        assert_non_null(fixture->classes.start_not_older(fixture->classes.state, "shop", "web",
                                                         table[i].version, 10000, looked_up, fixture, NULL));
        run_until_response(fixture);
        assert_string_equal(fixture->provider, "azure");
        assert_sent(&fixture->kube.api, 0, table[i].expected);
    }
}

static void an_old_server_gets_a_request_for_v1alpha1(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->kube.api, RESPONSE(404, "", "404 page not found\n"),
           RESPONSE(200, "", CLASS("v1alpha1")));
    look_up(fixture);
    assert_string_equal(fixture->provider, "azure");
    assert_sent(&fixture->kube.api, 1, "/v1alpha1/namespaces/shop/");
}

static void a_server_without_classes_differs_from_a_missing_class(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->kube.api, RESPONSE(404, "", "404 page not found"),
           RESPONSE(404, "", "404 page not found"));
    look_up(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_NOT_FOUND);
    assert_non_null(strstr(fixture->message, "custom resource definitions"));
    SCRIPT(
        &fixture->kube.api,
        RESPONSE(
            404, "",
            "{\"message\":\"\\\"web\\\" not found\",\"reason\":\"NotFound\",\"details\":{\"name\":\"web\",\"kind\":\"secretproviderclasses\"}}"));
    look_up(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_NOT_FOUND);
    assert_string_equal(fixture->message, "\"web\" not found");
}

static void a_class_that_may_not_be_read_or_is_malformed_is_an_error(void **state)
{
    struct fixture *fixture = *state;

    SCRIPT(&fixture->kube.api, RESPONSE(403, "", STATUS("Forbidden", "no")));
    look_up(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_PERMISSION_DENIED);
    SCRIPT(&fixture->kube.api, RESPONSE(200, "", OBJECT));
    look_up(fixture);
    assert_int_equal(fixture->code, GRPC_STATUS_INVALID_ARGUMENT);
}

static void a_cancelled_lookup_does_not_call_back(void **state)
{
    struct fixture *fixture = *state;
    struct class_lookup *lookup =
        class_source_start(&fixture->classes, "shop", "web", 10000, looked_up, fixture, NULL);

    assert_non_null(lookup);
    class_source_cancel(&fixture->classes, &lookup);
    SCRIPT(&fixture->kube.api, RESPONSE(200, "", CLASS("v1")));
    look_up(fixture);
    assert_string_equal(fixture->provider, "azure");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_class_is_one_get),
        TEST(a_version_that_is_known_goes_with_the_request),
        TEST(an_old_server_gets_a_request_for_v1alpha1),
        TEST(a_server_without_classes_differs_from_a_missing_class),
        TEST(a_class_that_may_not_be_read_or_is_malformed_is_an_error),
        TEST(a_cancelled_lookup_does_not_call_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
