/*
 * request.h - what one Mount call asks for, read from the attributes and checked completely before any
 * network traffic.
 */
#ifndef PROVIDER_AZURE_MOUNT_REQUEST_H
#define PROVIDER_AZURE_MOUNT_REQUEST_H

#include "common/base/log.h"
#include "common/base/string_map.h"
#include "provider-azure/cloud/cloud.h"
#include "provider-azure/identity/identity.h"
#include "provider-azure/objects/objects.h"
#include "provider-azure/vault/vault.h"

/* What the command line and the environment give for all mounts. Borrowed. */
struct request_defaults {
    const struct cloud *cloud;     /* for a mount without cloudName */
    const char *custom_cloud_path; /* $AZURE_ENVIRONMENT_FILEPATH as it was at start, or NULL */
    struct identity_endpoints endpoints;
    const char *ca_dir; /* --class-ca-dir; NULL or "" = none */
    struct log *log;    /* may be NULL */
};

struct mount_request {
    char *pod_name;
    char *pod_namespace;
    struct vault vault;
    struct object_list objects;
    struct identity *identity; /* NULL when there are no objects */
};

/* Checks in the order, and with the messages, users know (specification 2.3), without the prefix "failed to
 * mount objects, error: ". `secrets` is NULL when no Secret was given. INVALID_ARGUMENT, UNIMPLEMENTED. */
int mount_request_parse(const struct string_map *attributes, const struct string_map *secrets,
                        mode_t permission, const struct request_defaults *defaults,
                        struct mount_request *ret_request, struct error **err);
void mount_request_finish(struct mount_request *request);

/* Go's strconv.ParseBool, after trimming; empty is false. The message names the parameter. */
int request_parse_bool(const char *name, const char *text, bool *ret, struct error **err);

#endif
