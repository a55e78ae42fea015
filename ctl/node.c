/*
 * node.c - where a node has its directories and the sockets of drivers and providers.
 */
#include "ctl/node.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buffer.h"

#define DRIVER_SOCKET                                                                                        \
    "plugins/csi-secrets-store/csi.sock" /* of the manifests and charts, ours and upstream's */

static const char *const kubelet_dirs[] = {"/var/lib/kubelet", "/var/lib/k0s/kubelet",
                                           "/var/snap/microk8s/common/var/lib/kubelet"};
static const char PACKAGED_DRIVER[] = "/run/secrets-store/csi.sock"; /* release/systemd */

/* /var/run is a link to /run, which leads out of --host-root if it is absolute. */
static const char *const provider_dirs[] = {
    "/etc/kubernetes/secrets-store-csi-providers", "/run/secrets-store-csi-providers",
    "/var/run/secrets-store-csi-providers", "/run/secrets-store-providers"};

enum { PLACES_MAX = 4096 }; /* bytes of a list of paths in an error */

struct search {
    const struct ctl_options *options;
    char *found; /* borrowed, PATH_MAX bytes */
    dev_t device;
    ino_t inode; /* of `found` */
    size_t n_found;
    struct buffer sockets; /* all that were found, for an error */
    struct buffer places;  /* where it looked, for an error */
};

int node_path(const struct ctl_options *options, const char *path, char ret_path[PATH_MAX],
              struct error **err)
{
    const char *root = options->host_root != NULL ? options->host_root : "";
    int len = snprintf(ret_path, PATH_MAX, "%s%s", root, path);

    if (len < 0 || len >= PATH_MAX)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "'%.64s...' below --host-root is too long", path);
    return 0;
}

static int append(struct buffer *list, const char *path, struct error **err)
{
    return buffer_printf(list, err, "%s%s", list->len > 0 ? ", " : "", path);
}

/* One socket under two names counts once. */
static int take_socket(struct search *search, const char *path, struct error **err)
{
    struct stat info;

    if (stat(path, &info) < 0 || !S_ISSOCK(info.st_mode) ||
        (search->n_found > 0 && info.st_dev == search->device && info.st_ino == search->inode))
        return 0;
    if (search->n_found++ == 0) {
        (void)snprintf(search->found, PATH_MAX, "%s", path);
        search->device = info.st_dev;
        search->inode = info.st_ino;
    }
    return append(&search->sockets, path, err);
}

static int look_at(struct search *search, const char *directory, const char *file, struct error **err)
{
    char inside[PATH_MAX];
    char path[PATH_MAX];
    int len = snprintf(inside, sizeof(inside), "%s%s%s", directory, *file != '\0' ? "/" : "", file);

    if (len < 0 || (size_t)len >= sizeof(inside))
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "the directory '%.64s...' is too long",
                         directory);
    if (node_path(search->options, inside, path, err) < 0 || append(&search->places, path, err) < 0)
        return -1;
    return take_socket(search, path, err);
}

static bool is_socket_name(const char *name)
{
    size_t len = strlen(name);

    return name[0] != '.' && len > strlen(".sock") && strcmp(name + len - strlen(".sock"), ".sock") == 0;
}

static int look_into(struct search *search, const char *directory, struct error **err)
{
    char path[PATH_MAX];
    struct dirent *entry;

    if (node_path(search->options, directory, path, err) < 0 || append(&search->places, path, err) < 0)
        return -1;
    cleanup_dir DIR *dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char socket[PATH_MAX];
        int len = snprintf(socket, sizeof(socket), "%s/%s", path, entry->d_name);

        if (is_socket_name(entry->d_name) && len > 0 && (size_t)len < sizeof(socket) &&
            take_socket(search, socket, err) < 0)
            return -1;
    }
    return 0;
}

static int conclude(const struct search *search, const char *what, struct error **err)
{
    if (search->n_found == 1)
        return 0;
    if (search->n_found == 0)
        return error_set(err, GRPC_STATUS_NOT_FOUND, "no socket of %s here, name it with --endpoint: %s",
                         what, buffer_str(&search->places));
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                     "several sockets of %s, select one with --endpoint: %s", what,
                     buffer_str(&search->sockets));
}

static void search_init(struct search *search, const struct ctl_options *options)
{
    *search = (struct search){.options = options};
    buffer_init(&search->sockets, PLACES_MAX);
    buffer_init(&search->places, PLACES_MAX);
}

static void search_finish(struct search *search)
{
    buffer_finish(&search->sockets);
    buffer_finish(&search->places);
}

static bool is_given(const char *text)
{
    return text != NULL && *text != '\0';
}

int node_find_driver(const struct ctl_options *options, char ret_path[PATH_MAX], struct error **err)
{
    CLEANUP(search_finish) struct search search;

    search_init(&search, options);
    search.found = ret_path;
    if (is_given(options->kubelet_dir)) {
        if (look_at(&search, options->kubelet_dir, DRIVER_SOCKET, err) < 0)
            return -1;
    } else {
        for (size_t i = 0; i < ARRAY_SIZE(kubelet_dirs); i++)
            if (look_at(&search, kubelet_dirs[i], DRIVER_SOCKET, err) < 0)
                return -1;
    }
    if (look_at(&search, PACKAGED_DRIVER, "", err) < 0)
        return -1;
    return conclude(&search, "a CSI driver", err);
}

int node_find_provider(const struct ctl_options *options, const char *name, char ret_path[PATH_MAX],
                       struct error **err)
{
    CLEANUP(search_finish) struct search search;
    const char *const *directories = provider_dirs;
    size_t n = ARRAY_SIZE(provider_dirs);
    char file[NAME_MAX + 1];

    search_init(&search, options);
    search.found = ret_path;
    if (is_given(options->providers_dir)) {
        directories = &options->providers_dir;
        n = 1;
    }
    (void)snprintf(file, sizeof(file), "%s.sock", name);
    for (size_t i = 0; i < n; i++) {
        int result = *name != '\0' ? look_at(&search, directories[i], file, err)
                                   : look_into(&search, directories[i], err);
        if (result < 0)
            return -1;
    }
    return conclude(&search, "a provider", err);
}

bool node_is_here(const struct ctl_options *options)
{
    char path[PATH_MAX];
    struct stat info;

    return is_given(options->kubelet_dir) &&
           node_path(options, options->kubelet_dir, path, /* err= */ NULL) == 0 && stat(path, &info) == 0 &&
           S_ISDIR(info.st_mode);
}
