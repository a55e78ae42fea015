/*
 * egress.c - proxy and CA file of a class.
 */
#include "provider-azure/network/egress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/cleanup.h"

enum { PROXY_MAX = 1024, NO_PROXY_MAX = 4096, NAME_MAX_BYTES = 128 };

/* A copy of a parameter; NULL when it is not given. `blanks`: the control characters that may be in it. */
static int copy_parameter(const char *name, const char *text, size_t max, const char *blanks, char **ret,
                          struct error **err)
{
    if (text == NULL || *text == '\0')
        return 0;
    if (strnlen(text, max + 1) > max)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s is longer than %zu bytes", name, max);
    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 && strchr(blanks, *p) == NULL)
            return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "%s contains a control character", name);
    }
    *ret = strdup(text);
    return *ret == NULL ? error_no_memory(err, NULL) : 0;
}

static int check_proxy(char *proxy, const struct proxy_allowlist *allowed, struct error **err)
{
    if (strcmp(proxy, "none") == 0) {
        *proxy = '\0';
        return 0;
    }
    bool known = strncasecmp(proxy, "http://", 7) == 0 || strncasecmp(proxy, "https://", 8) == 0;
    const char *host = known ? strstr(proxy, "//") + 2 : proxy;
    if (!known || *host == '\0' || *host == '/' || strchr(proxy, ' ') != NULL)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "httpsProxy is not a URL that begins with http:// or https://, and not \"none\"");
    return proxy_allowlist_check(allowed, proxy, err) < 0 ? error_wrap(err, "httpsProxy") : 0;
}

static int find_ca(const char *name, const char *dir, char **ret, struct error **err)
{
    if (dir == NULL || *dir == '\0')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "caBundleFile is not available: the provider has no --class-ca-dir");
    if (strchr(name, '/') != NULL || name[0] == '.')
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "caBundleFile must be the plain name of a file in the provider's --class-ca-dir");
    if (asprintf(ret, "%s/%s", dir, name) < 0) {
        *ret = NULL;
        return error_no_memory(err, NULL);
    }
    return 0;
}

static void compute_digest(struct egress *egress)
{
    const char *texts[] = {egress->proxy, egress->no_proxy, egress->ca_file};
    struct digest_field fields[2 * ARRAY_SIZE(texts)];
    static const char present = 1;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) { /* absent and empty differ */
        fields[2 * i] = (struct digest_field){&present, texts[i] != NULL ? 1 : 0};
        fields[2 * i + 1] = (struct digest_field){texts[i], texts[i] != NULL ? strlen(texts[i]) : 0};
    }
    digest_fields(fields, ARRAY_SIZE(fields), egress->digest);
}

int egress_create(const struct egress_parameters *parameters, const struct egress_choices *choices,
                  struct egress **ret_egress, struct error **err)
{
    cleanup_free char *ca_name = NULL;
    struct egress *egress = calloc(1, sizeof(*egress));
    if (egress == NULL)
        return error_no_memory(err, NULL);
    egress->refs = 1;
    if (copy_parameter("httpsProxy", parameters->https_proxy, PROXY_MAX, "", &egress->proxy, err) < 0 ||
        copy_parameter("noProxy", parameters->no_proxy, NO_PROXY_MAX, "\t\r\n", &egress->no_proxy, err) < 0 ||
        copy_parameter("caBundleFile", parameters->ca_bundle_file, NAME_MAX_BYTES, "", &ca_name, err) < 0 ||
        (egress->proxy != NULL && check_proxy(egress->proxy, choices->proxies, err) < 0) ||
        (ca_name != NULL && find_ca(ca_name, choices->ca_dir, &egress->ca_file, err) < 0)) {
        egress_unref(egress);
        return -1;
    }
    if (egress->proxy == NULL && egress->no_proxy == NULL && egress->ca_file == NULL) {
        egress_unref(egress);
        *ret_egress = NULL;
        return 0;
    }
    compute_digest(egress);
    *ret_egress = egress;
    return 0;
}

struct egress *egress_ref(struct egress *egress)
{
    if (egress != NULL)
        egress->refs++;
    return egress;
}

void egress_unref(struct egress *egress)
{
    if (egress == NULL || --egress->refs > 0)
        return;
    free(egress->proxy);
    free(egress->no_proxy);
    free(egress->ca_file);
    free(egress);
}

void egress_apply(const struct egress *egress, struct http_request *request)
{
    request->proxy = HTTP_PROXY_ENVIRONMENT;
    if (egress == NULL)
        return;
    request->proxy = HTTP_PROXY_RULES;
    request->proxy_url = egress->proxy;
    request->no_proxy = egress->no_proxy;
    request->extra_ca_file = egress->ca_file;
}
