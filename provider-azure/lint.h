/*
 * lint.h - the command `lint`: what is wrong, or probably not meant, in the parameters of a class.
 *
 * It uses the parser of mounts (mount_request.h), without network, node and credentials: what it refuses is
 * refused at a mount with the same words.
 */
#ifndef PROVIDER_AZURE_LINT_H
#define PROVIDER_AZURE_LINT_H

#include <stdio.h>

#include "common/lint/lint_protocol.h"

/* Finds what there is to say of the parameters, and the files that they make. Only lack of memory is an
 * error. Finish *ret in any case. */
int lint_parameters(const struct string_map *parameters, struct lint_response *ret, struct error **err);

/* Reads one request from `in` and writes the response to `out` (common/lint/lint_protocol.h). */
int lint_run(FILE *in, FILE *out, struct error **err);

#endif
