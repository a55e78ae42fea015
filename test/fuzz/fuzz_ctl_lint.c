/*
 * fuzz_ctl_lint.c - any text as a file for lint. The Azure provider's parser stands in for its executable.
 * Whatever the file is, each finding is at a place in it.
 */
#include <limits.h>

#include "ctl/lint_documents.h"
#include "ctl/lint_providers.h"
#include "provider-azure/lint.h"
#include "test/fuzz/fuzz.h"

int lint_providers_run(const struct lint_providers *providers, const char *name,
                       const struct string_map *parameters, struct lint_response *ret, struct error **err)
{
    EXPECT(providers == NULL);
    *ret = (struct lint_response){0};
    if (strcmp(name, "azure") != 0)
        return error_set(err, GRPC_STATUS_NOT_FOUND, "no such provider");
    return lint_parameters(parameters, ret, err);
}

int lint_providers_check_name(const char *name, struct error **err)
{
    return strchr(name, ' ') == NULL ? 0 : error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "invalid provider");
}

/* The bytes of a line; -1: there is none. A blank line in a block counts as indented as the block is. */
static long line_length(const char *text, size_t len, unsigned line)
{
    const char *end = text + len;

    for (; line > 1; line--) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        if (newline == NULL)
            return -1;
        text = newline + 1;
    }
    const char *newline = memchr(text, '\n', (size_t)(end - text));
    long bytes = (newline != NULL ? newline : end) - text;
    return strspn(text, " ") >= (size_t)bytes ? LONG_MAX - 1 : bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct findings report = {0};
    struct lint_context context = {.report = &report};
    char *text = malloc(size + 1);
    cleanup_error struct error *error = NULL;

    EXPECT(text != NULL);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    EXPECT(lint_documents(&context, "file", text, size, &error) == 0 && error == NULL);
    lint_names_check(&context.names, &report);
    for (size_t i = 0; i < report.n; i++) {
        const struct finding *finding = &report.list[i];
        fuzz_expect_printable(finding->message);
        EXPECT(strcmp(finding->parameter, "file") == 0 && finding->rule[0] != '\0');
        /* libyaml also counts CR, NEL and the like as ends of lines */
        if (memchr(text, '\r', size) == NULL && memmem(text, size, "\xc2\x85", 2) == NULL &&
            memmem(text, size, "\xe2\x80", 2) == NULL) {
            long len = finding->line > 0 ? line_length(text, size, finding->line) : 0;
            EXPECT(len >= 0 && finding->column <= (unsigned long)len + 1);
        }
    }
    lint_names_finish(&context.names);
    findings_finish(&report);
    free(text);
    return 0;
}
