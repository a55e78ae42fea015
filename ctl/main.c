/*
 * main.c - secrets-store-ctl: calls a CSI node plugin as the kubelet does, and a provider as the driver does.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "common/base/cleanup.h"
#include "common/base/secret.h"
#include "common/process/lifecycle.h"
#include "ctl/call.h"
#include "ctl/command.h"
#include "ctl/output.h"

static const char PROGRAM[] = "secrets-store-ctl";

static const struct ctl_command *const csi_commands[] = {
    &ctl_command_info, &ctl_command_probe, &ctl_command_publish, &ctl_command_unpublish, &ctl_command_stats,
};
static const struct ctl_command *const provider_commands[] = {
    &ctl_command_version,
    &ctl_command_mount,
    &ctl_command_health,
};
static const struct ctl_command *const node_commands[] = {&ctl_command_diagnose};
static const struct ctl_command *const file_commands[] = {&ctl_command_lint};
static const struct ctl_command *const local_commands[] = {&ctl_command_exec, &ctl_command_copy};
static const struct {
    const char *title;
    const struct ctl_command *const *commands;
    size_t n;
} groups[] = {
    {"To a CSI node plugin, as the kubelet:", csi_commands, ARRAY_SIZE(csi_commands)},
    {"To a provider, as the driver:", provider_commands, ARRAY_SIZE(provider_commands)},
    {"On a node:", node_commands, ARRAY_SIZE(node_commands)},
    {"For files, before they are applied:", file_commands, ARRAY_SIZE(file_commands)},
    {"In a container of a pod:", local_commands, ARRAY_SIZE(local_commands)},
};

static void usage(FILE *out)
{
    (void)fprintf(out, "usage: %s COMMAND [flags]\n", PROGRAM);
    for (size_t g = 0; g < ARRAY_SIZE(groups); g++) {
        (void)fprintf(out, "\n%s\n", groups[g].title);
        for (size_t i = 0; i < groups[g].n; i++)
            (void)fprintf(out, "  %-10s %s\n", groups[g].commands[i]->name, groups[g].commands[i]->summary);
    }
    (void)fprintf(
        out,
        "\n'%s COMMAND --help' lists the flags of a command; '%s --version' prints the version.\n"
        "Exit status: 0 success, 1 local failure, 2 bad usage, 3 diagnose found something wrong,\n100 + N if the call failed with gRPC status N\n(for example 105 NOT_FOUND, 104 DEADLINE_EXCEEDED, 114 UNAVAILABLE).\n"
        "Exit status of lint: 0 no errors were found, 1 errors were found, 2 bad usage or an unreadable file.\n",
        PROGRAM, PROGRAM);
}

static const struct ctl_command *find_command(const char *name)
{
    for (size_t g = 0; g < ARRAY_SIZE(groups); g++)
        for (size_t i = 0; i < groups[g].n; i++)
            if (strcmp(groups[g].commands[i]->name, name) == 0)
                return groups[g].commands[i];
    return NULL;
}

static int usage_error(const struct error *error, const char *command)
{
    (void)fprintf(stderr, "%s %s: ", PROGRAM, command);
    output_text(stderr, error_message(error));
    (void)fprintf(stderr, "\nTry '%s %s --help'.\n", PROGRAM, command);
    return EXIT_USAGE;
}

static bool starts_program(const struct ctl_command *command)
{
    return command == &ctl_command_exec;
}

/* What the word that a command takes is called in its usage; "": it takes none. */
static const char *operand_of(const struct ctl_command *command)
{
    return command == &ctl_command_diagnose ? " POD" : "";
}

/* As options_parse(). The word of a command that takes one may stand before, between and after the flags: it
 * is taken out of argv where the parser stops at it. */
static enum options_result parse_rows(const struct ctl_command *command, int *argc, char **argv,
                                      struct ctl_options *options, int *ret_rest, struct error **err)
{
    enum options_result result =
        options_parse(command->rows, command->n_rows, *argc, argv, options, ret_rest, err);

    options->operand = "";
    if (result != OPTIONS_RUN || *ret_rest == *argc || *operand_of(command) == '\0')
        return result;

    const char *operand = argv[*ret_rest];
    memmove(&argv[*ret_rest], &argv[*ret_rest + 1], (size_t)(*argc - *ret_rest) * sizeof(*argv));
    (*argc)--;
    result = options_parse(command->rows, command->n_rows, *argc, argv, options, ret_rest, err);
    options->operand = operand;
    return result;
}

