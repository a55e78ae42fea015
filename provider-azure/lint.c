/*
 * lint.c - the parser of mounts, on the parameters of a class alone.
 */
#include "provider-azure/lint.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/buffer.h"
#include "common/base/secret.h"
#include "provider-azure/base/parameter_text.h"
#include "provider-azure/mount_request.h"
#include "provider-azure/network/proxy_allowlist.h"
#include "provider-azure/objects/expected_files.h"

/* What a mount has from the pod and the kubelet, with every credential that a class may need. */
static const struct {
    const char *name, *value;
} attributes_of_a_pod[] =
    {{ATTRIBUTE_POD_NAME, "pod"},
     {ATTRIBUTE_POD_NAMESPACE, "default"},
     {"csi.storage.k8s.io/serviceAccount.tokens",
      "{\"api://AzureADTokenExchange\":{\"token\":\"t\"},\"api://AKSIdentityBinding\":{\"token\":\"t\"}}"}},
  secrets_of_a_pod[] = {{"clientid", "id"}, {"clientsecret", "secret"}};

/* The cloud of a class without cloudName. The file of a custom cloud is on the node: the suffix of the
 * vault's URL is right for it. */
static int make_cloud(const struct string_map *parameters, struct cloud *ret, struct error **err)
{
    cleanup_free char *name = parameter_text_trim(string_map_get(parameters, "cloudName"));
    cleanup_free char *url = parameter_text_trim(string_map_get(parameters, "keyvaultURL"));

    if (name == NULL || url == NULL)
        return error_no_memory(err, NULL);
    int result = cloud_resolve("AzurePublicCloud", /* custom_path= */ NULL, ret, err);
    const char *host = strcasecmp(name, CLOUD_CUSTOM_NAME) == 0 ? strstr(url, "://") : NULL;
    const char *dot = host != NULL ? strchr(host, '.') : NULL;
    if (result < 0 || dot == NULL)
        return result;
    free(ret->vault_suffix);
    ret->vault_suffix = strndup(dot + 1, strcspn(dot + 1, "/?#"));
    return ret->vault_suffix == NULL ? error_no_memory(err, NULL) : 0;
}

static int make_input(const struct string_map *parameters, struct string_map *attributes,
                      struct string_map *secrets, struct error **err)
{
    int result = string_map_merge(attributes, parameters, err);

    for (size_t i = 0; i < ARRAY_SIZE(attributes_of_a_pod) && result == 0; i++)
        result = string_map_set(attributes, attributes_of_a_pod[i].name, attributes_of_a_pod[i].value, err);
    for (size_t i = 0; i < ARRAY_SIZE(secrets_of_a_pod) && result == 0; i++)
        result = string_map_set(secrets, secrets_of_a_pod[i].name, secrets_of_a_pod[i].value, err);
    return result;
}

static int add_file(void *arg, const char *path, bool is_pattern, struct error **err)
{
    struct lint_response *response = arg;
    struct lint_files *files = is_pattern ? &response->patterns : &response->files;

    response->files_known = response->files_known && files->n < LINT_FILES_MAX;
    return response->files_known ? lint_files_add(files, path, err) : 0;
}

static bool has_error(const struct findings *findings)
{
    for (size_t i = 0; i < findings->n; i++) {
        if (findings->list[i].level == FINDING_ERROR)
            return true;
    }
    return findings->left_out > 0;
}

static int lint_with(const struct string_map *parameters, const struct cloud *cloud,
                     const struct proxy_allowlist *proxies, struct mount_request *request, struct error **err)
{
    cleanup_string_map struct string_map attributes = {0};
    cleanup_string_map struct string_map secrets = {0};
    /* No request goes to the token proxy: any pointer does. */
    const struct request_defaults defaults = {
        .cloud = cloud,
        .egress = {.ca_dir = "/", .proxies = proxies},
        .endpoints = {.imds = "", .nmi = "", .token_proxy = (struct token_proxy *)(void *)&attributes}};
    const struct mount_input input = {
        .attributes = &attributes, .secrets = &secrets, .permission = 0644, .lint = true};
    struct error *error = NULL; /* a parser that is asked for no error gives no findings of them */
    int result = make_input(parameters, &attributes, &secrets, &error);

    if (result == 0)
        result = mount_request_parse(&input, &defaults, request, &error);
    return result < 0 ? error_move(err, &error) : 0;
}

int lint_parameters(const struct string_map *parameters, struct lint_response *ret, struct error **err)
{
    cleanup_cloud struct cloud cloud = {0};
    struct mount_request request = {0};
    /* Which proxies and certificates there are, the operator decides. */
    const char *proxy = string_map_get(parameters, "httpsProxy");
    struct proxy_allowlist *proxies = proxy_allowlist_create("", &proxy, 1, err);
    int result = proxies == NULL ? -1 : make_cloud(parameters, &cloud, err);

    *ret = (struct lint_response){0};
    if (result == 0)
        result = lint_with(parameters, &cloud, proxies, &request, err);
    if (result == 0) {
        /* What the items with mistakes would make is not known. */
        ret->files_known = !has_error(&request.findings);
        result = expected_files_each(&request.objects, add_file, ret, err);
        if (request.without_secret != NULL)
            ret->without_secret = strdup(error_message(request.without_secret)); /* else it is left out */
        ret->findings = request.findings;
        request.findings = (struct findings){0};
    }
    mount_request_finish(&request);
    proxy_allowlist_destroy(proxies);
    return result;
}

static int read_all(FILE *in, struct buffer *text, struct error **err)
{
    char piece[4096];
    size_t n;

    buffer_init(text, LINT_BYTES_MAX);
    while ((n = fread(piece, 1, sizeof(piece), in)) > 0) {
        if (buffer_append(text, piece, n, err) < 0)
            return -1;
    }
    return ferror(in) ? error_set(err, GRPC_STATUS_INTERNAL, "the request cannot be read") : 0;
}

int lint_run(FILE *in, FILE *out, struct error **err)
{
    cleanup_string_map struct string_map parameters = {0};
    cleanup_lint_response struct lint_response response = {0};
    cleanup_buffer struct buffer text = {0};
    cleanup_secret_free char *printed = NULL;

    if (read_all(in, &text, err) < 0 ||
        lint_request_parse(buffer_str(&text), text.len, &parameters, err) < 0 ||
        lint_parameters(&parameters, &response, err) < 0)
        return -1;
    printed = lint_response_print(&response, err);
    if (printed == NULL)
        return -1;
    if (fputs(printed, out) == EOF || fputc('\n', out) == EOF || fflush(out) != 0)
        return error_set(err, GRPC_STATUS_INTERNAL, "the response cannot be written");
    return 0;
}
