/*
 * parameter_text.h - the parameters of a SecretProviderClass: trimming, and the texts of a boolean.
 */
#ifndef PROVIDER_AZURE_BASE_PARAMETER_TEXT_H
#define PROVIDER_AZURE_BASE_PARAMETER_TEXT_H

#include <stdbool.h>

/* A copy without leading and trailing white space (Unicode's, in UTF-8). The caller frees it with free().
 * "" for NULL. NULL on lack of memory. */
char *parameter_text_trim(const char *text);

/* Go's strconv.ParseBool ("1", "t", "T", "TRUE", "true", "True" and their opposites) with "" for false.
 * Returns false, and leaves *ret alone, for any other text. */
bool parameter_text_parse_bool(const char *text, bool *ret);

#endif
