/*
 * entra.h - the directory: tenants and their applications, as the control API sets them up.
 */
#ifndef EMULATOR_ENTRA_H
#define EMULATOR_ENTRA_H

#include <stdbool.h>

#include <cjson/cJSON.h>

struct entra;
struct entra *entra_create(void);
void entra_destroy(struct entra *entra);

/* Adds or replaces an application {tenant, client_id, client_secret?, secret_expired?, certificates?: [PEM],
 * federated?: [{issuer, subject, audience}]}; the tenant exists from then on. NULL, or what is wrong. */
const char *entra_put_app(struct entra *entra, const cJSON *json);
/* Removes {tenant, client_id}; the tenant stays. False when there is none. */
bool entra_delete_app(struct entra *entra, const cJSON *json);

/* Sets the keys of an issuer that applications may trust: {issuer, keys: [{kid, pem}]}. NULL, or what is
 * wrong. */
const char *entra_put_issuer(struct entra *entra, const cJSON *json);

void entra_set_token_lifetime(struct entra *entra, long seconds);
long entra_token_lifetime(const struct entra *entra);

#endif
