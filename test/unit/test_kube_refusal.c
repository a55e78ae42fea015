/*
 * test_kube_refusal.c - why the API server has refused a write, by the messages that it and common policy
 * engines send.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/kube/kube_meta.h"
#include "driver/kube/kube_refusal.h"

static const struct {
    int status;
    const char *message;
    enum kube_refusal refusal;
} cases[] = {
    {403,
     "secrets is forbidden: User \"system:serviceaccount:kube-system:d\" cannot create resource \"secrets\" in API group \"\" in the namespace \"shop\"",
     KUBE_REFUSAL_RBAC},
    {403,
     "secrets \"exceeded quota\" is forbidden: User \"d\" cannot patch resource \"secrets\" in API group \"\" in the namespace \"shop\"",
     KUBE_REFUSAL_RBAC},
    {403,
     "secrets \"s\" is forbidden: exceeded quota: team, requested: count/secrets=1, used: count/secrets=23, limited: count/secrets=23",
     KUBE_REFUSAL_QUOTA},
    {403,
     "secrets \"s\" is forbidden: unable to create new content in namespace shop because it is being terminated",
     KUBE_REFUSAL_TERMINATING},
    {403, "secrets \"s\" is forbidden: cannot set an ownerRef on a resource you can't delete: , <nil>",
     KUBE_REFUSAL_OWNERS},
    {403,
     "secrets \"s\" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>",
     KUBE_REFUSAL_OWNERS},
    {422,
     "Secret \"s\" is invalid: metadata.ownerReferences[0].uid: Invalid value: \"\": uid must not be empty",
     KUBE_REFUSAL_OWNERS},
    {422,
     "Secret \"s\" is invalid: metadata.labels: Invalid value: \"x x\": a valid label must be an empty string or",
     KUBE_REFUSAL_LABELS},
    {422, "Secret \"s\" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes",
     KUBE_REFUSAL_ANNOTATIONS},
    {422, "Secret \"s\" is invalid: data[a/b]: Invalid value: \"a/b\": a valid config key must consist of",
     KUBE_REFUSAL_INVALID},
    {422,
     "secrets \"s\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: metadata.labels exceeded quota",
     KUBE_REFUSAL_POLICY},
    {400,
     "admission webhook \"validate.kyverno.svc-fail\" denied the request: resource Secret/default/s was blocked",
     KUBE_REFUSAL_POLICY},
    {403, "secrets \"s\" is forbidden: an admission plugin of ours does not like it", KUBE_REFUSAL_POLICY},
    {409, "Operation cannot be fulfilled on secrets \"s\": the object has been modified", KUBE_REFUSAL_NONE},
    {500, "Internal error occurred: failed calling webhook \"m\": context deadline exceeded",
     KUBE_REFUSAL_NONE},
    {404, "secrets \"s\" not found", KUBE_REFUSAL_NONE},
};

static void the_reason_of_a_refusal_is_in_its_message(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_json cJSON *json = cJSON_CreateObject();
        cleanup_error struct error *error = NULL;

        assert_non_null(cJSON_AddStringToObject(json, "message", cases[i].message));
        (void)kube_status_error(cases[i].status, json, &error);
        if (kube_refusal_of(error) != cases[i].refusal)
            fail_msg("%s: %d", cases[i].message, (int)kube_refusal_of(error));
    }
    assert_int_equal(kube_refusal_of(NULL), KUBE_REFUSAL_NONE);
}

static void only_a_missing_right_gets_the_hint_about_the_role(void **state)
{
    (void)state;
    for (int refusal = KUBE_REFUSAL_NONE; refusal <= KUBE_REFUSAL_INVALID; refusal++)
        assert_int_equal(strcmp(kube_refusal_hint((enum kube_refusal)refusal, "role?"), "role?") == 0,
                         refusal == KUBE_REFUSAL_RBAC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reason_of_a_refusal_is_in_its_message),
        cmocka_unit_test(only_a_missing_right_gets_the_hint_about_the_role),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
