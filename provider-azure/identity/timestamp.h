/*
 * timestamp.h - timestamps of token services and the kubelet.
 */
#ifndef PROVIDER_AZURE_IDENTITY_TIMESTAMP_H
#define PROVIDER_AZURE_IDENTITY_TIMESTAMP_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

/* The Unix time of a JSON value: a number of seconds, or a text with such a number, RFC 3339, "MM/dd/yyyy
 * HH:mm:ss" or "yyyy-MM-dd HH:mm:ss"; without a zone it is UTC. -1 for any other text or type, and for
 * NULL. */
int64_t timestamp_from_json(const cJSON *value);

/* Whether `text` is a date-time of RFC 3339, 5.6, with its zone. */
bool timestamp_is_rfc3339(const char *text);

#endif
