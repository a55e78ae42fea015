/*
 * findings.c - findings of lint, and where they are.
 */
#include "common/lint/findings.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/base/utf8.h"

const struct lint_rule lint_rule_refused = {"refused", FINDING_ERROR};

void findings_enter(struct findings *findings, const char *parameter, struct text_frame frame)
{
    if (findings == NULL)
        return;
    findings->parameter = parameter;
    findings->frame = frame;
    findings->error_place = (struct text_place){0};
}

void findings_mark(struct findings *findings, struct text_place place)
{
    if (findings != NULL)
        findings->error_place = place;
}

static void finding_finish(struct finding *finding)
{
    free(finding->rule);
    free(finding->parameter);
    free(finding->message);
}

void findings_put(struct findings *findings, const struct finding *finding)
{
    size_t max = findings->max != 0 ? findings->max : FINDINGS_MAX;
    struct finding *grown =
        findings->n < max ? reallocarray(findings->list, findings->n + 1, sizeof(*grown)) : NULL;

    if (grown != NULL) {
        findings->list = grown;
        struct finding *copy = &grown[findings->n];
        *copy = *finding;
        copy->rule = strdup(finding->rule);
        copy->parameter = strdup(finding->parameter);
        copy->message = strdup(finding->message);
        if (copy->rule != NULL && copy->parameter != NULL && copy->message != NULL) {
            findings->n++;
            return;
        }
        finding_finish(copy);
    }
    findings->left_out++;
}

static void add(struct findings *findings, const struct lint_rule *rule, struct text_place place,
                const char *message)
{
    char line[FINDING_MESSAGE_MAX + 1];
    struct text_place where = text_frame_place(&findings->frame, place);

    utf8_quote(line, sizeof(line), message);
    findings_put(findings,
                 &(struct finding){
                     .level = rule->level,
                     .rule = (char *)(uintptr_t)rule->id,
                     .parameter = (char *)(uintptr_t)(findings->parameter != NULL ? findings->parameter : ""),
                     .line = where.line,
                     .column = where.column,
                     .message = line});
}

void findings_add(struct findings *findings, const struct lint_rule *rule, struct text_place place,
                  const char *format, ...)
{
    cleanup_free char *message = NULL;
    va_list arguments;

    if (findings == NULL)
        return;
    va_start(arguments, format);
    if (vasprintf(&message, format, arguments) < 0)
        message = NULL;
    va_end(arguments);
    if (message != NULL)
        add(findings, rule, place, message);
    else
        findings->left_out++;
}

/* The number behind the first "line " of a message; 0: there is none. */
static unsigned line_of(const char *message)
{
    static const char word[] = "line ";
    const char *at = strstr(message, word);
    unsigned long line = 0;

    if (at == NULL || at[sizeof(word) - 1] < '1' || at[sizeof(word) - 1] > '9')
        return 0;
    line = strtoul(at + sizeof(word) - 1, NULL, 10);
    return line < 100000000 ? (unsigned)line : 0;
}

bool findings_take(struct findings *findings, const struct lint_rule *rule, struct error **err)
{
    if (findings == NULL || !findings->takes_errors || err == NULL || *err == NULL)
        return false;
    struct text_place place = findings->error_place;
    if (place.line == 0)
        place.line = line_of(error_message(*err));
    findings->error_place = (struct text_place){0};
    add(findings, rule, place, error_message(*err));
    error_free(steal_ptr(err));
    return true;
}

const char *finding_level_name(enum finding_level level)
{
    static const char *const names[] = {
        [FINDING_NOTE] = "note", [FINDING_WARNING] = "warning", [FINDING_ERROR] = "error"};

    return names[level];
}

void findings_finish(struct findings *findings)
{
    for (size_t i = 0; i < findings->n; i++)
        finding_finish(&findings->list[i]);
    free(findings->list);
    *findings = (struct findings){0};
}
