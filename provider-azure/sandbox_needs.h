/*
 * sandbox_needs.h - what the provider needs while it serves: no capability, the system calls of its sandbox
 * (common/process/sandbox.h), and by Landlock the files that it reads and the ports it connects to.
 *
 * Files: /etc (resolver, hosts, the node's CAs), CAs named by the environment and by flags, the custom cloud
 * file, /proc. To be written: sockets in the directory of the own one. Ports: 443, 53, and those of every
 * URL, proxy and cloud that the command line and the environment name. What a class alone can name, a cloud
 * file elsewhere or a vault's other port, needs --sandbox-allow.
 */
#ifndef PROVIDER_AZURE_SANDBOX_NEEDS_H
#define PROVIDER_AZURE_SANDBOX_NEEDS_H

#include "common/process/endpoint.h"
#include "common/process/sandbox.h"
#include "provider-azure/cloud/cloud.h"
#include "provider-azure/network/proxy_allowlist.h"
#include "provider-azure/settings.h"

enum { SANDBOX_PATHS_MAX = 128, SANDBOX_PORTS_MAX = 512 };

/* Not to be copied: it points into itself. */
struct azure_sandbox {
    struct sandbox_needs needs;
    struct landlock_rules rules;
    struct landlock_path paths[SANDBOX_PATHS_MAX];
    char *owned[SANDBOX_PATHS_MAX]; /* the texts of `paths` */
    size_t n_paths;
    uint16_t connect_ports[SANDBOX_PORTS_MAX];
    size_t n_connect;
    uint16_t bind_ports[3];
    size_t n_bind;
};

struct azure_sandbox_input {
    const struct settings *settings;
    const struct endpoint *endpoint;
    const struct cloud *cloud; /* the default one; the custom one is read by way of the environment */
    const struct proxy_allowlist *proxies;
};

/* Reads the environment; the input is not needed afterwards. INVALID_ARGUMENT names what is wrong in
 * --sandbox-allow, RESOURCE_EXHAUSTED when there is too much of it. */
int azure_sandbox_init(struct azure_sandbox *sandbox, const struct azure_sandbox_input *input,
                       struct error **err);

/* Frees the texts. */
void azure_sandbox_finish(struct azure_sandbox *sandbox);

#endif
