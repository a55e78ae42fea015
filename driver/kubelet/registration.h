/*
 * registration.h - announcing the driver to the kubelet, without a sidecar.
 *
 * The kubelet watches <kubelet root>/plugins_registry. When a socket appears there it calls GetInfo (1 s
 * deadline), then NodeGetInfo on the CSI socket named in the response, and reports the outcome by
 * NotifyRegistrationStatus. After a refusal it does not retry until the socket is created again: this module
 * does that, after growing pauses. Removing the socket deregisters the driver. A socket that another process
 * removes is created again within a second (common/grpc/server.h), so that the kubelet registers the driver
 * again.
 *
 * Create it only when the CSI socket is served.
 */
#ifndef DRIVER_KUBELET_REGISTRATION_H
#define DRIVER_KUBELET_REGISTRATION_H

#include <stdbool.h>
#include <uv.h>

#include "common/base/error.h"
#include "common/base/log.h"
#include "common/grpc/server.h"

enum { REGISTRATION_RETRY_FIRST_MS = 1000, REGISTRATION_RETRY_CAP_MS = 120 * 1000 };

struct registration;

/* The kubelet has registered the driver, for the first time or again (it has restarted). */
typedef void registration_callback(void *arg);

struct registration_config {
    struct log *log;         /* borrowed, may be NULL */
    const char *directory;   /* plugins_registry as the driver sees it; copied */
    const char *driver_name; /* copied */
    const char *csi_path;    /* the CSI socket as the kubelet sees it, without a scheme; copied */
    uint64_t retry_first_ms; /* 0 = REGISTRATION_RETRY_FIRST_MS; doubled up to REGISTRATION_RETRY_CAP_MS */
    registration_callback *registered;     /* may be NULL */
    grpc_socket_observer *socket_observer; /* of the registration socket; may be NULL */
    void *arg;                             /* of both */
};

/* Listens on <directory>/<driver name>-reg.sock, mode 0700. A directory that cannot be used now is an error;
 * later trouble is retried. */
struct registration *registration_create(uv_loop_t *loop, const struct registration_config *config,
                                         struct error **err);

/* Is the last outcome that the kubelet has reported a success, and has the socket been there since then? */
bool registration_is_registered(const struct registration *registration);

/* Creates the socket again, so that the kubelet registers the driver again, unless another process listens
 * at its path. */
void registration_renew(struct registration *registration);

/* See grpc_server_check_sockets(). */
int registration_check_socket(struct registration *registration, struct error **err);

/* Removes the socket; memory is released once the server has stopped. Accepts NULL. */
void registration_destroy(struct registration *registration);

#endif
