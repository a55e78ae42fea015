/*
 * test_azure_settings.c - the user agent.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* needs the four above */

#include <string.h>

#include "common/base/cleanup.h"
#include "provider-azure/settings.h"

static void the_user_agent_names_program_version_and_custom_text(void **state)
{
    (void)state;
    cleanup_free char *agent = settings_user_agent("version", "commit", "now", "managedBy:aks");
    assert_non_null(strstr(agent, "csi-secrets-store/version (linux/"));
    assert_non_null(strstr(agent, ") commit/now managedBy:aks"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_user_agent_names_program_version_and_custom_text),
    };
    return cmocka_run_group_tests_name("azure settings", tests, NULL, NULL);
}
