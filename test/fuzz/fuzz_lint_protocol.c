/*
 * fuzz_lint_protocol.c - a provider's response to lint, and a request. What is read is printed, and that is
 * read as the same.
 */
#include "common/base/secret.h"
#include "common/lint/lint_protocol.h"
#include "test/fuzz/fuzz.h"

static void check_response(const char *text, size_t len)
{
    cleanup_lint_response struct lint_response response = {0};
    cleanup_lint_response struct lint_response again = {0};
    cleanup_error struct error *error = NULL;

    int result = lint_response_parse(text, len, &response, &error);
    EXPECT((result == 0) == (error == NULL));
    if (result < 0)
        return;
    cleanup_secret_free char *printed = lint_response_print(&response, NULL);
    EXPECT(printed != NULL);
    EXPECT(lint_response_parse(printed, strlen(printed), &again, NULL) == 0);
    EXPECT(again.findings.n == response.findings.n && again.files.n == response.files.n);
    for (size_t i = 0; i < response.findings.n; i++) {
        const struct finding *one = &response.findings.list[i], *other = &again.findings.list[i];
        fuzz_expect_printable(one->message);
        fuzz_expect_printable(one->rule);
        EXPECT(one->level == other->level && one->line == other->line && one->column == other->column);
        EXPECT(strcmp(one->message, other->message) == 0 && strcmp(one->parameter, other->parameter) == 0);
    }
    for (size_t i = 0; i < response.files.n; i++)
        EXPECT(lint_response_makes(&again, response.files.paths[i]));
}

static void check_request(const char *text, size_t len)
{
    cleanup_string_map struct string_map parameters = {0};
    cleanup_string_map struct string_map again = {0};
    cleanup_error struct error *error = NULL;

    int result = lint_request_parse(text, len, &parameters, &error);
    EXPECT((result == 0) == (error == NULL));
    if (result < 0)
        return;
    cleanup_secret_free char *printed = lint_request_print(&parameters, NULL);
    EXPECT(printed != NULL && lint_request_parse(printed, strlen(printed), &again, NULL) == 0);
    EXPECT(again.n == parameters.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_response((const char *)data, size);
    check_request((const char *)data, size);
    return 0;
}
