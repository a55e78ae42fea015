/*
 * lint_context.c - findings about a document that could not be read.
 */
#include "ctl/lint_context.h"

#include <stdlib.h>
#include <string.h>

/* libyaml finds what is missing at the end behind the last line. */
static unsigned line_within(const struct lint_document *document, unsigned line)
{
    const char *end = document->text + document->len;
    unsigned lines = 1;

    for (const char *at = document->text;
         lines < line && (at = memchr(at, '\n', (size_t)(end - at))) != NULL && ++at < end;)
        lines++;
    return lines < line ? lines : line;
}

/* Finds "line N: " in a message. *ret_end is what is behind it. NULL: it names no line. */
static const char *find_line(const char *message, unsigned *ret_line, const char **ret_end)
{
    static const char word[] = "line ";
    const char *at = strstr(message, word);
    const char *digits = at != NULL ? at + sizeof(word) - 1 : "";
    size_t n = strspn(digits, "0123456789");

    if (n == 0 || n > 8 || strncmp(digits + n, ": ", 2) != 0)
        return NULL;
    *ret_line = (unsigned)strtoul(digits, NULL, 10);
    *ret_end = digits + n + 2;
    return at;
}

void lint_document_refuse(const struct lint_document *document, const struct lint_rule *rule,
                          struct error **error)
{
    static const char yaml[] = "yaml: ";
    const char *message = error_message(*error);
    unsigned line = 0;

    if (strncmp(message, yaml, sizeof(yaml) - 1) == 0)
        message += sizeof(yaml) - 1;
    const char *end = message;
    const char *at = find_line(message, &line, &end);
    int before = at != NULL ? (int)(at - message) : 0;
    findings_add(lint_document_enter(document), rule,
                 (struct text_place){at != NULL ? line_within(document, line) : 0, 0}, "%.*s%s", before,
                 message, end);
    error_free(steal_ptr(error));
}
