/*
 * memory_lock.c - all memory, or that of secrets.
 */
#include "common/process/memory_lock.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "common/base/sanitized.h"
#include "common/base/secret_arena.h"
#include "common/base/secret_cache.h"
#include "common/crypto/tls_memory.h"
#include "common/process/capabilities.h"

#ifndef MCL_ONFAULT
#define MCL_ONFAULT 4 /* Linux 4.4; musl lacks it */
#endif

static const char *const names[] = {"none", "secrets", "all"};

/* The limit after it has been raised as far as possible. */
static rlim_t raise_limit(void)
{
    struct rlimit limit = {0};

    if (getrlimit(RLIMIT_MEMLOCK, &limit) == -1)
        return 0;
    if (limit.rlim_max != RLIM_INFINITY) { /* needs CAP_SYS_RESOURCE */
        const struct rlimit none = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};

        if (setrlimit(RLIMIT_MEMLOCK, &none) == 0)
            return RLIM_INFINITY;
    }
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_MEMLOCK, &limit) == 0 ? limit.rlim_max : 0;
}

static int lock_all(struct error **err)
{
    if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == -1)
        return error_set_errno(err, GRPC_STATUS_RESOURCE_EXHAUSTED, errno, "lock all memory (mlockall)");
    return 0;
}

static int make_arena(size_t bytes, enum secret_arena_rest rest, struct error **err)
{
    if (secret_arena_create(bytes, rest, err) == 0)
        return -1;
    secret_cache_trim(); /* blocks from before do not belong to it */
    tls_memory_use_arena();
    return 0;
}

static enum memory_lock lock(enum memory_lock_rights rights, struct error **err)
{
    rlim_t limit;

    if (SANITIZED)
        return MEMORY_LOCK_NONE;
    limit = raise_limit();
    if (limit != RLIM_INFINITY && (rights != MEMORY_LOCK_RIGHTS_KEPT || !capabilities_have(CAP_IPC_LOCK)))
        return make_arena((size_t)limit, SECRET_ARENA_REST_NOT_LOCKED, err) == 0 ? MEMORY_LOCK_SECRETS
                                                                                 : MEMORY_LOCK_NONE;
    if (lock_all(err) < 0)
        return MEMORY_LOCK_NONE;
    (void)make_arena(SECRET_ARENA_BYTES_MAX, SECRET_ARENA_REST_LOCKED, /* err= */ NULL); /* for speed only */
    return MEMORY_LOCK_ALL;
}

static const struct metric_desc locked_desc = {
    .name = "memory_locked",
    .help = "Whether this memory of the process is kept out of swap: all of it, or that of secrets",
    .type = METRIC_GAUGE,
    .labels = {"scope"},
};

enum memory_lock memory_lock_enter(enum memory_lock_rights rights, struct log *log, struct metrics *metrics)
{
    cleanup_error struct error *error = NULL;
    enum memory_lock state = lock(rights, &error);
    struct metric_family *family = metrics_register(metrics, &locked_desc);

    for (int scope = MEMORY_LOCK_SECRETS; scope <= MEMORY_LOCK_ALL; scope++)
        metric_set(family, (const char *const[]){names[scope]}, (int)state >= scope);
    metrics_add_secret_memory(metrics);
    if (state != MEMORY_LOCK_NONE || SANITIZED)
        log_info(log, "memory is locked", LOG_STR("scope", names[state]));
    else
        log_warning(log, "no memory can be locked, secrets may reach the swap: encrypt swap or switch it off",
                    LOG_ERR(error));
    return state;
}
