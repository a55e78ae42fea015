/*
 * sandbox_needs.c - collects paths and ports from flags, environment and clouds.
 */
#include "provider-azure/sandbox_needs.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cleanup.h"
#include "common/http/client.h"

enum { PORT_MAX = 65535 };

/* --- paths --- */

/* Takes `path` over; NULL is lack of memory. */
static int add_path(struct azure_sandbox *sandbox, char *path, enum landlock_use use, struct error **err)
{
    if (path == NULL)
        return error_no_memory(err, NULL);
    if (sandbox->n_paths == SANDBOX_PATHS_MAX) {
        free(path);
        return error_set(err, GRPC_STATUS_RESOURCE_EXHAUSTED, "more than %d paths for the sandbox",
                         SANDBOX_PATHS_MAX);
    }
    sandbox->owned[sandbox->n_paths] = path;
    sandbox->paths[sandbox->n_paths++] = (struct landlock_path){.path = path, .use = use};
    return 0;
}

static char *directory_of(const char *file)
{
    const char *slash = strrchr(file, '/');

    if (slash == NULL)
        return strdup(".");
    return slash == file ? strdup("/") : strndup(file, (size_t)(slash - file));
}

/* The directory of a file and that of what it links to: a file that is replaced is another one, and links of
 * a ConfigMap lead elsewhere in its directory. */
static int add_file(struct azure_sandbox *sandbox, const char *file, struct error **err)
{
    cleanup_free char *real = NULL;

    if (file == NULL || *file == '\0')
        return 0;
    if (add_path(sandbox, directory_of(file), LANDLOCK_READ, err) < 0)
        return -1;
    real = realpath(file, NULL);
    return real == NULL ? 0 : add_path(sandbox, directory_of(real), LANDLOCK_READ, err);
}

static int add_list(struct azure_sandbox *sandbox, const char *list, struct error **err)
{
    cleanup_free char *copy = list != NULL ? strdup(list) : NULL;
    char *rest = copy;
    int ret = list != NULL && copy == NULL ? error_no_memory(err, NULL) : 0;

    for (char *path; ret == 0 && (path = strsep(&rest, ":")) != NULL;) {
        if (*path != '\0')
            ret = add_path(sandbox, strdup(path), LANDLOCK_READ, err);
    }
    return ret;
}

static int add_paths(struct azure_sandbox *sandbox, const struct azure_sandbox_input *input,
                     struct error **err)
{
    /* What links in /etc/ssl/certs lead to on Debian and SUSE. */
    static const char *const always[] = {"/etc", "/proc", "/usr/share/ca-certificates",
                                         "/usr/local/share/ca-certificates", "/var/lib/ca-certificates"};
    const struct settings *settings = input->settings;

    for (size_t i = 0; i < ARRAY_SIZE(always); i++) {
        if (add_path(sandbox, strdup(always[i]), LANDLOCK_READ, err) < 0)
            return -1;
    }
    /* When descriptors run out, libuv gives one up to refuse a connection, and gets it back by opening "/". */
    if (add_path(sandbox, strdup("/"), LANDLOCK_LIST, err) < 0)
        return -1;
    if (input->endpoint->kind == ENDPOINT_UNIX &&
        add_path(sandbox, directory_of(input->endpoint->address), LANDLOCK_SOCKETS, err) < 0)
        return -1;
    if (*settings->class_ca_dir != '\0' &&
        add_path(sandbox, strdup(settings->class_ca_dir), LANDLOCK_READ, err) < 0)
        return -1;
    return add_file(sandbox, "/etc/resolv.conf", err) < 0 ||
                   add_file(sandbox, getenv("SSL_CERT_FILE"), err) < 0 ||
                   add_list(sandbox, getenv("SSL_CERT_DIR"), err) < 0 ||
                   add_file(sandbox, getenv("AZURE_ENVIRONMENT_FILEPATH"), err) < 0
               ? -1
               : add_file(sandbox, settings->token_proxy_ca_file, err);
}

/* --- ports --- */

static void add_port(struct azure_sandbox *sandbox, unsigned port)
{
    if (port > 0 && port <= PORT_MAX && sandbox->n_connect < SANDBOX_PORTS_MAX)
        sandbox->connect_ports[sandbox->n_connect++] = (uint16_t)port;
}

/* A malformed URL fails where it is used. */
static void add_url(struct azure_sandbox *sandbox, const char *url)
{
    cleanup_free char *host = NULL;
    unsigned port = 0;

    if (url != NULL && *url != '\0' && http_proxy_address(url, &host, &port, NULL) == 0)
        add_port(sandbox, port);
}

/* "host:port" or, of a suffix, "domain". */
static void add_address(struct azure_sandbox *sandbox, const char *address)
{
    cleanup_free char *url = NULL;

    if (address == NULL || *address == '\0')
        return;
    if (asprintf(&url, "https://%s", address) < 0)
        url = NULL;
    add_url(sandbox, url);
}

