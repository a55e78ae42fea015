/*
 * api.h - reads objects of the Kubernetes API, one after the other, with the caller's rights.
 */
#ifndef CTL_API_H
#define CTL_API_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "common/base/cleanup.h"
#include "common/base/error.h"
#include "ctl/command.h"

struct api;

/* Finds the configuration as the driver does: --kubeconfig, $KUBECONFIG, the pod's service account,
 * ~/.kube/config. NOT_FOUND when there is none. Sends no request. */
struct api *api_open(const struct ctl_options *options, struct error **err);

/* GETs an object, or only its metadata. The caller frees *ret with cJSON_Delete(). Codes of errors:
 * common/kube/kube_client.h. */
int api_get(struct api *api, const char *path, bool metadata_only, cJSON **ret, struct error **err);

/* Accepts NULL. */
void api_close(struct api *api);

static inline void cleanup_api_func(struct api **api)
{
    api_close(*api);
}
#define cleanup_api CLEANUP(cleanup_api_func)

#endif
