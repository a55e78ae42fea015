/*
 * kube_config_load.c - which source of configuration applies.
 */
#include "common/kube/kube_config_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/kube/kubeconfig_file.h"

static int join(const char *dir, const char *file, char **ret, struct error **err)
{
    return asprintf(ret, "%s/%s", dir, file) < 0 ? error_no_memory(err, NULL) : 0;
}

/* --- kubeconfig files --- */

struct files {
    struct buffer bytes[KUBECONFIG_FILES_MAX];
    char *paths[KUBECONFIG_FILES_MAX];
    struct kubeconfig_text texts[KUBECONFIG_FILES_MAX];
    size_t n;
};

static void files_finish(struct files *files)
{
    for (size_t i = 0; i < files->n; i++) {
        buffer_finish(&files->bytes[i]);
        free(files->paths[i]);
    }
}

static int add_file(struct files *files, const char *path, size_t path_len, struct error **err)
{
    struct buffer *bytes = &files->bytes[files->n];
    char *copy;

    if (files->n == KUBECONFIG_FILES_MAX)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "KUBECONFIG names more than %d files",
                         KUBECONFIG_FILES_MAX);
    copy = strndup(path, path_len);
    if (copy == NULL)
        return error_no_memory(err, NULL);
    if (file_read(copy, KUBECONFIG_MAX, bytes, err) < 0) {
        buffer_finish(bytes);
        free(copy);
        return -1;
    }
    files->paths[files->n] = copy;
    files->texts[files->n] =
        (struct kubeconfig_text){.path = copy, .text = buffer_str(bytes), .len = bytes->len};
    files->n++;
    return 0;
}

/* One file that must exist. */
static int load_file(const char *path, struct kube_rest_config *ret, struct error **err)
{
    struct files files = {0};
    int result = add_file(&files, path, strlen(path), err);

    if (result == 0)
        result = kubeconfig_parse(files.texts, files.n, ret, err);
    files_finish(&files);
    return result;
}

/* $KUBECONFIG: missing files of the list are passed over, as kubectl does. */
static int load_list(const char *list, struct kube_rest_config *ret, struct error **err)
{
    struct files files = {0};
    int result = 0;

    for (const char *at = list; result == 0 && *at != '\0';) {
        size_t len = strcspn(at, ":");
        struct error *error = NULL;

        if (len > 0 && add_file(&files, at, len, &error) < 0) {
            if (error_code(error) == GRPC_STATUS_NOT_FOUND)
                error_free(error);
            else
                result = error_move(err, &error);
        }
        at += len + (at[len] == ':' ? 1 : 0);
    }
    if (result == 0 && files.n == 0)
        result = error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "no file of KUBECONFIG '%s' exists", list);
    if (result == 0)
        result = kubeconfig_parse(files.texts, files.n, ret, err);
    files_finish(&files);
    return result;
}

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

int kube_config_load(const struct kube_environment *environment, struct kube_rest_config *ret,
                     struct error **err)
{
    cleanup_free char *home_config = NULL;

    if (given(environment->kubeconfig)) {
        if (load_file(environment->kubeconfig, ret, err) < 0) {
            (void)error_recode(
                err, GRPC_STATUS_FAILED_PRECONDITION); /* "none there" is no option for a named file */
            return error_wrap(err, "--kubeconfig");
        }
        return 0;
    }
    if (given(environment->kubeconfig_env))
        return load_list(environment->kubeconfig_env, ret, err);
    if (given(environment->service_host) && given(environment->service_port))
        return kube_rest_config_in_cluster(environment->service_host, environment->service_port,
                                           environment->service_account_dir, ret, err);
    if (given(environment->home)) {
        if (join(environment->home, ".kube/config", &home_config, err) < 0)
            return -1;
        if (access(home_config, F_OK) == 0) {
            if (load_file(home_config, ret, err) < 0)
                return error_recode(err, GRPC_STATUS_FAILED_PRECONDITION);
            return 0;
        }
    }
    return error_set(
        err, GRPC_STATUS_NOT_FOUND,
        "no Kubernetes configuration: no --kubeconfig, no KUBECONFIG, not in a pod, no ~/.kube/config");
}
