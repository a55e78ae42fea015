/*
 * fuzz_kubeconfig.c - any text as kubeconfig files: one, or two split at a line "%". Names of files inside
 * are
 * resolved in a directory that does not exist; an absolute one may be opened, but only read.
 */
#undef NDEBUG /* the assertions are the test */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "common/kube/kubeconfig_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char separator[] = "\n%\n";
    const char *text = (const char *)data;
    const char *second = memmem(data, size, separator, sizeof(separator) - 1);
    size_t first_len = second == NULL ? size : (size_t)(second - text);
    const struct kubeconfig_text texts[] = {
        {.path = "/nonexistent/a/config", .text = text, .len = first_len},
        {.path = "config",
         .text = second == NULL ? "" : second + 3,
         .len = second == NULL ? 0 : size - first_len - 3},
    };
    cleanup_kube_rest_config struct kube_rest_config config = {0};
    cleanup_error struct error *error = NULL;

    if (kubeconfig_parse(texts, second == NULL ? 1 : 2, &config, &error) < 0) {
        assert(error != NULL);
        assert(config.server == NULL);
        return 0;
    }
    assert(error == NULL);
    assert(config.server != NULL && config.ns != NULL);
    assert(strncmp(config.server, "http://", 7) == 0 || strncmp(config.server, "https://", 8) == 0);
    assert(config.server[strlen(config.server) - 1] != '/');
    assert((config.client_cert == NULL) == (config.client_key == NULL));
    return 0;
}
