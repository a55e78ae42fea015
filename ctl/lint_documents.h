/*
 * lint_documents.h - the objects of a file: YAML documents, JSON, lists of objects.
 */
#ifndef CTL_LINT_DOCUMENTS_H
#define CTL_LINT_DOCUMENTS_H

#include "ctl/lint_context.h"

enum {
    LINT_FILE_MAX = 64 << 20, /* the output of Helm has the whole of an installation */
};

/* Checks the classes and the volumes of a file with `len` bytes and a NUL behind them. Documents in which
 * neither can be are not read. `file` is borrowed as long as the context's report and names are. -1 only
 * without memory: what cannot be read is a finding. */
int lint_documents(struct lint_context *context, const char *file, const char *text, size_t len,
                   struct error **err);

#endif
