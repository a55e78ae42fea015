/*
 * provider_registry.c - finding providers by the name of their socket.
 */
#include "driver/provider/provider_registry.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/alloc.h"
#include "common/base/buffer.h"
#include "common/base/list.h"
#include "common/base/uninitialized.h"

enum { ENTRIES_SEEN_MAX = 256, NAMES_MAX_BYTES = 512 }; /* of a directory of sockets, for an error */

struct provider_registry {
    uv_loop_t *loop;
    struct log *log;
    char *directories[PROVIDER_DIRECTORIES_MAX];
    size_t n_directories;
    size_t max_response_bytes;
    struct list connections; /* current ones, at most one per provider name */
    struct list retired;     /* replaced, but still in use */
};

/* Which file a connection belongs to. ctime too: some file systems hand an inode number out again at once. */
struct socket_identity {
    dev_t dev;
    ino_t ino;
    struct timespec changed;
};

struct connection {
    struct list link;
    struct grpc_channel *channel;
    char *name;
    char *path;
    struct socket_identity identity;
    unsigned users; /* references */
    bool retired;
    bool returns_files; /* one of its responses had files */
};

struct provider_ref {
    struct connection *connection;
};

static void connection_free(struct connection *connection)
{
    assert(connection->users == 0);
    list_remove(&connection->link);
    grpc_channel_destroy(connection->channel);
    free(connection->name);
    free(connection->path);
    free(connection);
}

static int add_directory(struct provider_registry *registry, const char *directory, size_t len,
                         struct error **err)
{
    if (len == 0)
        return 0;
    if (registry->n_directories == PROVIDER_DIRECTORIES_MAX)
        return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "more than %d provider directories",
                         PROVIDER_DIRECTORIES_MAX);
    registry->directories[registry->n_directories] = strndup(directory, len);
    if (registry->directories[registry->n_directories] == NULL)
        return error_no_memory(err, NULL);
    registry->n_directories++;
    return 0;
}

static int add_directories(struct provider_registry *registry, const char *list, struct error **err)
{
    for (const char *at = list;;) {
        size_t len = strcspn(at, ",");
        size_t lead = strspn(at, " \t");
        size_t trimmed = len;

        lead = lead < len ? lead : len;
        while (trimmed > lead && (at[trimmed - 1] == ' ' || at[trimmed - 1] == '\t'))
            trimmed--;
        if (add_directory(registry, at + lead, trimmed - lead, err) < 0)
            return -1;
        if (at[len] == '\0')
            return 0;
        at += len + 1;
    }
}

struct provider_registry *
provider_registry_create(uv_loop_t *loop, const struct provider_registry_config *config, struct error **err)
{
    struct provider_registry *registry = alloc_zeroed(sizeof(*registry), err);

    if (registry == NULL)
        return NULL;
    registry->loop = loop;
    registry->log = config->log;
    registry->max_response_bytes = config->max_response_bytes;
    list_init(&registry->connections);
    list_init(&registry->retired);
    if (add_directories(registry, config->additional_directories, err) < 0 ||
        add_directory(registry, config->directory, strlen(config->directory), err) < 0) {
        provider_registry_destroy(registry);
        return NULL;
    }
    return registry;
}

void provider_registry_destroy(struct provider_registry *registry)
{
    if (registry == NULL)
        return;
    assert(list_empty(&registry->retired));
    while (!list_empty(&registry->connections))
        connection_free(container_of(registry->connections.next, struct connection, link));
    for (size_t i = 0; i < registry->n_directories; i++)
        free(registry->directories[i]);
    free(registry);
}

uv_loop_t *provider_registry_loop(const struct provider_registry *registry)
{
    return registry->loop;
}

static bool name_valid(const char *name)
{
    size_t len = strnlen(name, PROVIDER_NAME_MAX + 1);

    return len > 0 && len <= PROVIDER_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == len;
}

