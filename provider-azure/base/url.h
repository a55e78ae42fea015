/*
 * url.h - parts of a URL.
 */
#ifndef PROVIDER_AZURE_BASE_URL_H
#define PROVIDER_AZURE_BASE_URL_H

#include <stdbool.h>

#include "common/base/error.h"

/* The lower-case host of an http(s) URL, without user info and port; the caller frees. NULL with err set
 * (INVALID_ARGUMENT) when there is none, or one with a
 * space or a control character. `ret_path` (may be NULL) points behind the authority. */
char *url_host(const char *url, const char **ret_path, struct error **err);

/* Whether two https URLs lead to the same host and port (":443" may be left out). */
bool url_same_origin(const char *left, const char *right);

#endif