static void add_cloud(struct azure_sandbox *sandbox, const struct cloud *cloud)
{
    add_url(sandbox, cloud->authority);
    add_url(sandbox, cloud->vault);
    add_url(sandbox, cloud->hsm);
    add_address(sandbox, cloud->vault_suffix);
    add_address(sandbox, cloud->hsm_suffix);
}

/* A class may select it although it is not the default one. */
static void add_custom_cloud(struct azure_sandbox *sandbox)
{
    const char *file = getenv("AZURE_ENVIRONMENT_FILEPATH");
    cleanup_cloud struct cloud cloud = {0};

    if (file != NULL && cloud_resolve(CLOUD_CUSTOM_NAME, file, &cloud, NULL) == 0)
        add_cloud(sandbox, &cloud);
}

static void add_ports(struct azure_sandbox *sandbox, const struct azure_sandbox_input *input)
{
    const struct settings *settings = input->settings;
    const char *api_port = getenv("KUBERNETES_SERVICE_PORT");

    add_port(sandbox, 443);
    add_port(sandbox, 53); /* long responses of name servers */
    add_cloud(sandbox, input->cloud);
    add_custom_cloud(sandbox);
    add_url(sandbox, settings->imds_endpoint);
    add_url(sandbox, settings->nmi_endpoint);
    add_url(sandbox, settings->token_proxy_url);
    add_address(sandbox, settings->api_server);
    add_port(sandbox, api_port != NULL ? (unsigned)strtoul(api_port, NULL, 10) : 0);
    sandbox->n_connect += proxy_allowlist_ports(input->proxies, sandbox->connect_ports + sandbox->n_connect,
                                                SANDBOX_PORTS_MAX - sandbox->n_connect);
}

static void add_bind_ports(struct azure_sandbox *sandbox, const struct azure_sandbox_input *input)
{
    const char *colon = strrchr(input->endpoint->address, ':');

    sandbox->bind_ports[sandbox->n_bind++] = (uint16_t)input->settings->healthz_port;
    sandbox->bind_ports[sandbox->n_bind++] = (uint16_t)input->settings->prometheus_port;
    if (input->endpoint->kind == ENDPOINT_TCP && colon != NULL)
        sandbox->bind_ports[sandbox->n_bind++] = (uint16_t)strtoul(colon + 1, NULL, 10);
}

/* --- --sandbox-allow --- */

static int add_allowed(struct azure_sandbox *sandbox, const char *entry, struct error **err)
{
    char *end = NULL;
    unsigned long port = strtoul(entry, &end, 10);

    if (*entry == '/')
        return add_path(sandbox, strdup(entry), LANDLOCK_READ, err);
    if (*end != '\0' || port == 0 || port > PORT_MAX)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                         "--sandbox-allow: '%s' is neither an absolute path nor a port", entry);
    add_port(sandbox, (unsigned)port);
    return 0;
}

static int add_all_allowed(struct azure_sandbox *sandbox, const char *list, struct error **err)
{
    cleanup_free char *copy = strdup(list);
    char *rest = copy;
    int ret = copy == NULL ? error_no_memory(err, NULL) : 0;

    for (char *entry; ret == 0 && (entry = strsep(&rest, ",")) != NULL;) {
        entry += strspn(entry, " ");
        if (*entry != '\0')
            ret = add_allowed(sandbox, entry, err);
    }
    return ret;
}

/* A class may name a cloud file anywhere, and with it any port: so only an operator's list bounds what is
 * read and connected to. */
static int add_everything(struct azure_sandbox *sandbox, struct error **err)
{
    sandbox->rules.connect_ports = NULL;
    sandbox->rules.n_connect_ports = 0;
    return add_path(sandbox, strdup("/"), LANDLOCK_READ, err);
}

int azure_sandbox_init(struct azure_sandbox *sandbox, const struct azure_sandbox_input *input,
                       struct error **err)
{
    *sandbox = (struct azure_sandbox){0};
    if (add_all_allowed(sandbox, input->settings->sandbox_allow, err) < 0 ||
        add_paths(sandbox, input, err) < 0) {
        azure_sandbox_finish(sandbox);
        return -1;
    }
    add_ports(sandbox, input);
    add_bind_ports(sandbox, input);
    sandbox->rules = (struct landlock_rules){.paths = sandbox->paths,
                                             .n_paths = sandbox->n_paths,
                                             .connect_ports = sandbox->connect_ports,
                                             .n_connect_ports = sandbox->n_connect,
                                             .bind_ports = sandbox->bind_ports,
                                             .n_bind_ports = sandbox->n_bind};
    if (*input->settings->sandbox_allow == '\0' && add_everything(sandbox, err) < 0) {
        azure_sandbox_finish(sandbox);
        return -1;
    }
    sandbox->rules.n_paths = sandbox->n_paths;
    sandbox->needs = (struct sandbox_needs){.landlock = &sandbox->rules};
    return 0;
}

void azure_sandbox_finish(struct azure_sandbox *sandbox)
{
    for (size_t i = 0; i < sandbox->n_paths; i++)
        free(sandbox->owned[i]);
    sandbox->n_paths = 0;
}
