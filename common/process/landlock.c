/*
 * landlock.c - by the system calls themselves: no C library has functions for them.
 */
#include "common/process/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/cleanup.h"

/* linux/landlock.h of a builder may be older than the kernel that runs the program. These are its values. */
enum { NR_CREATE_RULESET = 444, NR_ADD_RULE = 445, NR_RESTRICT_SELF = 446 };
enum { CREATE_RULESET_VERSION = 1, RULE_PATH_BENEATH = 1, RULE_NET_PORT = 2 };

#define FS_READ_FILE    (UINT64_C(1) << 2)
#define FS_READ_DIR     (UINT64_C(1) << 3)
#define FS_REMOVE_FILE  (UINT64_C(1) << 5)
#define FS_MAKE_SOCK    (UINT64_C(1) << 9)
#define NET_BIND_TCP    (UINT64_C(1) << 0)
#define NET_CONNECT_TCP (UINT64_C(1) << 1)
/* abstract Unix sockets and signals of other processes */
#define SCOPES (UINT64_C(3))

struct ruleset {
    uint64_t fs;
    uint64_t net;
    uint64_t scoped;
};

struct beneath {
    uint64_t allowed;
    int32_t fd;
} __attribute__((packed));

struct net_port {
    uint64_t allowed;
    uint64_t port;
};

int landlock_version(void)
{
    long version = syscall(NR_CREATE_RULESET, NULL, 0, CREATE_RULESET_VERSION);

    return version < 0 ? 0 : (int)version;
}

/* All that a version knows: what is handled and not allowed by a rule is refused. */
static struct ruleset handled_by(int version, const struct landlock_rules *rules)
{
    /* The number of file rights of each version: refer came with 2, truncate with 3, ioctl with 5. */
    unsigned rights = version >= 5 ? 16 : version >= 3 ? 15 : version == 2 ? 14 : 13;
    struct ruleset handled = {.fs = (UINT64_C(1) << rights) - 1};

    if (landlock_bounds_ports(version))
        handled.net = NET_BIND_TCP | (rules->connect_ports != NULL ? NET_CONNECT_TCP : 0);
    if (version >= 6)
        handled.scoped = SCOPES;
    return handled;
}

static uint64_t rights_of(const struct landlock_path *path, int fd)
{
    struct stat st;

    if (fstat(fd, &st) == -1 || !S_ISDIR(st.st_mode))
        return FS_READ_FILE;
    if (path->use == LANDLOCK_LIST)
        return FS_READ_DIR;
    return FS_READ_FILE | FS_READ_DIR | (path->use == LANDLOCK_SOCKETS ? FS_MAKE_SOCK | FS_REMOVE_FILE : 0);
}

static int add_path(int ruleset, const struct landlock_path *path, struct error **err)
{
    struct beneath rule;
    cleanup_close int fd = -1;

    if (path->path == NULL || *path->path == '\0')
        return 0;
    fd = open(path->path, O_PATH | O_CLOEXEC);
    if (fd == -1)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES
                   ? 0 /* nothing that could be reached later */
                   : error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "open %s", path->path);
    rule = (struct beneath){.allowed = rights_of(path, fd), .fd = fd};
    if (syscall(NR_ADD_RULE, ruleset, RULE_PATH_BENEATH, &rule, 0) == -1)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "Landlock rule for %s", path->path);
    return 0;
}

static int add_ports(int ruleset, uint64_t right, const uint16_t *ports, size_t n, struct error **err)
{
    for (size_t i = 0; i < n; i++) {
        struct net_port rule = {.allowed = right, .port = ports[i]};

        if (syscall(NR_ADD_RULE, ruleset, RULE_NET_PORT, &rule, 0) == -1)
            return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "Landlock rule for port %u", ports[i]);
    }
    return 0;
}

static int add_rules(int ruleset, const struct ruleset *handled, const struct landlock_rules *rules,
                     struct error **err)
{
    for (size_t i = 0; i < rules->n_paths; i++) {
        if (add_path(ruleset, &rules->paths[i], err) < 0)
            return -1;
    }
    if (handled->net == 0)
        return 0;
    if (add_ports(ruleset, NET_BIND_TCP, rules->bind_ports, rules->n_bind_ports, err) < 0)
        return -1;
    return rules->connect_ports == NULL
               ? 0
               : add_ports(ruleset, NET_CONNECT_TCP, rules->connect_ports, rules->n_connect_ports, err);
}

int landlock_enter(const struct landlock_rules *rules, struct error **err)
{
    int version = landlock_version();
    struct ruleset handled = handled_by(version, rules);
    /* Older kernels refuse a larger struct unless the rest is zero, which it is. */
    cleanup_close int ruleset = -1;

    if (version == 0)
        return error_set(err, GRPC_STATUS_UNIMPLEMENTED, "this kernel has no Landlock, or it is off");
    ruleset = (int)syscall(NR_CREATE_RULESET, &handled, sizeof(handled), 0);
    if (ruleset == -1)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "create a Landlock ruleset");
    if (add_rules(ruleset, &handled, rules, err) < 0)
        return -1;
    if (syscall(NR_RESTRICT_SELF, ruleset, 0) == -1)
        return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "enter the Landlock ruleset");
    return 0;
}
