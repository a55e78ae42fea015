/*
 * output.h - results as aligned "name  value" lines for people, or as one JSON object for programs.
 *
 * A command builds a JSON object; the text form is made from it, so both say the same.
 */
#ifndef CTL_OUTPUT_H
#define CTL_OUTPUT_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "common/base/error.h"

/* Prints `result` to stdout. Text form: one line per member, arrays of objects as indented rows. -1 when
 * stdout can not be written. */
int output_result(const cJSON *result, bool json, struct error **err);

/* Prints an error to stderr: "error: NOT_FOUND: message", or
 * {"error":{"code":"NOT_FOUND","number":5,"message":"..."}}. */
void output_error(const struct error *error, bool json);

/* The permission bits as ls writes them ("rw-r--r--") into `ret_text`. */
void output_mode(unsigned mode, char ret_text[10]);

#endif
