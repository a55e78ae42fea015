/*
 * pods_mounts.c - do the driver's mounts reach the kubelet and the pods?
 */
#include "driver/kubelet/pods_mounts.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/alloc.h"
#include "common/process/loop_timer.h"
#include "driver/base/worker.h"
#include "driver/volume/mount_table.h"
#include "driver/volume/target_path.h"

enum finding { FINDING_UNKNOWN, FINDING_SHARED, FINDING_PRIVATE };

struct directory {
    char *path;           /* owned */
    enum finding finding; /* of the last check */
};

/* In and out of the worker. */
struct pods_mounts_job {
    size_t n;
    char *paths[PODS_MOUNTS_MAX]; /* borrowed: a directory is never taken out of the list */
    enum finding findings[PODS_MOUNTS_MAX];
    char points[PODS_MOUNTS_MAX][PATH_MAX]; /* the mount that is not shared */
};

struct pods_mounts {
    uv_loop_t *loop;
    struct log *log;
    struct loop_timer *timer;
    struct directory list[PODS_MOUNTS_MAX];
    size_t n;
    bool running; /* a check */
    bool destroyed;
    struct pods_mounts_job job;
};

/* --- worker --- */

static enum finding find(const struct mount_table *table, const char *path, char point[PATH_MAX])
{
    char real[PATH_MAX];
    if (realpath(path, real) == NULL)
        return FINDING_UNKNOWN; /* not there (yet) */
    const struct mount_info *mount = mount_table_containing(table, real);
    if (mount == NULL)
        return FINDING_UNKNOWN;
    (void)snprintf(point, PATH_MAX, "%s", mount->point);
    return mount->shared ? FINDING_SHARED : FINDING_PRIVATE;
}

static void run_check(void *arg)
{
    struct pods_mounts_job *job = &((struct pods_mounts *)arg)->job;
    cleanup_mount_table struct mount_table table = {0};

    if (mount_table_read(&table, /* err= */ NULL) < 0)
        return; /* nothing is known, the next check follows */
    for (size_t i = 0; i < job->n; i++)
        job->findings[i] = find(&table, job->paths[i], job->points[i]);
}

/* --- loop --- */

static void dispose(struct pods_mounts *pods)
{
    for (size_t i = 0; i < pods->n; i++)
        free(pods->list[i].path);
    free(pods);
}

static void report(const struct pods_mounts *pods, const struct directory *directory, enum finding before,
                   const char *point)
{
    if (directory->finding == FINDING_PRIVATE && before != FINDING_PRIVATE)
        log_error(
            pods->log,
            "mounts do not reach the pods, which see empty volumes: the kubelet's directory of pods is not on a shared mount",
            LOG_STR("directory", directory->path), LOG_STR("mount", point),
            LOG_STR(
                "fix",
                "set 'mountPropagation: Bidirectional' in the volumeMounts of the driver's DaemonSet for this "
                "directory; if it is set, run 'mount --make-rshared' on the mount that holds it on the node"));
    else if (directory->finding == FINDING_SHARED && before == FINDING_PRIVATE)
        log_info(pods->log, "mounts reach the pods again: pods that have started meanwhile must be replaced",
                 LOG_STR("directory", directory->path));
}

static void check(void *arg);

static void check_done(void *arg)
{
    struct pods_mounts *pods = arg;

    pods->running = false;
    if (pods->destroyed) {
        dispose(pods);
        return;
    }
    for (size_t i = 0; i < pods->job.n; i++) {
        enum finding before = pods->list[i].finding;

        if (pods->job.findings[i] == FINDING_UNKNOWN)
            continue;
        pods->list[i].finding = pods->job.findings[i];
        report(pods, &pods->list[i], before, pods->job.points[i]);
    }
    if (pods->n > pods->job.n) /* one has been added meanwhile */
        check(pods);
}

static void check(void *arg)
{
    struct pods_mounts *pods = arg;

    if (pods->running)
        return;
    pods->job.n = pods->n;
    for (size_t i = 0; i < pods->n; i++) {
        pods->job.paths[i] = pods->list[i].path;
        pods->job.findings[i] = FINDING_UNKNOWN;
    }
    pods->running = worker_start(pods->loop, run_check, check_done, pods, /* err= */ NULL) == 0;
}

static void add(struct pods_mounts *pods, const char *path, size_t len)
{
    for (size_t i = 0; i < pods->n; i++)
        if (strlen(pods->list[i].path) == len && memcmp(pods->list[i].path, path, len) == 0)
            return;
    char *copy = pods->n < PODS_MOUNTS_MAX ? strndup(path, len) : NULL;
    if (copy == NULL)
        return;
    pods->list[pods->n++] = (struct directory){.path = copy};
    check(pods);
}

void pods_mounts_seen(struct pods_mounts *pods, const char *target_path)
{
    struct target_path target;

    if (pods != NULL && target_path_parse(target_path, &target))
        add(pods, target_path, target.pods_len);
}

int pods_mounts_check(const struct pods_mounts *pods, struct error **err)
{
    for (size_t i = 0; pods != NULL && i < pods->n; i++)
        if (pods->list[i].finding == FINDING_PRIVATE)
            return error_set(err, GRPC_STATUS_FAILED_PRECONDITION,
                             "mounts in '%s' do not reach the pods: it is not on a shared mount "
                             "(mountPropagation: Bidirectional)",
                             pods->list[i].path);
    return 0;
}

/* --- start --- */

/* What a service of the node mounts is visible to the kubelet. /proc/1 is this process in most containers. */
static bool is_in_namespace_of_node(void)
{
    struct stat own, first;

    return getpid() != 1 && stat("/proc/self/ns/mnt", &own) == 0 && stat("/proc/1/ns/mnt", &first) == 0 &&
           own.st_dev == first.st_dev && own.st_ino == first.st_ino;
}

/* Length of the kubelet's root directory in <root>/plugins/<...>; 0 when it has another form. */
static size_t root_len(const char *registration_path)
{
    static const char plugins[] = "/plugins/";
    size_t found = 0;

    for (const char *at = strstr(registration_path, plugins); at != NULL; at = strstr(at + 1, plugins))
        found = (size_t)(at - registration_path);
    return found;
}

int pods_mounts_create(const struct pods_mounts_config *config, struct pods_mounts **ret, struct error **err)
{
    size_t len = root_len(config->registration_path);
    struct pods_mounts *pods;
    char path[PATH_MAX];

    *ret = NULL;
    if (len == 0 || len >= sizeof(path) - sizeof("/pods") || is_in_namespace_of_node())
        return 0;
    pods = alloc_zeroed(sizeof(*pods), err);
    if (pods == NULL)
        return -1;
    pods->loop = config->loop;
    pods->log = config->log;
    pods->timer = loop_timer_create(config->loop, check, pods, err);
    if (pods->timer == NULL) {
        free(pods);
        return -1;
    }
    loop_timer_repeat(pods->timer, config->interval_ms != 0 ? config->interval_ms : PODS_MOUNTS_INTERVAL_MS);
    (void)snprintf(path, sizeof(path), "%.*s/pods", (int)len, config->registration_path);
    add(pods, path, strlen(path));
    *ret = pods;
    return 0;
}

void pods_mounts_destroy(struct pods_mounts *pods)
{
    if (pods == NULL)
        return;
    loop_timer_destroy(steal_ptr(&pods->timer));
    if (pods->running)
        pods->destroyed = true;
    else
        dispose(pods);
}
