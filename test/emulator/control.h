/*
 * control.h - control calls: calls by which tests set up and read the state. The same calls serve the HTTP
 * control port and fixture files.
 */
#ifndef EMULATOR_CONTROL_H
#define EMULATOR_CONTROL_H

#include "test/emulator/emulator.h"

/* Does one call. `json` (may be NULL) is the body. Runs with the lock held; the response's status says how it
 * went. */
void control_call(struct emulator *emulator, const char *method, const struct url *url, const cJSON *json,
                  struct response *response);

/* Does all calls of a fixture file: a JSON array of {"method", "path", "body"}. -1 with a message on stderr.
 */
int control_load_fixture(struct emulator *emulator, const char *file);

#endif
