/*
 * sandbox.c - puts the parts of the sandbox on, one after the other.
 */
#include "common/process/sandbox.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/cleanup.h"
#include "common/base/sanitized.h"
#include "common/process/capabilities.h"
#include "common/process/refused_calls.h"

/* In the order in which they are set: each takes away what the ones before need. */
enum part { PART_BOUNDING_SET, PART_CAPABILITIES, PART_NO_NEW_PRIVS, PART_LANDLOCK, PART_SECCOMP, N_PARTS };

static const char *const part_names[N_PARTS] = {"bounding_set", "capabilities", "no_new_privs", "landlock",
                                                "seccomp"};

static const char *const mode_names[] = {"off", "on", "kill"};

int sandbox_mode_parse(const char *text, enum sandbox_mode *ret_mode, struct error **err)
{
    for (size_t i = 0; i < ARRAY_SIZE(mode_names); i++) {
        if (strcmp(text, mode_names[i]) == 0) {
            *ret_mode = (enum sandbox_mode)i;
            return 0;
        }
    }
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "--sandbox %s is not one of on, kill, off", text);
}

static int forbid_new_privileges(struct error **err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
        return error_set_errno(err, GRPC_STATUS_PERMISSION_DENIED, errno, "forbid new privileges (prctl)");
    return 0;
}

int sandbox_create_loop(const char *mode, uv_loop_t *loop, enum sandbox_mode *ret_mode, struct error **err)
{
    if (sandbox_mode_parse(mode, ret_mode, err) < 0)
        return -1;
    if (*ret_mode != SANDBOX_OFF && forbid_new_privileges(NULL) == 0)
        (void)seccomp_forbid_io_uring(NULL);
    if (uv_loop_init(loop) != 0)
        return error_set(err, GRPC_STATUS_INTERNAL, "create the event loop");
    return 0;
}

static int set_part(enum part part, const struct sandbox_needs *needs, enum sandbox_mode mode,
                    struct error **err)
{
    switch (part) {
    case PART_BOUNDING_SET:
        return capabilities_bound(needs->capabilities, needs->n_capabilities, err);
    case PART_CAPABILITIES:
        return capabilities_keep(needs->capabilities, needs->n_capabilities, err);
    case PART_NO_NEW_PRIVS:
        return forbid_new_privileges(err);
    case PART_LANDLOCK:
        return landlock_enter(needs->landlock, err);
    case PART_SECCOMP:
        return seccomp_filter_load(&needs->calls,
                                   mode == SANDBOX_KILL ? SECCOMP_REFUSAL_KILL : SECCOMP_REFUSAL_SIGSYS, err);
    case N_PARTS:
        break;
    }
    return 0;
}

static bool is_wanted(enum part part, const struct sandbox_needs *needs, enum sandbox_mode mode)
{
    /* LeakSanitizer stops all threads from a process of its own, which no list of calls allows. */
    if (part == PART_SECCOMP && SANITIZED)
        return false;
    return mode != SANDBOX_OFF && (part != PART_LANDLOCK || needs->landlock != NULL);
}

/* --- what it became: log, metrics --- */

static const struct metric_desc active_desc = {
    .name = "sandbox_active",
    .help = "Whether this part of the process's sandbox is in effect",
    .type = METRIC_GAUGE,
    .labels = {"part"},
};

static const struct metric_desc ports_desc = {
    .name = "sandbox_landlock_version",
    .help = "Version of the kernel's Landlock: from 4 on it bounds TCP ports; 0 without Landlock",
    .type = METRIC_GAUGE,
};

static const struct metric_desc refused_desc = {
    .name = "sandbox_refused_calls_total",
    .help = "System calls that the process made and its own sandbox refused; each is a bug or an attack",
    .type = METRIC_COUNTER,
};

/* "seccomp: load the ...; landlock: ..." */
static void append_missing(char *text, size_t size, const char *part, const struct error *error)
{
    size_t len = strlen(text);

    (void)snprintf(text + len, size - len, "%s%s: %s", len > 0 ? "; " : "", part, error_message(error));
}

static void log_state(struct log *log, enum sandbox_mode mode, const bool active[N_PARTS],
                      const char *missing)
{
    const struct log_field fields[] = {
        LOG_STR("mode", mode_names[mode]),
        LOG_BOOL("capabilities", active[PART_CAPABILITIES]),
        LOG_BOOL("boundingSet", active[PART_BOUNDING_SET]),
        LOG_BOOL("noNewPrivs", active[PART_NO_NEW_PRIVS]),
        LOG_BOOL("landlock", active[PART_LANDLOCK]),
        LOG_BOOL("seccomp", active[PART_SECCOMP]),
        *missing != '\0' ? LOG_STR("missing", missing) : LOG_END,
        LOG_END,
    };

    if (*missing != '\0')
        log_write(log, LOG_LEVEL_WARNING, 0, __FILE__, __LINE__,
                  "the sandbox is incomplete, continuing without the parts that the system refuses", fields);
    else
        log_write(log, LOG_LEVEL_INFO, 0, __FILE__, __LINE__, "sandbox", fields);
}

int sandbox_enter(const struct sandbox_needs *needs, enum sandbox_mode mode, uv_loop_t *loop, struct log *log,
                  struct metrics *metrics, struct error **err)
{
    struct metric_family *family = metrics_register(metrics, &active_desc);
    struct metric_family *refused = metrics_register(metrics, &refused_desc);
    bool active[N_PARTS] = {false};
    char missing[1024] = "";

    if (needs->landlock != NULL)
        metric_set(metrics_register(metrics, &ports_desc), NULL, landlock_version());
    metric_add(refused, NULL, 0);
    if (mode == SANDBOX_ON && refused_calls_start(loop, log, refused, err) < 0)
        return -1;
    for (enum part part = 0; part < N_PARTS; part++) {
        cleanup_error struct error *error = NULL;

        active[part] = is_wanted(part, needs, mode) && set_part(part, needs, mode, &error) == 0;
        if (error != NULL)
            append_missing(missing, sizeof(missing), part_names[part], error);
        if (part != PART_LANDLOCK || needs->landlock != NULL)
            metric_set(family, (const char *const[]){part_names[part]}, active[part]);
    }
    log_state(log, mode, active, missing);
    return 0;
}

void sandbox_stop_watching(void)
{
    refused_calls_stop();
}

char *sandbox_describe(const char *mode, bool with_landlock, struct error **err)
{
    enum sandbox_mode parsed = SANDBOX_OFF;
    uint32_t action = SECCOMP_RET_TRAP;
    bool has_seccomp = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
    int landlock = with_landlock ? landlock_version() : 0;
    char number[16] = "";
    char *text = NULL;

    if (sandbox_mode_parse(mode, &parsed, err) < 0)
        return NULL;
    if (landlock > 0)
        (void)snprintf(number, sizeof(number), " %d", landlock);
    if (parsed == SANDBOX_OFF)
        text = strdup(mode);
    else if (asprintf(&text, "%s: capabilities, no_new_privs%s%s%s", mode, has_seccomp ? ", seccomp" : "",
                      landlock > 0 ? ", Landlock" : "", number) < 0)
        text = NULL;
    if (text == NULL)
        (void)error_no_memory(err, NULL);
    return text;
}
