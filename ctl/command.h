/*
 * command.h - the sub-commands of secrets-store-ctl and what they share: flags, exit statuses.
 */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/error.h"
#include "common/process/options.h"

/* Exit statuses. A call that the other side (or the transport) refused ends with EXIT_RPC + its gRPC status
 * number, for example 105 for NOT_FOUND. */
enum { EXIT_OK = 0, EXIT_LOCAL = 1, EXIT_USAGE = 2, EXIT_RPC = 100 };

/* The words given to a flag that may be repeated, in order. */
struct word_list {
    const char **words; /* borrowed from argv */
    size_t n;
};

/* All flags of all commands; each command's table fills the ones it has. */
struct ctl_options {
    const char *endpoint;
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

    const char *repeated; /* placeholder of the flags below in the tables; never read */
    struct word_list attributes;
    struct word_list secret_files;
    struct word_list token_files;
};

/* One sub-command. `run` returns 0, or -1 with err set; *ret_rpc tells whether the failure is the answer to a
 * call. */
struct ctl_command {
    const char *name;
    const char *summary;
    const struct option_row *rows;
    size_t n_rows;
    int (*run)(const struct ctl_options *options, bool *ret_rpc, struct error **err);
};

/* Flags that every command has. */
#define CTL_COMMON_ROWS                                                                                      \
    {.name = "endpoint",                                                                                     \
     .type = OPTION_STRING,                                                                                  \
     .offset = offsetof(struct ctl_options, endpoint),                                                       \
     .help = "`address` of the socket, unix:///path or a plain path; required"},                             \
        {.name = "timeout",                                                                                  \
         .type = OPTION_DURATION,                                                                            \
         .offset = offsetof(struct ctl_options, timeout_ns),                                                 \
         .default_value = "2m",                                                                              \
         .min = 1000000,                                                                                     \
         .max = INT64_MAX,                                                                                   \
         .help = "`duration` after which the call is given up"},                                             \
    {                                                                                                        \
        .name = "json", .type = OPTION_BOOL, .offset = offsetof(struct ctl_options, json),                   \
        .help = "print JSON"                                                                                 \
    }

#define CTL_STRING_ROW(flag, member, value, text)                                                            \
    {                                                                                                        \
        .name = (flag), .type = OPTION_STRING, .offset = offsetof(struct ctl_options, member),               \
        .default_value = (value), .help = (text)                                                             \
    }

/* A flag that may be given several times: taken out of argv by ctl_take_repeated() before the table sees
 * it. */
#define CTL_REPEATED_ROW(flag, text) CTL_STRING_ROW(flag, repeated, NULL, text)

/* The commands, see csi_commands.c and provider_commands.c. */
extern const struct ctl_command ctl_csi_commands[];
extern const size_t ctl_n_csi_commands;
extern const struct ctl_command ctl_provider_commands[];
extern const size_t ctl_n_provider_commands;

/* Moves every "--name value" and "--name=value" (one or two dashes) before "--" out of argv into `list`,
 * which gets an array that the caller frees. INVALID_ARGUMENT when the last one has no value. */
int ctl_take_repeated(int *argc, char **argv, const char *name, struct word_list *list, struct error **err);

#endif
