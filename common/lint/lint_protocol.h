/*
 * lint_protocol.h - how a program asks for the findings of a provider: `PROVIDER lint` reads one request from
 * its standard input and writes one response to its standard output, both JSON. docs/writing-a-provider.md
 * has both for authors of providers.
 *
 *     {"version": 1, "parameters": {"keyvaultName": "contoso", "objects": "array: ..."}}
 *
 *     {"version": 1, "findings": [{"rule": "unknown-parameter", "level": "warning", "parameter": "keyvaultname",
 *       "line": 1, "column": 1, "message": "..."}], "files": ["db-password"], "filePatterns": ["app1-*"],
 *      "withoutSecret": "..."}
 */
#ifndef COMMON_LINT_LINT_PROTOCOL_H
#define COMMON_LINT_LINT_PROTOCOL_H

#include <stdbool.h>

#include "common/base/string_map.h"
#include "common/lint/findings.h"

enum {
    LINT_VERSION = 1,
    LINT_BYTES_MAX = 8 << 20, /* of a request, and of a response: several times what etcd takes of a class */
    LINT_FILES_MAX = 20000,
    LINT_RULE_MAX = 64, /* bytes of a rule's id */
};

struct lint_files {
    char **paths;
    size_t n;
};

struct lint_response {
    struct findings findings;
    /* What a mount of the class makes. Nothing is known of it unless files_known. */
    bool files_known;
    struct lint_files files;
    struct lint_files patterns; /* of paths: common/base/glob.h */
    char *without_secret;       /* the error of a mount without nodePublishSecretRef; NULL: it needs none */
};

/* The request as text in wiped memory (secret_free()). NULL with err set: parameters that are not UTF-8, or
 * no memory. */
char *lint_request_print(const struct string_map *parameters, struct error **err);

/* INVALID_ARGUMENT: no request of this version. */
int lint_request_parse(const char *text, size_t len, struct string_map *ret_parameters, struct error **err);

/* As lint_request_print(). */
char *lint_response_print(const struct lint_response *response, struct error **err);

/* INVALID_ARGUMENT: no response of this version. Finish *ret in any case. */
int lint_response_parse(const char *text, size_t len, struct lint_response *ret, struct error **err);

/* Adds a path to one of the lists. */
int lint_files_add(struct lint_files *files, const char *path, struct error **err);

/* Does a mount make this file, or might it? True when nothing is known. */
bool lint_response_makes(const struct lint_response *response, const char *path);

void lint_response_finish(struct lint_response *response);
#define cleanup_lint_response CLEANUP(lint_response_finish)

#endif
