/*
 * registration.h - telling the kubelet that the driver is there, without a side-car.
 *
 * The kubelet watches a directory for sockets and calls GetInfo and NotifyRegistrationStatus of
 * pluginregistration.Registration on each. When it refuses a driver it does not try again by itself: only a
 * socket that appears anew makes it look once more. So the socket is taken away and made again, after 1 s, 2
 * s, ... up to a minute.
 */
#ifndef DRIVER_REGISTRATION_H
#define DRIVER_REGISTRATION_H

#include <uv.h>

#include "common/error.h"
#include "common/log.h"

struct registration;

struct registration_config {
    const char *directory;   /* the kubelet's plugins_registry */
    const char *driver_name; /* also names the socket: <driver name>-reg.sock */
    const char *endpoint;    /* path of the CSI socket as the kubelet sees it */
    struct log *log;         /* may be NULL */
};

/* The socket is there when this returns, so call it when the CSI socket is served. All strings are borrowed
 * and must outlive the result. NULL with err set as grpc_server_listen_unix(). */
struct registration *registration_start(uv_loop_t *loop, const struct registration_config *config,
                                        struct error **err);

/* Takes the socket away (the kubelet then forgets the driver) and frees everything in time; `done` runs once,
 * from the loop. */
void registration_stop(struct registration *registration, void (*done)(void *arg), void *arg);

#endif
