/*
 * mount_request.h - Mount of a provider, as the driver calls it.
 */
#ifndef CTL_MOUNT_REQUEST_H
#define CTL_MOUNT_REQUEST_H

#include "common/base/error.h"
#include "common/base/string_map.h"
#include "ctl/call.h"
#include "ctl/command.h"

/* Sets what the kubelet says of a pod: --pod, --namespace, --pod-uid, --service-account, --token-file; and
 * every --attribute. */
int mount_request_add_pod(const struct ctl_options *options, struct string_map *attributes,
                          struct error **err);

/* Calls Mount at options->endpoint with --target and --permission. `secrets` is NULL without a
 * nodePublishSecretRef. On success the caller owns *ret_response, a V1alpha1__MountResponse. An error code in
 * the response is an error of the type CALL_FAILED with the code UNKNOWN. */
int mount_request_send(const struct ctl_options *options, const struct string_map *attributes,
                       const struct string_map *secrets, ProtobufCMessage **ret_response, struct error **err);

#endif