/* Another user that can write to the path must not pass for the provider. */
static int check_peer(uid_t peer_uid, pid_t peer_pid, uid_t socket_owner, void *arg, struct error **err)
{
    (void)arg;
    if (peer_uid == 0 || peer_uid == socket_owner)
        return 0;
    return error_set(err, GRPC_STATUS_PERMISSION_DENIED,
                     "the process %ld that listens runs as user %lu, but the socket belongs to user %lu",
                     (long)peer_pid, (unsigned long)peer_uid, (unsigned long)socket_owner);
}

static struct connection *connection_find(const struct provider_registry *registry, const char *name)
{
    for (struct list *link = registry->connections.next; link != &registry->connections; link = link->next) {
        struct connection *connection = container_of(link, struct connection, link);

        if (strcmp(connection->name, name) == 0)
            return connection;
    }
    return NULL;
}

static struct connection *connection_create(struct provider_registry *registry, const char *name,
                                            const char *path, const struct socket_identity *identity,
                                            struct error **err)
{
    struct connection *connection = alloc_zeroed(sizeof(*connection), err);

    if (connection == NULL)
        return NULL;
    list_init(&connection->link);
    connection->identity = *identity;
    connection->name = strdup(name);
    connection->path = strdup(path);
    if (connection->name == NULL || connection->path == NULL)
        (void)error_no_memory(err, NULL);
    else
        connection->channel = grpc_channel_create(
            registry->loop,
            &(struct grpc_channel_config){.log = registry->log,
                                          .unix_path = path,
                                          .max_response_bytes = registry->max_response_bytes,
                                          .connect_timeout_ms = PROVIDER_CONNECT_MS,
                                          .retry_unavailable_ms = PROVIDER_RETRY_MS,
                                          .peer_check = check_peer},
            err);
    if (connection->channel == NULL) {
        connection_free(connection);
        return NULL;
    }
    list_insert_before(&registry->connections, &connection->link);
    return connection;
}

static void connection_retire(struct provider_registry *registry, struct connection *connection)
{
    list_remove(&connection->link);
    connection->retired = true;
    if (connection->users == 0)
        connection_free(connection);
    else
        list_insert_before(&registry->retired, &connection->link);
}

/* The first socket in the list of directories. False when there is none. */
static bool look_up(const struct provider_registry *registry, const char *name, char *path, size_t path_size,
                    struct socket_identity *ret)
{
    for (size_t i = 0; i < registry->n_directories; i++) {
        int len = snprintf(path, path_size, "%s/%s.sock", registry->directories[i], name);
        struct stat st;

        if (len < 0 || (size_t)len >= path_size || stat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
            continue;
        *ret = (struct socket_identity){.dev = st.st_dev, .ino = st.st_ino, .changed = st.st_ctim};
        return true;
    }
    return false;
}

static bool same_socket(const struct connection *connection, const char *path,
                        const struct socket_identity *identity)
{
    return strcmp(connection->path, path) == 0 && connection->identity.dev == identity->dev &&
           connection->identity.ino == identity->ino &&
           connection->identity.changed.tv_sec == identity->changed.tv_sec &&
           connection->identity.changed.tv_nsec == identity->changed.tv_nsec;
}

static bool is_listed(const struct buffer *list, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = buffer_str(list); *at != '\0'; at += strspn(at, ", ")) {
        size_t word = strcspn(at, ",");
        if (word == len && strncmp(at, name, len) == 0)
            return true;
        at += word;
    }
    return false;
}

