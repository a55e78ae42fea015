/*
 * lint_command.c - the command lint: mistakes in classes and volumes, before they are applied.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "ctl/command.h"
#include "ctl/lint_documents.h"
#include "ctl/lint_providers.h"
#include "ctl/lint_report.h"

enum { FINDINGS_OF_ALL_FILES_MAX = 10000 };

static int read_input(struct buffer *text, struct error **err)
{
    char piece[4096];
    size_t n;

    buffer_init(text, LINT_FILE_MAX);
    while ((n = fread(piece, 1, sizeof(piece), stdin)) > 0) {
        if (buffer_append(text, piece, n, err) < 0)
            return -1;
    }
    return ferror(stdin) ? error_set(err, GRPC_STATUS_INTERNAL, "standard input cannot be read") : 0;
}

static int lint_file(struct lint_context *context, const char *file, struct error **err)
{
    cleanup_buffer struct buffer text = {0};
    int result = strcmp(file, "-") == 0 ? read_input(&text, err) : file_read(file, LINT_FILE_MAX, &text, err);

    if (result < 0)
        return error_set_type(err, UNUSABLE_INPUT);
    return lint_documents(context, file, buffer_str(&text), text.len, err);
}

static int lint_files(struct lint_context *context, char **files, struct error **err)
{
    for (; *files != NULL; files++) {
        if (lint_file(context, *files, err) < 0)
            return -1;
    }
    lint_names_check(&context->names, context->report);
    return 0;
}

static int check_words(const struct ctl_options *options, enum lint_output *ret_output, struct error **err)
{
    if (options->program[0] == NULL)
        (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "no file: write FILE, or - for standard input");
    for (char **word = options->program; *word != NULL && *err == NULL; word++) {
        if (word[0][0] == '-' && word[0][1] != '\0')
            (void)error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "flags come before files: %s", *word);
    }
    if (*err == NULL)
        (void)lint_output_parse(options->output, ret_output, err);
    if (*err == NULL)
        (void)lint_providers_check(&options->providers, err);
    return *err != NULL ? error_set_type(err, UNUSABLE_INPUT) : 0;
}

static int run_lint(const struct ctl_options *options, struct error **err)
{
    cleanup_findings struct findings report = {.max = FINDINGS_OF_ALL_FILES_MAX, .takes_errors = true};
    const struct lint_providers providers = {.given = &options->providers};
    struct lint_context context = {.report = &report, .providers = &providers};
    struct lint_totals totals = {0};
    enum lint_output output = LINT_OUTPUT_TEXT;

    if (check_words(options, &output, err) < 0)
        return -1;
    int result = lint_files(&context, options->program, err);
    lint_names_finish(&context.names);
    if (result < 0)
        return -1;
    totals.classes = context.n_classes;
    totals.volumes = context.n_volumes;
    lint_report_sort(&report, &totals);
    if (lint_report_print(&report, &totals, output, err) < 0)
        return -1;
    if (totals.of_level[FINDING_ERROR] == 0 && !(options->strict && totals.of_level[FINDING_WARNING] > 0))
        return 0;
    (void)error_set(err, GRPC_STATUS_FAILED_PRECONDITION, "there are findings");
    return error_set_type(err, SHOWN_ALREADY);
}

static const struct option_row lint_rows[] = {
    CTL_STRING_ROW("output", output, "text", "`form` of the findings: text, json, or sarif (2.1.0)"),
    CTL_REPEATED_ROW(
        "provider",
        "executable `name=file` that checks the parameters of classes with this provider; default: secrets-store-provider-NAME beside this program or in PATH; may be repeated"),
    {.name = "strict",
     .type = OPTION_BOOL,
     .offset = offsetof(struct ctl_options, strict),
     .help = "exit with status 1 after warnings, too"},
};

const struct ctl_command ctl_command_lint = {"lint",
                                             "find mistakes in classes and volumes of FILE ... (or -)",
                                             lint_rows, ARRAY_SIZE(lint_rows), run_lint};
