/*
 * diagnose_objects.h - what objects of the Kubernetes API say about the chain to a pod. Pure.
 */
#ifndef CTL_DIAGNOSE_OBJECTS_H
#define CTL_DIAGNOSE_OBJECTS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "ctl/checks.h"

#define DIAGNOSE_TOKEN_WORKLOAD "api://AzureADTokenExchange"
#define DIAGNOSE_TOKEN_BINDING  "api://AKSIdentityBinding"

enum { DIAGNOSE_VOLUMES_MAX = 16 }; /* volumes of one pod that are examined */

/* One volume of a pod. Members live as long as the pod's object; "" is missing. */
struct pod_volume {
    const char *name;
    const char *class_name;
    const char *secret_name; /* of nodePublishSecretRef */
};

/* The check "pod": fills in the volumes of the driver `driver_name`, only that with the name `only` unless it
 * is "". Returns how many there are. */
size_t diagnose_pod(struct checks *checks, const cJSON *pod, const char *driver_name, const char *only,
                    struct pod_volume ret[DIAGNOSE_VOLUMES_MAX]);

/* The check "registered" by a CSIDriver object (NULL: there is none). */
void diagnose_csi_driver(struct checks *checks, const cJSON *csi_driver, const char *driver_name);

/* The check "registered" by the node's CSINode object. */
void diagnose_csi_node(struct checks *checks, const cJSON *csi_node, const char *driver_name);

/* The check "class". Returns the provider, or NULL if the class cannot be used. */
const char *diagnose_class(struct checks *checks, const cJSON *class);

/* The audience of the service account token that a class for Azure needs; NULL: none. */
const char *diagnose_audience(const cJSON *class);

/* Does a class for Azure need the Secret of nodePublishSecretRef (a service principal)? */
bool diagnose_needs_secret(const cJSON *class);

/* The check "token": does the kubelet send a token of this audience? Returns true if so. */
bool diagnose_token_request(struct checks *checks, const cJSON *csi_driver, const char *audience);

/* The check "status": a list of status objects. Returns true if there is one of the pod and the class. */
bool diagnose_status(struct checks *checks, const cJSON *list, const char *pod, const char *class_name);

/* The check "event": the newest Event of the list that reports a failure of a volume, if it has one of the
 * reasons, a list that ends with NULL. */
void diagnose_events(struct checks *checks, const cJSON *list, const char *const *reasons);

#endif
