/*
 * node_token.h - tokens as the services of a node hand them out (IMDS, NMI): the same for both, and the
 * ways in which hosts write the times in them.
 */
#ifndef EMULATOR_NODE_TOKEN_H
#define EMULATOR_NODE_TOKEN_H

#include "test/emulator/emulator.h"

enum node_times {
    NODE_TIMES_STRING, /* "expires_on":"1506484173", as Azure does */
    NODE_TIMES_NUMBER,
    NODE_TIMES_DATE,  /* "expires_on":"09/27/2017 03:49:33" */
    NODE_TIMES_EMPTY, /* "expires_in":"", "not_before":"" */
    NODE_TIMES_SHORT, /* only "expires_in" */
};

/* {times?}: "string", "number", "date", "empty", "short". False when it is none of them. */
bool node_times_read(const cJSON *json, enum node_times *ret);

/* Issues a token for the resource of the request and makes IMDS' object of it. NULL with a 400 when the
 * resource is missing or not known. */
cJSON *node_token_make(struct emulator *emulator, const struct request *request, const char *tenant,
                       const char *client_id, enum node_times times, struct response *response);

/* {"error", "error_description"} */
void node_error(struct response *response, unsigned status, const char *error, const char *description);

#endif
