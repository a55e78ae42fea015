/*
 * class_report.c - the findings of a mount in the log.
 */
#include "provider-azure/class_report.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buffer.h"

enum { TEXT_MAX = 4096 };

/* The digest of the class: its name and all its parameters. */
static int class_digest(const struct class_identity *class, uint8_t ret[DIGEST_SHA256_LEN])
{
    const struct string_map *map = class->attributes;
    cleanup_free struct digest_field *fields = calloc(2 * map->n + 2, sizeof(*fields));
    size_t n = 0;

    if (fields == NULL)
        return -1;
    fields[n++] = (struct digest_field){class->namespace, strlen(class->namespace)};
    fields[n++] = (struct digest_field){class->class_name, strlen(class->class_name)};
    for (size_t i = 0; i < map->n; i++) {
        const struct string_map_entry *entry = &map->entries[i];
        if (strchr(entry->key, '/') != NULL) /* of the pod */
            continue;
        fields[n++] = (struct digest_field){entry->key, strlen(entry->key)};
        fields[n++] = (struct digest_field){entry->value, strlen(entry->value)};
    }
    digest_fields(fields, n, ret);
    return 0;
}

/* "rule: message; rule: message" of the warnings, as many as fit. */
static void print_warnings(const struct findings *findings, struct buffer *text)
{
    for (size_t i = 0; i < findings->n; i++) {
        const struct finding *finding = &findings->list[i];
        if (finding->level == FINDING_WARNING)
            (void)buffer_printf(text, /* err= */ NULL, "%s%s: %s", text->len > 0 ? "; " : "", finding->rule,
                                finding->message);
    }
}

void class_report_init(struct class_report *report, const struct class_identity *class,
                       const struct findings *findings)
{
    cleanup_buffer struct buffer text = {0};

    *report = (struct class_report){0};
    buffer_init(&text, TEXT_MAX);
    print_warnings(findings, &text);
    if (text.len > 0 && class_digest(class, report->digest) == 0)
        report->text = strdup(buffer_str(&text));
}

void class_report_log(const struct class_report *report, const struct class_identity *class,
                      struct class_reports *reports, struct log *log)
{
    if (report->text != NULL && class_reports_add(reports, report->digest))
        log_warning(log, "the class has mistakes that fail no mount", LOG_STR("namespace", class->namespace),
                    LOG_STR("class", class->class_name), LOG_STR("findings", report->text));
}

void class_report_finish(struct class_report *report)
{
    free(report->text);
    *report = (struct class_report){0};
}
