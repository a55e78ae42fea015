/*
 * mount_request.h - the request of one Mount call as typed values, checked completely before any network
 * traffic.
 *
 * This is the one place where the provider reads attributes by their names.
 */
#ifndef PROVIDER_AZURE_MOUNT_REQUEST_H
#define PROVIDER_AZURE_MOUNT_REQUEST_H

#include "common/base/log.h"
#include "common/base/string_map.h"
#include "common/crypto/digest.h"
#include "common/lint/class_reports.h"
#include "common/lint/findings.h"
#include "common/process/byte_budget.h"
#include "provider-azure/class_report.h"
#include "provider-azure/cloud/cloud.h"
#include "provider-azure/identity/identity.h"
#include "provider-azure/objects/parsed_objects.h"
#include "provider-azure/vault/vault_set.h"

/* Attributes that name the pod; the driver adds them to the parameters of the class. */
#define ATTRIBUTE_POD_NAME      "csi.storage.k8s.io/pod.name"
#define ATTRIBUTE_POD_NAMESPACE "csi.storage.k8s.io/pod.namespace"

/* A Mount call as it arrives. Borrowed. */
struct mount_input {
    const struct string_map *attributes;
    const struct string_map *secrets; /* NULL: none given */
    mode_t permission;
    const char *target_path; /* part of what names the volume; may be NULL */
    bool republish;          /* the volume has content already */
    uint64_t time_left_ms;   /* UINT64_MAX: no deadline */
    bool lint;               /* nothing is mounted: mistakes are findings, and reading goes on behind them */
    /* For what the mount reads; holds nothing yet. Borrowed until the end of the mount, which leaves its
     * bytes reserved when it succeeds. NULL: nothing is reserved. */
    struct byte_reservation *bytes;
};

/* Given by the command line and the environment, for all mounts. Borrowed. */
struct request_defaults {
    const struct cloud *cloud;     /* for a mount without cloudName */
    const char *custom_cloud_path; /* $AZURE_ENVIRONMENT_FILEPATH as it was at start, or NULL */
    struct identity_endpoints endpoints;
    struct egress_choices egress;
    uint64_t serve_stale_max_age_ms;     /* 0: outage mode is off */
    struct log *log;                     /* may be NULL */
    struct class_reports *reports;       /* classes whose findings were logged; NULL: none are logged */
    struct parsed_objects_cache *parsed; /* NULL: each mount parses its objects */
};

struct mount_request {
    uint8_t volume[DIGEST_SHA256_LEN];                /* names the volume: served_volumes.h */
    struct parsed_objects *parsed;                    /* holds `objects` */
    struct object_list objects;                       /* a view: not to be changed or freed */
    struct vault_set vaults;                          /* empty when there are no objects */
    struct vault_order *orders;                       /* of each object */
    struct identity *identities[VAULT_AUDIENCES_MAX]; /* one for each audience of the vaults */
    uint64_t stale_max_age_ms;                        /* see struct vault_freshness; at most the default */
    char *hint;                   /* for errors: a parameter that is probably misspelled; may be NULL */
    struct findings findings;     /* what is probably not meant */
    struct class_report report;   /* of these */
    struct error *without_secret; /* for lint: of a mount without nodePublishSecretRef; NULL: it needs none */
};

/* Reads the attributes and checks them in the order, and with the messages, that users know (specification
 * 2.3), without the prefix "failed to mount objects, error: ". INVALID_ARGUMENT, UNIMPLEMENTED. For lint these
 * are findings, the request has the items without mistakes, and nothing but lack of memory is an error. */
int mount_request_parse(const struct mount_input *input, const struct request_defaults *defaults,
                        struct mount_request *ret_request, struct error **err);

/* Frees the values and drops the references to the identities. */
void mount_request_finish(struct mount_request *request);

#endif