/* Adds the names of the sockets in a directory to the list, as many as fit. */
static void list_sockets(const char *directory, struct buffer *list)
{
    static const char suffix[] = ".sock";
    DIR *dir = opendir(directory);
    const struct dirent *entry;

    if (dir == NULL)
        return;
    for (int seen = 0; seen < ENTRIES_SEEN_MAX && (entry = readdir(dir)) != NULL; seen++) {
        struct stat st;
        char name[PROVIDER_NAME_MAX + 1];
        size_t len = strlen(entry->d_name), name_len = len - (sizeof(suffix) - 1);
        if (len < sizeof(suffix) || name_len > PROVIDER_NAME_MAX ||
            strcmp(entry->d_name + name_len, suffix) != 0 ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISSOCK(st.st_mode))
            continue;
        (void)snprintf(name, sizeof(name), "%.*s", (int)name_len, entry->d_name);
        if (name_valid(name) && !is_listed(list, name))
            (void)buffer_printf(list, /* err= */ NULL, "%s%s", list->len > 0 ? ", " : "", name);
    }
    (void)closedir(dir);
}

static int not_found(const struct provider_registry *registry, const char *name, struct error **err)
{
    cleanup_buffer struct buffer places = {0}, others = {0};

    buffer_init(&places, 1024);
    for (size_t i = 0; i < registry->n_directories; i++)
        (void)buffer_printf(&places, /* err= */ NULL, "%s%s", i == 0 ? "" : ", ", registry->directories[i]);
    (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                    "provider not found: provider \"%s\": no socket %s.sock in %s", name, name,
                    buffer_str(&places));
    buffer_init(&others, NAMES_MAX_BYTES);
    for (size_t i = 0; i < registry->n_directories; i++)
        list_sockets(registry->directories[i], &others);
    return others.len == 0 ? -1 : error_hint(err, "the providers on this node are %s", buffer_str(&others));
}

struct provider_ref *provider_registry_find(struct provider_registry *registry, const char *name,
                                            struct error **err)
{
    struct connection *connection;
    struct socket_identity identity;
    struct provider_ref *ref;
    UNINITIALIZED char path[PATH_MAX];

    if (!name_valid(name)) {
        (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT,
                        "invalid provider \"%s\": a name has 1 to %d letters, digits, '-' and '_'", name,
                        PROVIDER_NAME_MAX);
        return NULL;
    }
    connection = connection_find(registry, name);
    if (look_up(registry, name, path, sizeof(path), &identity)) {
        if (connection != NULL && !same_socket(connection, path, &identity)) {
            connection_retire(registry, connection);
            connection = NULL;
        }
        if (connection == NULL)
            connection = connection_create(registry, name, path, &identity, err);
        if (connection == NULL)
            return NULL;
    } else if (connection == NULL) {
        (void)not_found(registry, name, err);
        return NULL;
    }
    ref = alloc_zeroed(sizeof(*ref), err);
    if (ref == NULL)
        return NULL;
    ref->connection = connection;
    connection->users++;
    return ref;
}

struct grpc_channel *provider_ref_channel(const struct provider_ref *ref)
{
    return ref->connection->channel;
}

const char *provider_ref_path(const struct provider_ref *ref)
{
    return ref->connection->path;
}

bool provider_ref_returns_files(const struct provider_ref *ref)
{
    return ref->connection->returns_files;
}

bool provider_registry_returned_files(const struct provider_registry *registry, const char *name)
{
    const struct connection *connection = connection_find(registry, name);

    return connection != NULL && connection->returns_files;
}

void provider_ref_set_returns_files(struct provider_ref *ref, bool returns_files)
{
    ref->connection->returns_files = returns_files;
}

void provider_ref_release(struct provider_ref *ref)
{
    if (ref == NULL)
        return;
    ref->connection->users--;
    if (ref->connection->retired && ref->connection->users == 0)
        connection_free(ref->connection);
    free(ref);
}

void provider_registry_each(struct provider_registry *registry, void (*each)(const char *name, void *arg),
                            void *arg)
{
    struct list *next;

    for (struct list *link = registry->connections.next; link != &registry->connections; link = next) {
        char name[PROVIDER_NAME_MAX + 1];

        next = link->next;
        /* A copy: `each` may find the provider, which may replace this connection. */
        (void)snprintf(name, sizeof(name), "%s", container_of(link, struct connection, link)->name);
        each(name, arg);
    }
}
