/*
 * lint_context.h - what the parts of the command lint share.
 */
#ifndef CTL_LINT_CONTEXT_H
#define CTL_LINT_CONTEXT_H

#include "common/base/yaml.h"
#include "common/lint/findings.h"
#include "ctl/lint_names.h"

struct lint_providers;

struct lint_context {
    struct findings *report;                /* their `parameter` is the file */
    const struct lint_providers *providers; /* NULL: none is run */
    struct lint_names names;                /* of classes, and the volumes' references to them */
    size_t n_classes;
    size_t n_volumes;
};

/* One YAML document of a file. Borrowed. */
struct lint_document {
    struct lint_context *context;
    const char *file;
    const char *text;        /* its beginning; the rest of the file may follow */
    size_t len;              /* of the document */
    struct text_frame frame; /* in the file */
};

/* The findings behind this call are about a place in the document. Returns where they go to. */
static inline struct findings *lint_document_enter(const struct lint_document *document)
{
    findings_enter(document->context->report, document->file, document->frame);
    return document->context->report;
}

static inline struct text_place lint_place(const struct yaml_node *node)
{
    return node != NULL ? (struct text_place){node->line, node->column} : (struct text_place){0};
}

/* The text of a scalar; "" for another node, NULL, and null. */
static inline const char *lint_text(const struct yaml_node *node)
{
    return node != NULL && node->kind == YAML_SCALAR && !yaml_is_null(node) ? node->text : "";
}

/* *error becomes a finding at the line that it names, and NULL. The message is without that line, which is
 * one of the document. */
void lint_document_refuse(const struct lint_document *document, const struct lint_rule *rule,
                          struct error **error);

#endif
