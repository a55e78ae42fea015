/*
 * socket_directory.h - a place for an unprivileged provider in a directory that belongs to root.
 *
 * The kubelet makes the directory of provider sockets for root alone. A short privileged start of this
 * program (an init container: its image holds no other one) gives the provider's group the right to add files
 * there; the provider itself then runs without any right.
 */
#ifndef PROVIDER_AZURE_ENDPOINT_SOCKET_DIRECTORY_H
#define PROVIDER_AZURE_ENDPOINT_SOCKET_DIRECTORY_H

#include "common/base/error.h"

/* Gives the directory of `socket_path` to the group of `owner` ("uid:gid", numbers), writable and sticky: the
 * providers that share it cannot remove each other's sockets. A socket that an older provider, running as
 * another user, has left at `socket_path` is given to the owner, who could not replace it otherwise; it goes
 * on working until then. Needs root with CAP_CHOWN. */
int socket_directory_give(const char *socket_path, const char *owner, struct error **err);

#endif
