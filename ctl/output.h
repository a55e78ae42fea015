/*
 * output.h - prints results as aligned "name  value" lines for people, or as one JSON object for programs.
 *
 * A command builds a JSON object; the text is generated from it.
 */
#ifndef CTL_OUTPUT_H
#define CTL_OUTPUT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>

#include "common/base/error.h"

/* The name of a member that is the contents of a file: it is printed with its lines. */
#define OUTPUT_CONTENTS "contents"

/* Prints `result` to stdout. The text has one line per member, and arrays of objects as indented rows. Fails
 * if stdout cannot be written. */
int output_result(const cJSON *result, bool json, struct error **err);

/* Prints a text from outside to a terminal: what could hide, reorder or fake lines is escaped (utf8.h). */
void output_text(FILE *out, const char *text);

/* What was printed to stdout reaches it. Fails if it cannot be written. */
int output_flush(struct error **err);

/* Prints an error to stderr: "error: NOT_FOUND: message", or
 * {"error":{"code":"NOT_FOUND","number":5,"message":"..."}}. */
void output_error(const struct error *error, bool json);

/* Writes the permission bits as ls does ("rw-r--r--") to `ret_text`. */
void output_mode(unsigned mode, char ret_text[10]);

#endif
