/*
 * nmi.h - aad-pod-identity's node component on the emulated node: GET /host/token/.
 */
#ifndef EMULATOR_NMI_H
#define EMULATOR_NMI_H

#include <cjson/cJSON.h>
#include <stdbool.h>

struct nmi;
struct nmi *nmi_create(void);
void nmi_destroy(struct nmi *nmi);

/* Binds an identity to a pod: {tenant, client_id, times?}. NULL, or what is wrong. */
const char *nmi_put(struct nmi *nmi, const char *ns, const char *pod, const cJSON *json);
/* False when there is none. */
bool nmi_delete(struct nmi *nmi, const char *ns, const char *pod);

#endif
