/*
 * main.c - secrets-store-driver: its command line, and the loop that runs the objects of program.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/secret.h"
#include "common/base/secret_cache.h"
#include "common/http/client.h"
#include "common/process/start_pages.h"
#include "driver/program.h"
#include "driver/settings.h"
#include "driver/volume/mount_method.h"

#define PROGRAM "secrets-store-driver"

/* The last line of a start that fails gets so long to be read. */
enum { LOG_FLUSH_MS = 1000 };
/* Of small blocks that wait for the next calls: what eight calls use at a time. */
enum { BLOCKS_KEPT_BYTES = 64 * 1024 };

static void log_start(const struct program *program)
{
    struct mount_features kernel = mount_features_probe();

    log_info(program->log, "listening", LOG_STR("version", build_version()),
             LOG_STR("endpoint", program->settings.endpoint),
             LOG_STR("driver", program->settings.driver_name), LOG_STR("node", program->settings.node_id),
             LOG_STR("classes", program->classes.name), LOG_BOOL("rotation", program->settings.rotation),
             LOG_BOOL("detachedMounts", kernel.detached_mount), LOG_BOOL("noswap", kernel.noswap));
    if (!kernel.noswap)
        log_warning(
            program->log,
            "this kernel's tmpfs cannot be kept out of swap (needs Linux 6.4): encrypt swap or switch it off");
}

/* `word`: the first of the command line that is no flag; NULL = there is none. */
static int run(struct program *program, const char *word)
{
    cleanup_error struct error *error = NULL;

    program->log =
        log_create(STDERR_FILENO, program->settings.log_format_json ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT,
                   (int)program->settings.verbosity);
    if (program->settings.log_format_json)
        log_split(program->log, STDOUT_FILENO);
    if (word != NULL) /* `--flag false`: a boolean takes its value behind a '=' */
        log_warning(program->log, "not a flag: ignored with everything after it", LOG_STR("word", word));
    if (sandbox_create_loop(program->settings.sandbox, &program->loop, &program->sandbox, &error) < 0 ||
        program_start(program, &error) < 0) {
        log_error(program->log, "start failed", LOG_ERR(error));
        log_flush(program->log, LOG_FLUSH_MS);
        return 1; /* the process ends: nothing half-built is taken down piece by piece */
    }
    log_start(program);
    (void)start_pages_give_back();
    program_run(program);
    program_finish(program);
    log_destroy(program->log);
    return 0;
}

static int print_version(const struct settings *settings)
{
    cleanup_error struct error *error = NULL;
    cleanup_free char *sandbox = sandbox_describe(settings->sandbox, /* with_landlock= */ false, &error);

    if (sandbox == NULL) {
        (void)fprintf(stderr, PROGRAM ": %s\n", error_message(error));
        return 2;
    }
    (void)printf("{\"BuildVersion\":\"%s\",\"GitCommit\":\"%s\",\"BuildDate\":\"%s\",\"Sandbox\":\"%s\"}\n",
                 build_version(), build_commit(), build_date(), sandbox);
    return 0;
}

int main(int argc, char **argv)
{
    static struct program program;
    cleanup_error struct error *error = NULL;
    int rest = 0;

    secret_install_json_hooks();
    secret_cache_enable(BLOCKS_KEPT_BYTES);
    if (secret_forbid_core_dumps(&error) < 0 || http_library_init(&error) < 0) {
        (void)fprintf(stderr, PROGRAM ": %s\n", error_message(error));
        return 1;
    }
    /* Its requests pass no filter of system calls, and the driver has few files to wait for. */
    (void)setenv("UV_USE_IO_URING", "0", /* overwrite= */ 1);
    switch (options_parse(settings_rows, settings_n_rows, argc, argv, &program.settings, &rest, &error)) {
    case OPTIONS_HELP:
        options_usage(settings_rows, settings_n_rows, PROGRAM, stdout);
        return 0;
    case OPTIONS_ERROR:
        (void)fprintf(stderr, PROGRAM ": %s\nTry '" PROGRAM " --help'.\n", error_message(error));
        return 2;
    case OPTIONS_RUN:
        break;
    }
    if (program.settings.version)
        return print_version(&program.settings);
    return run(&program, rest < argc ? argv[rest] : NULL);
}
