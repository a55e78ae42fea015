/*
 * checks.c - what diagnose finds out about each link of the chain.
 */
#include "ctl/checks.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PAGE "docs/troubleshooting.md"

enum { TEXT_MAX = 4096 };

/* Words of errors and the section that explains them; the first that matches counts. */
static const struct {
    const char *words;
    const char *section;
} sections[] = {
    {"kubeconfig", "the-kubernetes-api"},
    {"Kubernetes API", "the-kubernetes-api"},
    {"failed to build auth config", "identity"},
    {"token for the ", "identity"},
    {"no token before", "identity"},
    {"token requests are in flight", "identity"},
    {"provider not found", "the-provider"},
    {"is not responding", "the-provider"},
    {"did not respond within", "the-provider"},
    {"failed to get secretproviderclass", "the-class"},
    {" returned HTTP ", "the-vault"},
    {"throttles requests", "the-vault"},
    {"the vault", "the-vault"},
    {"DNS lookup", "the-network"},
    {"TLS", "the-network"},
    {"proxy ", "the-network"},
    {"connect", "the-network"},
    {"no response from", "the-network"},
    {"failed to get objectType:", "contents"},
    {"failed to mount secrets store objects", "parameters-and-objects"},
    {"target path", "files-and-mounts"},
    {"failed to mount objects", "parameters-and-objects"},
};

static const char *section_of(const char *text)
{
    for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
        if (strstr(text, sections[i].words) != NULL)
            return sections[i].section;
    return "";
}

const char *checks_name_of_mount_error(const char *text)
{
    const char *section = section_of(text);

    if (strcmp(section, "identity") == 0)
        return "token";
    return strstr(text, "failed to get objectType:") != NULL ? "vault" : "class";
}

void checks_finish(struct checks *checks)
{
    cJSON_Delete(checks->rows);
    *checks = (struct checks){0};
}

static cJSON *add_row(struct checks *checks, const char *check, const char *result, const char *text)
{
    cJSON *row = cJSON_CreateObject();

    if (checks->rows == NULL)
        checks->rows = cJSON_CreateArray();
    if (row == NULL || checks->rows == NULL || cJSON_AddStringToObject(row, "check", check) == NULL ||
        cJSON_AddStringToObject(row, "result", result) == NULL ||
        cJSON_AddStringToObject(row, "text", text) == NULL) {
        cJSON_Delete(row);
        checks->incomplete = true;
        return NULL;
    }
    cJSON_AddItemToArray(checks->rows, row);
    return row;
}

static void add_help(struct checks *checks, cJSON *row, const char *fix, const char *section)
{
    char see[128];

    if (row == NULL)
        return;
    (void)snprintf(see, sizeof(see), PAGE "%s%s", *section != '\0' ? "#" : "", section);
    if ((*fix != '\0' && cJSON_AddStringToObject(row, "fix", fix) == NULL) ||
        cJSON_AddStringToObject(row, "see", see) == NULL)
        checks->incomplete = true;
}

void checks_ok(struct checks *checks, const char *check, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)add_row(checks, check, "ok", text);
}

void checks_skipped(struct checks *checks, const char *check, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)add_row(checks, check, "skipped", text);
}

void checks_wrong(struct checks *checks, const char *check, const char *section, const char *fix,
                  const char *format, ...)
{
    char text[TEXT_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    checks->n_wrong++;
    add_help(checks, add_row(checks, check, "wrong", text), fix, section);
}

void checks_reported(struct checks *checks, const char *check, const char *text)
{
    checks->n_wrong++;
    add_help(checks, add_row(checks, check, "wrong", text), "", section_of(text));
}
