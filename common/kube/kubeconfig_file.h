/*
 * kubeconfig_file.h - the subset of kubeconfig files that a daemon needs.
 *
 * Understood are: current-context; contexts' cluster, user, namespace; clusters' server,
 * certificate-authority[-data], tls-server-name, insecure-skip-tls-verify, proxy-url; users' token,
 * tokenFile, client-certificate[-data], client-key[-data]. Refused by name: exec, auth-provider, passwords
 * and impersonation.
 *
 * Files are merged as kubectl does it: for each name the first file that defines it wins, and file names
 * inside are relative to the file they stand in.
 */
#ifndef COMMON_KUBE_KUBECONFIG_FILE_H
#define COMMON_KUBE_KUBECONFIG_FILE_H

#include <stddef.h>

#include "common/kube/kube_rest_config.h"

enum {
    KUBECONFIG_MAX = 1024 * 1024, /* bytes of a kubeconfig file */
    KUBECONFIG_FILES_MAX = 16,    /* files in $KUBECONFIG */
};

struct kubeconfig_text {
    const char *path; /* named in errors, and the base of relative file names inside */
    const char *text;
    size_t len;
};

/* The current context of one or several merged files. Files named inside are not opened unless they hold a
 * client certificate or key. INVALID_ARGUMENT for what is wrong or not supported. */
int kubeconfig_parse(const struct kubeconfig_text *texts, size_t n, struct kube_rest_config *ret,
                     struct error **err);

#endif
