/*
 * exec_command.c - the command exec: starts a program with the files of a volume as environment variables.
 *
 * For programs that read secrets only from their environment. The process becomes the program: nothing of
 * this one is left, and signals and the exit status are the program's.
 */
#include <errno.h>
#include <unistd.h>

#include "ctl/command.h"
#include "ctl/variables.h"

extern char **environ;

static int run_exec(const struct ctl_options *options, struct error **err)
{
    const struct variable_names names = {.prefix = options->prefix, .convert = options->convert_names};
    cleanup_variables struct variables variables = {0};

    if (options->program[0] == NULL || options->env_from.n == 0)
        return error_unusable_input(err, "%s",
                                    options->program[0] == NULL
                                        ? "no program: write -- PROGRAM after the flags"
                                        : "--env-from names no directory");
    for (size_t i = 0; i < options->env_from.n; i++)
        if (variables_read(&variables, options->env_from.words[i], &names, err) < 0)
            return -1;
    if (variables_add_environment(&variables, environ, err) < 0)
        return -1;
    (void)execvpe(options->program[0], options->program, variables.list);
    return error_set_errno(err, GRPC_STATUS_INTERNAL, errno, "start '%s'", options->program[0]);
}

static const struct option_row exec_rows[] = {
    CTL_REPEATED_ROW(
        "env-from",
        "`directory` whose files become variables: the file's name is that of the variable; may be repeated"),
    CTL_STRING_ROW("prefix", prefix, NULL, "`text` in front of the name of each variable"),
    {.name = "convert-names",
     .type = OPTION_BOOL,
     .offset = offsetof(struct ctl_options, convert_names),
     .help = "name a variable in upper case, with '_' for '-' and '.': DB_PASSWORD for db-password"},
};

const struct ctl_command ctl_command_exec = {"exec", "start a program with the files as its environment",
                                             exec_rows, ARRAY_SIZE(exec_rows), run_exec};
