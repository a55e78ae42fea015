/*
 * imds.h - the instance metadata service of the emulated node: GET /metadata/identity/oauth2/token.
 */
#ifndef EMULATOR_IMDS_H
#define EMULATOR_IMDS_H

#include <cjson/cJSON.h>

struct imds;
struct imds *imds_create(void);
void imds_destroy(struct imds *imds);

/* Sets the node's identities: {tenant, system_assigned?: client id, user_assigned?: [client id],
 * times?}. NULL, or what is wrong. */
const char *imds_put(struct imds *imds, const cJSON *json);

#endif
