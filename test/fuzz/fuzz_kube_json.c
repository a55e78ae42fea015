/*
 * fuzz_kube_json.c - any text as a response of the Kubernetes API server: a class, a list, or a Status.
 */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "common/base/json.h"
#include "common/class/class.h"
#include "common/kube/kube_client.h"
#include "driver/kube/kube_refusal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int check_class(struct secret_provider_class *class, void *arg, struct error **err)
{
    (void)arg;
    (void)err;
    assert(class_name_valid(class->name));
    assert(class_name_valid(class->ns));
    assert(class->provider != NULL);
    secret_provider_class_free(class);
    return 0;
}

static void as_class(const cJSON *json)
{
    cleanup_error struct error *error = NULL;
    cleanup_class struct secret_provider_class *class = class_from_json(json, "default", &error);

    assert((class == NULL) == (error != NULL));
}

static void as_failure(const cJSON *json)
{
    static const int statuses[] = {0, 301, 400, 401, 403, 404, 409, 410, 413, 429, 500, 504};

    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
        cleanup_error struct error *error = NULL;

        (void)kube_status_error(statuses[i], json, &error);
        assert(error_code(error) != GRPC_STATUS_OK);
        assert(error_message(error)[0] != '\0');
        assert(kube_refusal_hint(kube_refusal_of(error), "") != NULL);
        assert(kube_is_being_deleted(json) == (kube_metadata_string(json, "deletionTimestamp")[0] != '\0'));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_json cJSON *json = json_parse((const char *)data, size, CLASS_TEXT_MAX, /* err= */ NULL);
    cleanup_error struct error *error = NULL;

    if (class_json_each((const char *)data, size, "default", check_class, NULL, &error) < 0)
        assert(error != NULL);
    if (json != NULL)
        as_class(json);
    as_failure(json);
    return 0;
}
