/*
 * fuzz_ctl_objects.c - objects of the Kubernetes API that diagnose reads. The first byte chooses what the
 * JSON behind it is taken for.
 *
 * Every check has a text, and "wrong" is counted as often as it stands there.
 */
#include "common/base/json.h"
#include "common/base/secret.h"
#include "ctl/diagnose_objects.h"
#include "ctl/object.h"
#include "test/fuzz/fuzz.h"

enum { MAX_BYTES = 64 * 1024 };

static const char driver[] = "secrets-store.csi.k8s.io";

static void examine(struct checks *checks, char kind, const cJSON *object)
{
    static const char *const reasons[] = {"FailedMount", "FailedToCreateSecret", NULL};
    struct pod_volume volumes[DIAGNOSE_VOLUMES_MAX];

    switch (kind) {
    case 'p': {
        size_t n = diagnose_pod(checks, object, driver, "", volumes);

        EXPECT(n <= DIAGNOSE_VOLUMES_MAX);
        for (size_t i = 0; i < n; i++)
            EXPECT(volumes[i].name != NULL && volumes[i].class_name != NULL &&
                   volumes[i].secret_name != NULL);
        break;
    }
    case 'd':
        diagnose_csi_driver(checks, object, driver);
        (void)diagnose_token_request(checks, object, DIAGNOSE_TOKEN_WORKLOAD);
        break;
    case 'n':
        diagnose_csi_node(checks, object, driver);
        break;
    case 'c': {
        const char *provider = diagnose_class(checks, object);

        EXPECT((provider == NULL) == (checks->n_wrong == 1));
        EXPECT(!diagnose_needs_secret(object) || diagnose_audience(object) == NULL);
        break;
    }
    case 's':
        (void)diagnose_status(checks, object, "web", "azure-kvname");
        break;
    case 'e':
        diagnose_events(checks, object, reasons);
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_checks struct checks checks = {0};
    const cJSON *row;
    size_t n_wrong = 0;

    secret_install_json_hooks();
    if (size < 2)
        return 0;
    cleanup_json cJSON *object = json_parse((const char *)data + 1, size - 1, MAX_BYTES, /* err= */ NULL);
    if (object == NULL)
        return 0;
    examine(&checks, (char)data[0], object);
    cJSON_ArrayForEach(row, checks.rows)
    {
        EXPECT(cJSON_IsString(object_at(row, "text")));
        n_wrong += strcmp(object_text(row, "result"), "wrong") == 0 ? 1 : 0;
    }
    EXPECT(!checks.incomplete && n_wrong == checks.n_wrong);
    return 0;
}
