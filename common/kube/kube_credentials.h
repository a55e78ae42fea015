/*
 * kube_credentials.h - the configuration of the Kubernetes API with its token and CA, which rotate: the files
 * are read again when they are older than a minute, and when the API server refuses them.
 */
#ifndef COMMON_KUBE_KUBE_CREDENTIALS_H
#define COMMON_KUBE_KUBE_CREDENTIALS_H

#include <stdbool.h>
#include <uv.h>

#include "common/base/log.h"
#include "common/http/client.h"
#include "common/kube/kube_rest_config.h"

struct kube_credentials;

/* Takes over the content of *config, also on failure, and reads the files. `log` is borrowed, may be NULL. */
struct kube_credentials *kube_credentials_create(uv_loop_t *loop, struct kube_rest_config *config,
                                                 struct log *log, struct error **err);

/* Wipes and frees. Accepts NULL. */
void kube_credentials_destroy(struct kube_credentials *credentials);

/* Reads the files again. A file that cannot be read is no failure while an older content is there. */
int kube_credentials_reload(struct kube_credentials *credentials, struct error **err);

/* Are there files, so that a reload can make a difference? */
bool kube_credentials_rotate(const struct kube_credentials *credentials);

/* "https://host[:port][/prefix]". Borrowed. */
const char *kube_credentials_server(const struct kube_credentials *credentials);

/* Fills in proxy, TLS and token of a request, reading the files again when they are old. What is filled in is
 * borrowed until the next reload. */
int kube_credentials_apply(struct kube_credentials *credentials, struct http_request *request,
                           struct error **err);

#endif
