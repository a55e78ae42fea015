/*
 * class_kube.h - SecretProviderClasses from the Kubernetes API, one GET per lookup.
 *
 * No list and no watch: a node needs the classes of its own pods only, when they are mounted, and an edit is
 * seen at the next publish. Version v1 is requested first; when the server does not serve it, v1alpha1.
 */
#ifndef DRIVER_CLASS_CLASS_KUBE_H
#define DRIVER_CLASS_CLASS_KUBE_H

#include "common/base/error.h"
#include "common/kube/kube_client.h"
#include "driver/class/class_source.h"

/* `client` is borrowed and must outlive the source. */
int class_kube_create(struct kube_client *client, struct class_source *ret_source, struct error **err);

#endif
