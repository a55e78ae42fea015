/*
 * moment.h - points in time as token services and the kubelet write them.
 */
#ifndef PROVIDER_AZURE_IDENTITY_TIMESTAMP_H
#define PROVIDER_AZURE_IDENTITY_TIMESTAMP_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

/* Epoch seconds, RFC 3339, "MM/dd/yyyy HH:mm:ss" or "yyyy-MM-dd HH:mm:ss"; without a zone it is UTC. -1 if
 * unreadable. */
int64_t timestamp_parse(const char *text);

/* The same for a JSON value, string or number; -1 also for NULL and other types. */
int64_t timestamp_from_json(const cJSON *value);

/* Whether it is a date-time of RFC 3339, 5.6, with its zone. */
bool timestamp_is_rfc3339(const char *text);

#endif
