/*
 * checks.h - what diagnose finds out about each link of the chain between a vault and a pod.
 */
#ifndef CTL_CHECKS_H
#define CTL_CHECKS_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/cleanup.h"

struct checks {
    cJSON *rows; /* owned array of {"check", "result", "text" and, if it is wrong, "fix", "see"} */
    size_t n_wrong;
    bool incomplete; /* memory ran out */
};

/* {0} is an empty list. */
void checks_finish(struct checks *checks);
#define cleanup_checks CLEANUP(checks_finish)

/* The check found nothing wrong; the text says what it saw. */
void checks_ok(struct checks *checks, const char *check, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The check was not made; the text says why. */
void checks_skipped(struct checks *checks, const char *check, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Text and fix are those of a row in the section `section` of docs/troubleshooting.md (a test compares). */
void checks_wrong(struct checks *checks, const char *check, const char *section, const char *fix,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));

/* A text of the driver, the provider or the API server. The section is found by its words. */
void checks_reported(struct checks *checks, const char *check, const char *text);

/* Which check a provider's error belongs to: "token", "vault", or "class" for the parameters. */
const char *checks_name_of_mount_error(const char *text);

#endif
