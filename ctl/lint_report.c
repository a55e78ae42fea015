/*
 * lint_report.c - the three forms of a report.
 */
#include "ctl/lint_report.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/secret.h"
#include "common/http/client.h"
#include "common/process/lifecycle.h"
#include "ctl/output.h"

static const char *const output_names[] = {
    [LINT_OUTPUT_TEXT] = "text", [LINT_OUTPUT_JSON] = "json", [LINT_OUTPUT_SARIF] = "sarif"};

int lint_output_parse(const char *text, enum lint_output *ret, struct error **err)
{
    for (size_t i = 0; i < ARRAY_SIZE(output_names); i++) {
        if (strcmp(text, output_names[i]) == 0) {
            *ret = (enum lint_output)i;
            return 0;
        }
    }
    return error_set(err, GRPC_STATUS_INVALID_ARGUMENT, "--output is text, json or sarif, not '%s'", text);
}

/* --- order --- */

static bool is_behind(const struct finding *one, const struct finding *other)
{
    if (strcmp(one->parameter, other->parameter) != 0)
        return false;
    return one->line != other->line ? one->line > other->line : one->column > other->column;
}

void lint_report_sort(struct findings *report, struct lint_totals *totals)
{
    for (size_t i = 0; i < report->n; i++) {
        const struct finding finding = report->list[i];
        size_t at = i;
        /* Nearly sorted already, and of equals the first stays in front. */
        for (; at > 0 && is_behind(&report->list[at - 1], &finding); at--)
            report->list[at] = report->list[at - 1];
        report->list[at] = finding;
        totals->of_level[finding.level]++;
    }
}

/* --- text --- */

static void print_text(const struct findings *report, const struct lint_totals *totals)
{
    for (size_t i = 0; i < report->n; i++) {
        const struct finding *finding = &report->list[i];
        output_text(stdout, finding->parameter);
        (void)putchar(':');
        if (finding->line > 0)
            (void)printf("%u:", finding->line);
        if (finding->line > 0 && finding->column > 0)
            (void)printf("%u:", finding->column);
        (void)printf(" %s: ", finding_level_name(finding->level));
        output_text(stdout, finding->message);
        (void)fputs(" [", stdout);
        output_text(stdout, finding->rule);
        (void)puts("]");
    }
    if (report->left_out > 0)
        (void)printf("and %zu more findings\n", report->left_out);
    (void)fprintf(stderr, "classes: %zu, volumes: %zu; errors: %zu, warnings: %zu, notes: %zu\n",
                  totals->classes, totals->volumes, totals->of_level[FINDING_ERROR],
                  totals->of_level[FINDING_WARNING], totals->of_level[FINDING_NOTE]);
}

/* --- JSON --- */

static bool add_text(cJSON *object, const char *key, const char *text)
{
    return cJSON_AddStringToObject(object, key, text) != NULL;
}

static bool add_number(cJSON *object, const char *key, size_t number)
{
    return cJSON_AddNumberToObject(object, key, (double)number) != NULL;
}

/* A new object at the end of the array. */
static cJSON *add_element(cJSON *array)
{
    cJSON *object = cJSON_CreateObject();

    if (object != NULL && !cJSON_AddItemToArray(array, object)) {
        cJSON_Delete(object);
        return NULL;
    }
    return object;
}

static bool add_json_finding(cJSON *array, const struct finding *finding)
{
    cJSON *object = add_element(array);

    return object != NULL && add_text(object, "file", finding->parameter) &&
           (finding->line == 0 || add_number(object, "line", finding->line)) &&
           (finding->column == 0 || add_number(object, "column", finding->column)) &&
           add_text(object, "level", finding_level_name(finding->level)) &&
           add_text(object, "rule", finding->rule) && add_text(object, "message", finding->message);
}

static cJSON *make_json(const struct findings *report, const struct lint_totals *totals)
{
    cleanup_json cJSON *root = cJSON_CreateObject();
    cJSON *array = cJSON_AddArrayToObject(root, "findings");
    bool complete = array != NULL;

    for (size_t i = 0; i < report->n && complete; i++)
        complete = add_json_finding(array, &report->list[i]);
    if (!complete || !add_number(root, "classes", totals->classes) ||
        !add_number(root, "volumes", totals->volumes) ||
        !add_number(root, "errors", totals->of_level[FINDING_ERROR]) ||
        !add_number(root, "warnings", totals->of_level[FINDING_WARNING]) ||
        !add_number(root, "notes", totals->of_level[FINDING_NOTE]) ||
        (report->left_out > 0 && !add_number(root, "leftOut", report->left_out)))
        return NULL;
    return steal_ptr(&root);
}