static void print_help(const struct ctl_command *command)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "%s %s", PROGRAM, command->name);
    (void)printf("%s%s: %s\n\n", name, operand_of(command), command->summary);
    options_usage(command->rows, command->n_rows, name, stdout);
}

/* Parses the flags after the command word. Returns an exit status, or -1 to continue. */
static int parse_flags(const struct ctl_command *command, int argc, char **argv, struct ctl_options *options)
{
    cleanup_error struct error *error = NULL;
    int rest = 0;

    if (arguments_take_repeated(&argc, argv, "attribute", &options->attributes, &error) < 0 ||
        arguments_take_repeated(&argc, argv, "secret-file", &options->secret_files, &error) < 0 ||
        arguments_take_repeated(&argc, argv, "token-file", &options->token_files, &error) < 0 ||
        arguments_take_repeated(&argc, argv, "env-from", &options->env_from, &error) < 0 ||
        arguments_take_repeated(&argc, argv, "provider", &options->providers, &error) < 0)
        return usage_error(error, command->name);

    /* the parser writes only the members of its rows, so the lists above stay */
    switch (parse_rows(command, &argc, argv, options, &rest, &error)) {
    case OPTIONS_HELP:
        print_help(command);
        return EXIT_OK;
    case OPTIONS_ERROR:
        return usage_error(error, command->name);
    case OPTIONS_RUN:
        break;
    }
    /* words of a program without "--" in front of them might have been taken for flags */
    bool separated = strcmp(argv[rest - 1], "--") == 0;
    options->program = separated ? argv + rest : argv + argc;
    if (command == &ctl_command_lint) {
        options->program = argv + rest;
        return -1;
    }
    if (rest < argc && !(separated && starts_program(command))) {
        (void)error_set(&error, GRPC_STATUS_INVALID_ARGUMENT, "unexpected word '%s'", argv[rest]);
        return usage_error(error, command->name);
    }
    return -1;
}

/* Prints the error, and returns the exit status. */
static int report_failure(const struct error *error, bool json)
{
    if (strcmp(error_type(error), SHOWN_ALREADY) == 0)
        return EXIT_LOCAL;
    output_error(error, json);
    if (strcmp(error_type(error), UNUSABLE_INPUT) == 0)
        return EXIT_USAGE;
    if (strcmp(error_type(error), CALL_FAILED) == 0)
        return EXIT_RPC + (int)error_code(error);
    return strcmp(error_type(error), SOMETHING_WRONG) == 0 ? EXIT_FOUND : EXIT_LOCAL;
}

static int run_command(const struct ctl_command *command, int argc, char **argv)
{
    struct ctl_options options = {.endpoint = ""};
    cleanup_error struct error *error = NULL;
    int status = parse_flags(command, argc, argv, &options);

    if (status < 0)
        status = command->run(&options, &error) < 0 ? report_failure(error, options.json) : EXIT_OK;
    free(options.attributes.words);
    free(options.secret_files.words);
    free(options.token_files.words);
    free(options.env_from.words);
    free(options.providers.words);
    return status;
}

/* A program that is started keeps the limits that it was given: only this process must not dump. */
static int forbid_core_dumps(const struct ctl_command *command, struct error **err)
{
    if (!starts_program(command))
        return secret_forbid_core_dumps(err);
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
               ? 0
               : error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "forbid core dumps");
}

int main(int argc, char **argv)
{
    cleanup_error struct error *error = NULL;

    secret_install_json_hooks();
    if (argc < 2) {
        usage(stderr);
        return EXIT_USAGE;
    }

    const char *word = argv[1];
    if (strcmp(word, "help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "-help") == 0 ||
        strcmp(word, "--help") == 0) {
        usage(stdout);
        return EXIT_OK;
    }
    if (strcmp(word, "-version") == 0 || strcmp(word, "--version") == 0) {
        (void)printf("%s %s (%s, %s)\n", PROGRAM, build_version(), build_commit(), build_date());
        return EXIT_OK;
    }

    const struct ctl_command *command = find_command(word);
    if (command == NULL) {
        (void)fprintf(stderr, "%s: unknown command '", PROGRAM);
        output_text(stderr, word);
        (void)fputs("'\n\n", stderr);
        usage(stderr);
        return EXIT_USAGE;
    }
    if (forbid_core_dumps(command, &error) < 0) {
        output_error(error, /* json= */ false);
        return EXIT_LOCAL;
    }
    return run_command(command, argc - 1, argv + 1);
}
