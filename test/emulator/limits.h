/*
 * limits.h - how many requests the services take within a time: per vault, per subscription (all vaults
 * together), and tokens per application.
 *
 * A limit counts in windows that follow each other, the first one beginning when the limits are set. A
 * request above it gets 429, does not count, and waits best for the next window. Called with the emulator's
 * lock held. Without a call of limits_set() nothing is limited.
 */
#ifndef EMULATOR_LIMITS_H
#define EMULATOR_LIMITS_H

#include <cjson/cJSON.h>
#include <stdbool.h>

struct limits;
struct limits *limits_create(void);
void limits_destroy(struct limits *limits);

/* Replaces all limits and forgets what was counted (README.md, "Limits"). NULL, or a text that says what is
 * wrong. */
const char *limits_set(struct limits *limits, const cJSON *json);

/* May a request to this vault, a token request of this application be served? It is counted. If not,
 * *ret_retry_after is set to the seconds for Retry-After, -1 for no such header. */
bool limits_admit_vault(struct limits *limits, const char *vault, int *ret_retry_after);
bool limits_admit_token(struct limits *limits, const char *client_id, int *ret_retry_after);

/* What was counted since the limits were set; the caller deletes it. */
cJSON *limits_report(const struct limits *limits);

#endif