/* --- SARIF (OASIS Standard, 2.1.0) --- */

/* A path as a relative URI: everything but its slashes is escaped. */
static char *make_uri(const char *path)
{
    cleanup_buffer struct buffer uri = {0};

    buffer_init(&uri, 3 * strlen(path) + 16);
    if (strcmp(path, "-") == 0)
        return strdup("stdin");
    if (*path == '/' && buffer_append_str(&uri, "file://", NULL) < 0)
        return NULL;
    while (*path != '\0') {
        size_t len = strcspn(path, "/");
        cleanup_free char *part = strndup(path, len);
        cleanup_free char *escaped = part != NULL ? http_escape(part) : NULL;
        if (escaped == NULL || buffer_append_str(&uri, escaped, NULL) < 0 ||
            (path[len] == '/' && buffer_append_str(&uri, "/", NULL) < 0))
            return NULL;
        path += len + (path[len] == '/' ? 1 : 0);
    }
    return strdup(buffer_str(&uri));
}

static bool add_region(cJSON *location, const struct finding *finding)
{
    cJSON *region;

    if (finding->line == 0)
        return true;
    region = cJSON_AddObjectToObject(location, "region");
    return region != NULL && add_number(region, "startLine", finding->line) &&
           (finding->column == 0 || add_number(region, "startColumn", finding->column));
}

static bool add_location(cJSON *result, const struct finding *finding)
{
    cleanup_free char *uri = make_uri(finding->parameter);
    cJSON *location = add_element(cJSON_AddArrayToObject(result, "locations"));
    cJSON *physical = cJSON_AddObjectToObject(location, "physicalLocation");
    cJSON *artifact = cJSON_AddObjectToObject(physical, "artifactLocation");

    return uri != NULL && artifact != NULL && add_text(artifact, "uri", uri) && add_region(physical, finding);
}

static bool add_result(cJSON *results, const struct finding *finding)
{
    cJSON *result = add_element(results);
    cJSON *message;

    if (result == NULL || !add_text(result, "ruleId", finding->rule) ||
        !add_text(result, "level", finding_level_name(finding->level)))
        return false;
    message = cJSON_AddObjectToObject(result, "message");
    return message != NULL && add_text(message, "text", finding->message) && add_location(result, finding);
}

/* Each rule that a finding has, once. */
static bool add_rules(cJSON *driver, const struct findings *report)
{
    cJSON *rules = cJSON_AddArrayToObject(driver, "rules");

    for (size_t i = 0; i < report->n; i++) {
        size_t first = 0;
        while (strcmp(report->list[first].rule, report->list[i].rule) != 0)
            first++;
        if (first == i && !add_text(add_element(rules), "id", report->list[i].rule))
            return false;
    }
    return rules != NULL;
}

static cJSON *make_sarif(const struct findings *report)
{
    cleanup_json cJSON *root = cJSON_CreateObject();
    bool complete = add_text(root, "$schema", "https://json.schemastore.org/sarif-2.1.0.json") &&
                    add_text(root, "version", "2.1.0");
    cJSON *run = add_element(cJSON_AddArrayToObject(root, "runs"));
    cJSON *driver = cJSON_AddObjectToObject(cJSON_AddObjectToObject(run, "tool"), "driver");

    complete = complete && driver != NULL && add_text(driver, "name", "secrets-store-ctl") &&
               add_text(driver, "version", build_version()) && add_rules(driver, report) &&
               add_text(run, "columnKind", "unicodeCodePoints");
    cJSON *results = cJSON_AddArrayToObject(run, "results");
    for (size_t i = 0; i < report->n && complete; i++)
        complete = add_result(results, &report->list[i]);
    return complete && results != NULL ? steal_ptr(&root) : NULL;
}

int lint_report_print(const struct findings *report, const struct lint_totals *totals,
                      enum lint_output output, struct error **err)
{
    if (output == LINT_OUTPUT_TEXT) {
        print_text(report, totals);
    } else {
        cleanup_json cJSON *root =
            output == LINT_OUTPUT_JSON ? make_json(report, totals) : make_sarif(report);
        cleanup_secret_free char *text = root != NULL ? json_print(root, err) : NULL;
        if (text == NULL)
            return root == NULL ? error_no_memory(err, NULL) : -1;
        (void)puts(text);
    }
    return output_flush(err);
}
