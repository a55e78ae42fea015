/*
 * main.c - secrets-store-ctl: speaks to a CSI node plugin as a kubelet does, and to a provider as a driver
 * does.
 */
#include <stdio.h>
#include <string.h>

#include "common/base/secret.h"
#include "common/process/lifecycle.h"
#include "ctl/command.h"
#include "ctl/output.h"

static const char PROGRAM[] = "secrets-store-ctl";

static void print_commands(const char *title, const struct ctl_command *commands, size_t n, FILE *out)
{
    (void)fprintf(out, "\n%s\n", title);
    for (size_t i = 0; i < n; i++)
        (void)fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
}

static void usage(FILE *out)
{
    (void)fprintf(out, "usage: %s COMMAND --endpoint ADDRESS [flags]\n", PROGRAM);
    print_commands("To a CSI node plugin, as the kubelet:", ctl_csi_commands, ctl_n_csi_commands, out);
    print_commands("To a provider, as the driver:", ctl_provider_commands, ctl_n_provider_commands, out);
    (void)fprintf(
        out,
        "\n'%s COMMAND --help' lists the flags of a command; '%s --version' prints the version.\n"
        "Exit status: 0 done, 1 something failed here, 2 bad usage, 100 + N the call failed with gRPC status N\n(for example 105 NOT_FOUND, 104 DEADLINE_EXCEEDED, 114 UNAVAILABLE).\n",
        PROGRAM, PROGRAM);
}

static const struct ctl_command *find_command(const char *name)
{
    for (size_t i = 0; i < ctl_n_csi_commands; i++)
        if (strcmp(ctl_csi_commands[i].name, name) == 0)
            return &ctl_csi_commands[i];
    for (size_t i = 0; i < ctl_n_provider_commands; i++)
        if (strcmp(ctl_provider_commands[i].name, name) == 0)
            return &ctl_provider_commands[i];
    return NULL;
}

static int usage_error(const struct error *error, const char *command)
{
    (void)fprintf(stderr, "%s %s: %s\nTry '%s %s --help'.\n", PROGRAM, command, error_message(error), PROGRAM,
                  command);
    return EXIT_USAGE;
}

/* Parses the flags behind the command word; returns an exit status, or -1 to go on. */
static int parse_flags(const struct ctl_command *command, int argc, char **argv, struct ctl_options *options)
{
    cleanup_error struct error *error = NULL;
    int rest = 0;

    if (ctl_take_repeated(&argc, argv, "attribute", &options->attributes, &error) < 0 ||
        ctl_take_repeated(&argc, argv, "secret-file", &options->secret_files, &error) < 0 ||
        ctl_take_repeated(&argc, argv, "token-file", &options->token_files, &error) < 0)
        return usage_error(error, command->name);

    /* the table parser fills the whole struct with defaults of its rows only; the lists above stay */
    switch (options_parse(command->rows, command->n_rows, argc, argv, options, &rest, &error)) {
    case OPTIONS_HELP:
        (void)printf("%s %s: %s\n\n", PROGRAM, command->name, command->summary);
        options_usage(command->rows, command->n_rows, PROGRAM, stdout);
        return EXIT_OK;
    case OPTIONS_ERROR:
        return usage_error(error, command->name);
    case OPTIONS_RUN:
        break;
    }
    if (rest < argc) {
        (void)error_set(&error, GRPC_STATUS_INVALID_ARGUMENT, "unexpected word '%s'", argv[rest]);
        return usage_error(error, command->name);
    }
    return -1;
}

static int run_command(const struct ctl_command *command, int argc, char **argv)
{
    struct ctl_options options = {.endpoint = ""};
    cleanup_error struct error *error = NULL;
    bool rpc = false;
    int status = parse_flags(command, argc, argv, &options);

    if (status < 0) {
        status = EXIT_OK;
        if (command->run(&options, &rpc, &error) < 0) {
            output_error(error, options.json);
            status = rpc ? EXIT_RPC + (int)error_code(error) : EXIT_LOCAL;
        }
    }
    free(options.attributes.words);
    free(options.secret_files.words);
    free(options.token_files.words);
    return status;
}

int main(int argc, char **argv)
{
    cleanup_error struct error *error = NULL;

    secret_install_json_hooks();
    if (secret_forbid_core_dumps(&error) < 0) {
        output_error(error, /* json= */ false);
        return EXIT_LOCAL;
    }
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
        (void)fprintf(stderr, "%s: unknown command '%s'\n\n", PROGRAM, word);
        usage(stderr);
        return EXIT_USAGE;
    }
    return run_command(command, argc - 1, argv + 1);
}
