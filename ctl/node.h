/*
 * node.h - where a node has its directories and the sockets of drivers and providers.
 */
#ifndef CTL_NODE_H
#define CTL_NODE_H

#include <limits.h>
#include <stdbool.h>

#include "common/base/error.h"
#include "ctl/command.h"

/* Finds the socket of the CSI driver: that of the manifests and charts below --kubelet-dir (without the flag:
 * below the root directories of the usual kubelets), or that of the packages. All paths are below
 * --host-root. NOT_FOUND names the places; INVALID_ARGUMENT: there are several. */
int node_find_driver(const struct ctl_options *options, char ret_path[PATH_MAX], struct error **err);

/* The same for a provider's socket, in the directories that the manifests, the charts and the packages use,
 * or in --providers-dir. `name` is "" for any provider. */
int node_find_provider(const struct ctl_options *options, const char *name, char ret_path[PATH_MAX],
                       struct error **err);

/* `path` below --host-root. INVALID_ARGUMENT: too long. */
int node_path(const struct ctl_options *options, const char *path, char ret_path[PATH_MAX],
              struct error **err);

/* Does --kubelet-dir exist, so that this is a node? */
bool node_is_here(const struct ctl_options *options);

#endif
