/*
 * lint_providers.h - runs the executables of providers, which check the parameters of classes
 * (common/lint/lint_protocol.h).
 */
#ifndef CTL_LINT_PROVIDERS_H
#define CTL_LINT_PROVIDERS_H

#include "common/lint/lint_protocol.h"
#include "ctl/arguments.h"

enum { LINT_PROVIDER_SECONDS = 30 }; /* of processor and other time for one class */

struct lint_providers {
    const struct word_list *given; /* borrowed: NAME=FILE */
};

/* Finds the executable of the provider `name`: that of --provider, or secrets-store-provider-NAME beside this
 * program, or in PATH. Runs it with one request, at most LINT_PROVIDER_SECONDS. NOT_FOUND: there is none.
 * Otherwise the error says what is wrong with it. Finish *ret in any case. */
int lint_providers_run(const struct lint_providers *providers, const char *name,
                       const struct string_map *parameters, struct lint_response *ret, struct error **err);

/* Can a provider have this name? INVALID_ARGUMENT in the driver's words. */
int lint_providers_check_name(const char *name, struct error **err);

/* Is each word of --provider NAME=FILE? INVALID_ARGUMENT names the one that is not. */
int lint_providers_check(const struct word_list *given, struct error **err);

#endif
