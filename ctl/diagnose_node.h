/*
 * diagnose_node.h - the links of the chain that are on the node: driver, provider, volume.
 */
#ifndef CTL_DIAGNOSE_NODE_H
#define CTL_DIAGNOSE_NODE_H

#include <limits.h>
#include <stdbool.h>

#include "common/base/string_map.h"
#include "ctl/checks.h"
#include "ctl/command.h"

/* The check "driver": does it respond, and is its node `node` ("": any)? Returns true if the checks of this
 * node apply to the pod. `ret_endpoint` is its socket, "" if there is none. */
bool diagnose_driver(struct checks *checks, const struct ctl_options *options, const char *node,
                     char ret_endpoint[PATH_MAX]);

/* The check "registered" without the Kubernetes API: the socket that the kubelet finds. */
void diagnose_registration_socket(struct checks *checks, const struct ctl_options *options);

/* The check "provider". True if it responds; `ret_endpoint` is its socket then. */
bool diagnose_provider(struct checks *checks, const struct ctl_options *options, const char *provider,
                       char ret_endpoint[PATH_MAX]);

/* The checks "token" and "vault": calls Mount as the driver does, and shows nothing of the contents. `secrets`
 * is NULL without a nodePublishSecretRef. */
void diagnose_fetch(struct checks *checks, const struct ctl_options *options, const char *endpoint,
                    struct string_map *parameters, const struct string_map *secrets);

/* The check "volume" of the volume --volume of the pod --pod-uid: is it mounted, and does the node see it? */
void diagnose_volume(struct checks *checks, const struct ctl_options *options, const char *endpoint);

#endif
