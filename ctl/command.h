/*
 * command.h - the commands of secrets-store-ctl and what they share: flags, exit statuses.
 */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/process/options.h"
#include "ctl/arguments.h"

/* Exit statuses. A failed call exits with EXIT_RPC + its gRPC status number, for example 105: NOT_FOUND. */
enum { EXIT_OK = 0, EXIT_LOCAL = 1, EXIT_USAGE = 2, EXIT_FOUND = 3, EXIT_RPC = 100 };

/* The type (error_type()) of the error of a diagnosis that found something wrong. */
#define SOMETHING_WRONG "SomethingWrong"

/* The flags of all commands; each command's table fills those it has. */
struct ctl_options {
    const char *operand; /* the word of the command that takes one, "" without; borrowed from argv */
    const char *endpoint;
    const char *host_root;
    int64_t timeout_ns;
    bool json;

    const char *volume_id;
    const char *volume;
    const char *pod;
    const char *pod_namespace;
    const char *pod_uid;
    const char *service_account;
    const char *target;
    const char *kubelet_dir;
    const char *class_name;
    const char *secrets_dir;
    const char *fs_group;
    const char *permission;
    const char *service;
    const char *out;
    bool readonly;
    bool tokens_in_secrets;
    bool show_contents;

    const char *kubeconfig;
    const char *providers_dir;
    const char *driver_name;
    bool fetch;

    const char *copy_to;
    const char *prefix;
    bool convert_names;
    char **program; /* the words after "--", or those of a command that takes files; ends with NULL; borrowed
                       from argv */

    const char *output;
    bool strict;

    const char *repeated; /* destination of the flags below in the tables; never read */
    struct word_list attributes;
    struct word_list secret_files;
    struct word_list token_files;
    struct word_list env_from;
    struct word_list providers;
};

/* Types (error_type()) of errors that decide the exit status: EXIT_USAGE, for flags and words that are
 * missing or wrong, and for files that lint cannot read; EXIT_LOCAL without a message, because the output
 * shows what it is about. */
#define UNUSABLE_INPUT "UnusableInput"
#define SHOWN_ALREADY  "ShownAlready"

/* Sets an INVALID_ARGUMENT of the type UNUSABLE_INPUT: error_set() with the rest of its arguments. Is -1. */
#define error_unusable_input(err, ...)                                                                       \
    ((void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT, __VA_ARGS__), error_set_type(err, UNUSABLE_INPUT))

/* One command. `run` returns 0, or -1 with err set. If the error has the type CALL_FAILED (call.h), the exit
 * status contains its code; if it has SOMETHING_WRONG, the status is EXIT_FOUND. */
struct ctl_command {
    const char *name;
    const char *summary;
    const struct option_row *rows;
    size_t n_rows;
    int (*run)(const struct ctl_options *options, struct error **err);
};

#define CTL_ENDPOINT_HELP                                                                                    \
    "`address` of the socket, unix:///path or a plain path; default: the one that the node has"
#define CTL_HOST_ROOT_HELP                                                                                   \
    "`directory` where the node's root is mounted; in containers of kubectl debug /host"

/* Flags of every command. */
#define CTL_COMMON_ROWS                                                                                      \
    {.name = "endpoint",                                                                                     \
     .type = OPTION_STRING,                                                                                  \
     .offset = offsetof(struct ctl_options, endpoint),                                                       \
     .help = CTL_ENDPOINT_HELP},                                                                             \
        {.name = "host-root",                                                                                \
         .type = OPTION_STRING,                                                                              \
         .offset = offsetof(struct ctl_options, host_root),                                                  \
         .help = CTL_HOST_ROOT_HELP},                                                                        \
        {.name = "timeout",                                                                                  \
         .type = OPTION_DURATION,                                                                            \
         .offset = offsetof(struct ctl_options, timeout_ns),                                                 \
         .default_value = "2m",                                                                              \
         .min = 1000000,                                                                                     \
         .max = INT64_MAX,                                                                                   \
         .help = "`duration` until the deadline of the call"},                                               \
    {                                                                                                        \
        .name = "json", .type = OPTION_BOOL, .offset = offsetof(struct ctl_options, json),                   \
        .help = "print JSON"                                                                                 \
    }

#define CTL_STRING_ROW(flag, member, value, text)                                                            \
    {                                                                                                        \
        .name = (flag), .type = OPTION_STRING, .offset = offsetof(struct ctl_options, member),               \
        .default_value = (value), .help = (text)                                                             \
    }

/* A repeated flag: arguments_take_repeated() removes it from argv before the table is parsed. */
#define CTL_REPEATED_ROW(flag, text) CTL_STRING_ROW(flag, repeated, NULL, text)

/* Calls to a CSI node plugin, as the kubelet sends them: plugin_commands.c. */
extern const struct ctl_command ctl_command_info;
extern const struct ctl_command ctl_command_probe;

/* The same for a volume: volume_commands.c. */
extern const struct ctl_command ctl_command_publish;
extern const struct ctl_command ctl_command_unpublish;
extern const struct ctl_command ctl_command_stats;

/* Calls to a provider, as the driver sends them: provider_commands.c. */
extern const struct ctl_command ctl_command_version;
extern const struct ctl_command ctl_command_mount;
extern const struct ctl_command ctl_command_health;

/* Walks the chain between a vault and a pod: diagnose_command.c. */
extern const struct ctl_command ctl_command_diagnose;
/* Checks files, without any call: lint_command.c. */
extern const struct ctl_command ctl_command_lint;

/* Becomes the program whose words follow "--": exec_command.c. */
extern const struct ctl_command ctl_command_exec;

/* Copies this program: copy_command.c. */
extern const struct ctl_command ctl_command_copy;

#endif
